"""The grid of windows: every window that touches a tile lies inside its halo, and none is missing."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.manifest import Manifest
from segmenter.windows import halo, profile, starts

STEPS = st.integers(1, 40).flatmap(
    lambda patches: st.tuples(st.just(16 * patches), st.integers(1, 16 * patches))
)


@given(first=st.integers(-2000, 1_000_000), length=st.integers(1, 3000), step=STEPS)
def test_starts_are_all_windows_that_touch_and_only_those(
    first: int, length: int, step: tuple[int, int]
) -> None:
    chip, stride = step
    found = starts(first, length, chip, stride)
    around = range(first - 2 * chip, first + length + 2 * chip)
    touching = [n for n in around if n % stride == 0 and n < first + length and n + chip > first]
    assert list(found) == touching
    covered = np.zeros(length, bool)
    for start in found:
        covered[max(start - first, 0) : max(start + chip - first, 0)] = True
    assert covered.all()


@given(first=st.integers(-2000, 1_000_000), length=st.integers(1, 3000), step=STEPS)
def test_halo_holds_every_window_that_touches_the_core(
    manifest_of: Callable[..., Manifest], first: int, length: int, step: tuple[int, int]
) -> None:
    chip, stride = step
    margin = halo(manifest_of(chip=chip, stride=stride, sigma=chip / 4))
    found = starts(first, length, chip, stride)
    assert min(found) >= first - margin
    assert max(found) + chip <= first + length + margin


@pytest.mark.parametrize("stride", [112, 160, 168])
def test_halo_of_the_usual_window_is_one_chip(manifest_of: Callable[..., Manifest], stride: int) -> None:
    assert halo(manifest_of(chip=224, stride=stride)) == 224


@given(first=st.integers(-500, 5000), cut=st.integers(1, 199))
def test_parts_of_a_tile_have_the_windows_of_the_whole_in_the_same_order(first: int, cut: int) -> None:
    whole = list(starts(first, 200, 64, 48))
    left, right = list(starts(first, cut, 64, 48)), list(starts(first + cut, 200 - cut, 64, 48))
    assert set(left) | set(right) == set(whole)
    assert left == whole[: len(left)]
    assert right == whole[-len(right) :]


def test_the_first_window_of_a_zone_may_start_outside_it() -> None:
    assert starts(0, 10, 64, 48)[0] == -48


def test_a_profile_is_symmetric_and_positive() -> None:
    weights = profile(224, 14)  # the smallest that a manifest allows
    assert weights.dtype == np.float32
    assert (weights.min() ** 2) > 0
    np.testing.assert_array_equal(weights, weights[::-1])
    wide = profile(224, 56)
    assert wide.max() == pytest.approx(np.exp(-0.125 * (1 / 56) ** 2))
    assert wide[0] / wide[111] == pytest.approx(np.exp(-0.5 * (111.5**2 - 0.5**2) / 56**2), rel=1e-5)
