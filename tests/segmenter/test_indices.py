"""The formulas by hand, and slopes that do not depend on the origin of the array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.indices import REACH, mndwi, ndwi, normalised_difference, red_edge, slope

SIDE = 6


def test_differences_by_hand() -> None:
    green, other = np.float32([800, 300, 0, np.nan]), np.float32([200, 900, 0, 500])
    expected = np.float32([0.6, -0.5, 0, np.nan])
    for formula in (normalised_difference, ndwi, mndwi):
        np.testing.assert_allclose(formula(green, other), expected, rtol=1e-6)


#: medians of hand-classified pixels: dark snow and ice, grey debris, a proglacial lake
SHADED_SNOW = [4500, 3290, 2810, 2320, 2150, 2020, 1870, 1600, 1560, 2330, 70, 80]
ICE = [2550, 2700, 2800, 2680, 2740, 2440, 2110, 1860, 1760, 1660, 140, 130]
MORAINE = [1360, 1270, 1360, 1300, 1340, 1300, 1320, 1280, 1250, 1500, 1550, 1530]
LAKE = [880, 1120, 1660, 1050, 810, 400, 360, 290, 210, 570, 110, 110]
#: silty water, and foam on the sea
SILT = [1150, 1500, 1980, 2120, 2020, 1600, 1580, 1420, 1360, 950, 220, 150]
FOAM = [526, 1592, 1570, 1346, 735, 572, 695, 845, 573, 16, 144, 67]


@pytest.mark.parametrize(
    ("spectrum", "ratio"),
    [(SHADED_SNOW, 0.94), (ICE, 0.89), (MORAINE, 0.97), (LAKE, 0.0), (SILT, 0.0), (FOAM, 0.0)],
)
def test_only_snow_ice_and_ground_have_a_red_edge(spectrum: list[int], ratio: float) -> None:
    assert red_edge(np.float32(spectrum)) == pytest.approx(ratio, abs=0.005)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), light=st.floats(0.45, 1.2))
def test_a_red_edge_of_each_pixel_alone(seed: int, light: float) -> None:
    """It is of the pixel's bands only, the same in any light on bright ground, and 0 without a band."""
    rng = np.random.default_rng(seed)
    optical = np.float32(rng.uniform(1, 9000, (12, 5, 7)))
    whole = red_edge(optical)
    assert np.array_equal(red_edge(optical[:, 2, 3]), whole[2, 3])
    lit, all_light = red_edge(np.float32(ICE) * np.float32(light)), red_edge(np.float32(ICE))
    assert lit == pytest.approx(all_light, rel=1e-5)
    lacking = optical.copy()
    lacking[rng.integers(0, 12)] = np.nan
    without = red_edge(lacking)
    assert np.isfinite(without).all() and ((without == 0) | (without == whole)).all()


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
