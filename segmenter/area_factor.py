"""Factor of the standard deviation of a lake's area: a number, or a function of the mapped area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, Field, PositiveFloat


def _ascending(knots: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if any(one[0] >= other[0] for one, other in pairwise(knots)):
        raise ValueError(f"areas must ascend, got {' '.join(f'{area:g}' for area, _ in knots)}")
    return knots


Knots = Annotated[
    tuple[tuple[PositiveFloat, PositiveFloat], ...], Field(min_length=1), AfterValidator(_ascending)
]
"""Pairs of a mapped area in m2 and the factor there, by ascending area."""
AreaFactor = PositiveFloat | Knots
"""One factor for all areas, or `Knots`."""


def factor_at(factor: AreaFactor, area_m2: ArrayLike) -> NDArray[np.float64]:
    """Factor for mapped areas (N,) in m2: linear in log(area) between knots, constant beyond the outer ones.

    It is continuous, so that lakes of nearly the same size have nearly the same interval.
    """
    area = np.asarray(area_m2, float)
    if isinstance(factor, (int, float)):
        return np.full(area.shape, float(factor))
    at, value = np.array(factor, float).T
    # clipped before the logarithm: an area of 0 has the factor of the smallest lakes
    return np.asarray(np.interp(np.log(np.clip(area, at[0], at[-1])), np.log(at), value), float)


def mean_factor(factors: Sequence[AreaFactor]) -> AreaFactor:
    """Mean of the factors of the members of an ensemble: a number if all are, or knots at all their areas."""
    areas = sorted({area for factor in factors if not isinstance(factor, (int, float)) for area, _ in factor})
    if not areas:
        return float(np.mean(factors))
    mean = np.mean([factor_at(factor, areas) for factor in factors], axis=0)
    return tuple((area, float(value)) for area, value in zip(areas, mean, strict=True))
