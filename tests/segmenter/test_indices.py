"""The formulas by hand, and slopes that do not depend on the origin of the array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.indices import REACH, mndwi, ndwi, normalised_difference, slope

SIDE = 6


def test_differences_by_hand() -> None:
    green, other = np.float32([800, 300, 0, np.nan]), np.float32([200, 900, 0, 500])
    expected = np.float32([0.6, -0.5, 0, np.nan])
    for formula in (normalised_difference, ndwi, mndwi):
        np.testing.assert_allclose(formula(green, other), expected, rtol=1e-6)


def test_slope_by_hand() -> None:
    east = np.tile(10 * np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    assert slope(east)[2, 2] == pytest.approx(45)
    assert slope(east, pixel=30)[2, 2] == pytest.approx(18.435, abs=1e-3)
    assert slope(np.full((SIDE, SIDE), 4000, np.float32)).max() == 0


def test_a_void_does_not_give_a_slope() -> None:
    dem = np.full((SIDE, SIDE), 4000, np.float32)
    dem[2, 2], dem[4, 4] = np.nan, np.inf
    assert slope(dem).max() == 0
    assert np.isnan(slope(np.full((SIDE, SIDE), np.nan, np.float32))).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), voids=st.floats(0, 0.9), top=st.integers(0, 12), left=st.integers(0, 12)
)
def test_a_slope_depends_on_pixels_within_its_reach_only(
    seed: int, voids: float, top: int, left: int
) -> None:
    rng = np.random.default_rng(seed)
    dem = rng.normal(4000, 40, (30, 30)).astype(np.float32)
    dem[rng.random(dem.shape) < voids] = np.nan
    part = dem[top : top + 18, left : left + 18]
    inner = np.s_[REACH:-REACH, REACH:-REACH]
    known = np.isfinite(part[inner])
    whole = slope(dem)[top : top + 18, left : left + 18][inner]
    assert np.array_equal(slope(part)[inner][known], whole[known])
