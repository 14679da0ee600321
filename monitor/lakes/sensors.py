"""The sets of sensors from which lakes were mapped, and what follows for the errors of their areas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.area_factor import factor_at
from segmenter.manifest import SENSORS, SensorSet, name_of
from storage.codes import Sensor

#: number of codes of sets of sensors, 0 (no answer) included
CODES = 1 << len(SENSORS)
#: whether each code is of a set without Sentinel-2
WITHOUT_OPTICAL = np.array([code > 0 and not code & Sensor.OPTICAL for code in range(CODES)])

Shares = NDArray[np.float64]


def shares_of(pixels: ArrayLike) -> Shares:
    """Shares of the pixels of N lakes by the code of their set of sensors, (N, 8).

    Args:
        pixels: (N, 8) numbers of pixels. A lake without pixels has only zeros.
    """
    counts = np.asarray(pixels, np.float64).reshape(-1, CODES)
    shares: Shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def area_factors(shares: Shares, sets: Sequence[SensorSet], areas_m2: ArrayLike) -> NDArray[np.float64]:
    """Factor of the standard deviation of each lake's area: the mean of the sets' factors by their shares.

    Pixels of a set that the model was not validated for, as in layers of an earlier version, count for its
    first set.

    Args:
        shares: (N, 8) as from `shares_of`.
        sets: for which the model was validated, the best first.
        areas_m2: (N,) mapped areas.
    """
    known = {entry.code: entry for entry in sets}
    areas = np.asarray(areas_m2, np.float64)
    factors = np.zeros(len(areas))
    for code in range(CODES):
        if shares[:, code].any():
            factors += shares[:, code] * factor_at(known.get(code, sets[0]).area_factor, areas)
    return factors


def names_of(shares: Shares, sets: Sequence[SensorSet]) -> list[str | None]:
    """Name of the set with the largest share of each lake, such as "S1+DEM"; None for a lake without pixels.

    Of equal shares, the set that the model prefers counts.
    """
    preferred = [entry.code for entry in sets]
    order = [*preferred, *(code for code in range(1, CODES) if code not in preferred)]
    best = np.array(order)[shares[:, order].argmax(axis=1)]
    return [name_of(code) if share.any() else None for code, share in zip(best.tolist(), shares, strict=True)]


def mapped_without_optical(shares: Shares) -> NDArray[np.bool_]:
    """Lakes (N,) of which at least half was mapped without Sentinel-2."""
    return np.asarray(shares[:, WITHOUT_OPTICAL].sum(axis=1) >= 0.5, bool)
