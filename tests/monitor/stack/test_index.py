"""Classes of the index and its gates, one scene of 36 pixels per gate."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.archive.profiles import S2_BANDS
from monitor.grid import geobox_at
from monitor.stack.index import frozen_or_cloud, index_of
from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE
from storage.codes import Index
from tests.support.stacks import stack_of

SIDE = 6
BLUE = S2_BANDS.index("B02")
BOX = geobox_at(32643, 529_200, 50_400, (SIDE, SIDE))
WATER = {GREEN: 800.0, NEAR_INFRARED: 300.0, SHORT_WAVE: 100.0}
ROCK = {GREEN: 1500.0, NEAR_INFRARED: 2200.0, SHORT_WAVE: 2600.0}
SNOW = {GREEN: 8000.0, NEAR_INFRARED: 7000.0, SHORT_WAVE: 500.0}
MILK = {GREEN: 2000.0, NEAR_INFRARED: 1800.0, SHORT_WAVE: 2500.0}

#: hand-classified on glaciers: ice with a low near infrared, and grey moraine with an NDWI above 0
ICE, MORAINE = (
    dict(enumerate(bands))
    for bands in (
        [2550, 2700, 2800, 2680, 2740, 2440, 2110, 1860, 1760, 1660, 140, 130],
        [1360, 1270, 1360, 1300, 1340, 1300, 1320, 1280, 1250, 1500, 1550, 1530],
    )
)


def class_of(
    spectrum,
    *,
    vv: float = -18.0,
    rise: float = 0.0,
    snow: bool = False,
    shadow: bool = False,
    dem: float = 3500.0,
) -> Index:
    """Class of a uniform scene; `rise` is the eastward rise in metres per pixel."""
    optical = np.full((12, SIDE, SIDE), 500, np.float32)
    for band, value in spectrum.items():
        optical[band] = value
    ground = np.tile(dem + rise * np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    stack = stack_of(BOX, optical, vv, dem=ground, snow=snow, shadow=shadow)
    classes = np.unique(index_of(stack)[1:-1, 2:-2])
    assert len(classes) == 1
    return Index(int(classes[0]))


@pytest.mark.parametrize(
    ("spectrum", "scene", "expected"),
    [
        (WATER, {}, Index.WATER),
        (ROCK, {}, Index.DRY),
        (SNOW, {}, Index.SNOW),
        (WATER, {"snow": True}, Index.SNOW),
        (WATER, {"shadow": True}, Index.SHADOW),
        (WATER, {"rise": 3.0}, Index.SHADOW),
        (WATER, {"rise": 1.0}, Index.WATER),
        (WATER, {"vv": -6.0}, Index.RADAR),
        (MILK, {}, Index.TURBID),
        (ICE, {}, Index.SNOW),
        (MORAINE, {}, Index.DRY),
        (SNOW, {"rise": 5.0, "vv": -3.0}, Index.SNOW),
        # without backscatter or elevation: by the optical bands
        (WATER, {"vv": np.nan, "dem": np.nan}, Index.WATER),
        (SNOW, {"vv": np.nan, "dem": np.nan}, Index.SNOW),
        (ROCK, {"dem": np.nan}, Index.DRY),
        (WATER, {"dem": np.nan, "vv": -6.0}, Index.RADAR),
        (WATER, {"vv": np.nan, "rise": 3.0}, Index.SHADOW),
    ],
)
def test_gates(spectrum, scene, expected: Index) -> None:
    assert class_of(spectrum, **scene) == expected


def test_unobserved_pixels_have_no_class() -> None:
    optical = np.full((12, SIDE, SIDE), np.nan, np.float32)
    optical[:, :3] = 500
    dem = np.full((SIDE, SIDE), 3500, np.float32)
    dem[:, 5] = np.nan
    classes = index_of(stack_of(BOX, optical, 0.0, dem=dem))
    assert (classes[3:] == Index.NODATA).all() and (classes[:3] == Index.DRY).all()


CLOUD = {BLUE: 5200.0, GREEN: 5100.0, NEAR_INFRARED: 5500.0, SHORT_WAVE: 5200.0}
SAND = {BLUE: 3000.0, GREEN: 3600.0, NEAR_INFRARED: 4400.0, SHORT_WAVE: 5300.0}
FOREST = {BLUE: 300.0, GREEN: 600.0, NEAR_INFRARED: 3500.0, SHORT_WAVE: 1500.0}


@pytest.mark.parametrize(
    ("spectrum", "expected"),
    [
        (SNOW, True),
        (CLOUD, True),
        (SAND, False),
        (FOREST, False),
        (WATER, False),
        (ROCK, False),
        (MILK, False),
    ],
)
def test_snow_and_cloud_without_scene_classes(spectrum: dict[int, float], expected: bool) -> None:
    reflectance = np.full((12, 1, 1), 500, np.float32)
    for band, value in spectrum.items():
        reflectance[band] = value
    assert frozen_or_cloud(reflectance)[0, 0] == expected
    assert not frozen_or_cloud(np.full((12, 1, 1), np.nan, np.float32)).any()
