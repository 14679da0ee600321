"""The factor of areas: continuous and monotone between its knots, and a constant for older manifests."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from segmenter.area_factor import Knots, factor_at, mean_factor
from segmenter.manifest import Manifest

areas = st.floats(1, 1e10)
values = st.floats(0.01, 100)


@st.composite
def knots(draw: st.DrawFn) -> Knots:
    at = sorted(draw(st.sets(st.integers(1, 10**9), min_size=1, max_size=5)))
    return tuple((float(area), draw(values)) for area in at)


@given(values, st.lists(st.floats(0, 1e12)))
def test_a_number_is_the_factor_of_every_area(value: float, area: list[float]) -> None:
    assert factor_at(value, area).tolist() == [value] * len(area)


@given(knots())
def test_the_factor_at_each_knot_and_beyond(factor: Knots) -> None:
    at, value = np.transpose(factor)
    assert factor_at(factor, at) == pytest.approx(value)
    assert factor_at(factor, [0, at[0] / 2, at[-1] * 2]) == pytest.approx([value[0], value[0], value[-1]])


@given(knots(), st.lists(areas, min_size=2))
def test_a_falling_factor_falls_and_is_never_beyond_its_knots(factor: Knots, area: list[float]) -> None:
    falling = tuple(
        zip((at for at, _ in factor), sorted((value for _, value in factor), reverse=True), strict=True)
    )
    found = factor_at(falling, sorted(area))
    assert (np.diff(found) <= 1e-9).all()
    assert found.max() <= falling[0][1] * (1 + 1e-12) and found.min() >= falling[-1][1] * (1 - 1e-12)


@given(knots(), areas)
def test_lakes_of_nearly_the_same_area_have_nearly_the_same_factor(factor: Knots, area: float) -> None:
    """A step of a millionth moves the factor by at most that step times the steepest slope."""
    at, value = np.transpose(factor)
    steepest = np.abs(np.diff(value) / np.diff(np.log(at))).max(initial=0)
    one, other = factor_at(factor, [area, area * 1.000001])
    assert abs(one - other) <= steepest * 1.01e-6 + 1e-9


@given(st.lists(knots() | values, min_size=1, max_size=4), st.lists(areas))
def test_an_ensemble_has_the_mean_of_its_members(members: list[Knots | float], area: list[float]) -> None:
    mean = np.mean([factor_at(member, area) for member in members], axis=0)
    assert factor_at(mean_factor(members), area) == pytest.approx(mean, rel=1e-6)
    numbers = [member for member in members if isinstance(member, float)]
    assert not numbers or mean_factor(numbers) == pytest.approx(np.mean(numbers))


def test_manifests_with_a_number_and_with_knots(manifest_of: Callable[..., Manifest]) -> None:
    number, table = manifest_of(area_factor=1.25), manifest_of(area_factor=((1e4, 2.0), (1e5, 1.0)))
    for manifest in (number, table):
        assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert json.loads(number.model_dump_json())["area_factor"] == 1.25, "fingerprints of older models stay"
    assert number.fingerprint != table.fingerprint


@pytest.mark.parametrize(
    "wrong", [0, -1, [], [[1e4, 0]], [[0, 1]], [[1e5, 1], [1e4, 2]], [[1e4, 1], [1e4, 2]], [[1e4]], None]
)
def test_a_factor_that_means_nothing_is_refused(manifest_of: Callable[..., Manifest], wrong: object) -> None:
    content = json.loads(manifest_of().model_dump_json()) | {"area_factor": wrong}
    with pytest.raises(ValidationError, match="area_factor"):
        Manifest.model_validate_json(json.dumps(content))
