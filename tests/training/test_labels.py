"""Labels: outlines become shares of pixels, and pixels of unknown truth are left out."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import xarray as xr
from shapely import affinity
from shapely.geometry import Point, Polygon

from monitor.grid import geobox_at
from tests.support.stacks import stack_of
from training.errors import TrainingError
from training.labels import FULL, IGNORED, coverage, label, read_lakes
from training.scenes import LabelledStack

pytestmark = pytest.mark.slow


BOX = geobox_at(32643, 528384, 65536, (64, 64))
LEFT, TOP = BOX.affine.c, BOX.affine.f


def lake(radius: float, squeeze: float = 0.6) -> Polygon:
    """A rotated ellipse in the centre of BOX."""
    ellipse = affinity.scale(Point(LEFT + 323.0, TOP - 317.0).buffer(radius, 64), 1, squeeze)
    return affinity.rotate(ellipse, 30)


def stack(**changed: np.ndarray) -> xr.Dataset:
    return stack_of(BOX, **changed)


def table(state: str, shape: Polygon | None) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(
        {"season": [2021], "state": [state], "ice": [None]}, geometry=[shape], crs=32643
    )


@pytest.mark.parametrize("radius", [40.0, 75.0, 250.0])
def test_area_is_kept_within_two_percent(radius: float) -> None:
    shape = lake(radius)
    assert coverage([shape], BOX).sum() * 100 == pytest.approx(shape.area, rel=0.02)


def test_a_pixel_on_the_shore_is_partly_water() -> None:
    square = Polygon([(LEFT, TOP), (LEFT + 15, TOP), (LEFT + 15, TOP - 10), (LEFT, TOP - 10)])
    shares = coverage([square], BOX)
    assert shares[0, 0] == 1
    assert shares[0, 1] == pytest.approx(0.5, abs=0.11)
    assert shares[1:].max() == 0


def test_water_is_labelled_and_drained_is_not() -> None:
    assert label(table("water", lake(100)), 2021, stack())[31, 32] == FULL
    assert label(table("drained", lake(100)), 2021, stack()).max() == 0
    assert label(table("absent", None), 2021, stack()).max() == 0
    assert label(table("water", lake(100)), 2022, stack()).max() == 0


def test_frozen_and_snowy_lakes_are_left_out() -> None:
    frozen = label(table("frozen", lake(100)), 2021, stack())
    assert frozen[31, 32] == IGNORED
    assert frozen[0, 0] == 0
    snow = np.ones(BOX.shape, bool)
    snowy = label(table("water", lake(100)), 2021, stack(snow=snow))
    assert snowy[31, 32] == IGNORED
    assert snowy[0, 0] == 0, "snow on land is labelled as land"


def test_labels_do_not_depend_on_the_sensors_that_saw_a_pixel() -> None:
    expected = label(table("water", lake(100)), 2021, stack())
    for name in ("B04", "VH", "dem"):
        holed = stack()
        holed[name] = holed[name] * np.nan
        assert np.array_equal(label(table("water", lake(100)), 2021, holed), expected)


def test_the_ice_of_a_half_frozen_lake_is_left_out() -> None:
    half = table("water", lake(200))
    west = Polygon([(LEFT, TOP), (LEFT + 320, TOP), (LEFT + 320, TOP - 640), (LEFT, TOP - 640)])
    half["ice"] = geopandas.GeoSeries([west.intersection(lake(200))], crs=32643)
    labels = label(half, 2021, stack())
    assert labels[31, 25] == IGNORED
    assert labels[31, 38] == FULL
    assert labels[2, 2] == 0
    assert (label(half, 2022, stack()) == 0).all()


def test_a_simulated_scene_has_the_lakes_of_the_truth(scenes: list[LabelledStack]) -> None:
    scene = scenes[0]
    labels = np.array(scene.labels)
    truth = read_lakes(scene.archive)
    drawn = truth[(truth["state"] == "water") & (truth["season"] == scene.season)]
    inside = drawn.geometry.intersection(scene.geobox.footprint(drawn.crs).geom)
    water = labels[labels != IGNORED].sum() / FULL * 100
    assert 0.5 * inside.area.sum() < water <= 1.02 * inside.area.sum()
    assert scene.bands.shape == (14, *labels.shape)


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a simulated archive"):
        read_lakes(tmp_path)
