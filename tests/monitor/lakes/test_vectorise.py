"""Lakes from masks: scenes of 36 pixels by hand, and any mask in any tiling."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.grid import WGS84, Tile, reproject
from monitor.lakes.absence import DISPUTED, SIGHTS
from monitor.lakes.sights import count_sights, sights
from monitor.lakes.vectorise import vectorise
from storage.codes import NO_ELEVATION, Index, Reason
from tests.support.scenery import COL, EPSG, EVERYWHERE, ROW, area_of, cut, picture, pixels, tile_layers

CORNERS = picture("""
    ##....
    ##....
    ..##..
    ..##..
    ......
    .....#
""")
ACROSS = picture("""
    ......
    .####.
    .####.
    .#..#.
    .####.
    ......
""")


def lakes_of(water: np.ndarray, size: int = 6, smallest: float = 0.0, zone=EVERYWHERE, **layers):
    return vectorise(cut(water, size, **layers), zone, smallest)


def in_pixels(lakes: geopandas.GeoDataFrame) -> list[float]:
    """Areas in pixels of the grid."""
    return [round(reproject(outline, WGS84, EPSG).area / 100, 3) for outline in lakes.geometry]


def test_pixels_that_touch_at_corners_are_one_lake() -> None:
    lakes = lakes_of(CORNERS)
    assert sorted(in_pixels(lakes)) == [1, 8]
    assert sorted(lakes.perimeter_m) == pytest.approx([40, 160])
    assert set(lakes.geom_type) == {"MultiPolygon"}


@pytest.mark.parametrize("size", [3, 2, 1])
@pytest.mark.parametrize("water", [CORNERS, ACROSS], ids=["corners", "across"])
def test_tiles_do_not_matter(water: np.ndarray, size: int) -> None:
    """In 1, 4, 9 and 36 tiles: identical outlines, vertex by vertex."""
    whole, parts = lakes_of(water), lakes_of(water, size)
    assert list(parts.geometry) == list(whole.geometry)
    assert list(parts.perimeter_m) == pytest.approx(list(whole.perimeter_m))
    assert list(parts.probability) == pytest.approx(list(whole.probability))


def test_an_island_stays_dry() -> None:
    (outline,) = lakes_of(ACROSS, 2).geometry
    assert len(outline.geoms[0].interiors) == 1
    assert in_pixels(lakes_of(ACROSS, 2)) == [14]
    assert lakes_of(ACROSS).perimeter_m[0] == pytest.approx(160 + 60)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (12, 12), elements=st.booleans()))
def test_any_mask_in_any_tiling(water: np.ndarray) -> None:
    whole = lakes_of(water, 12)
    for size in (6, 3):
        parts = lakes_of(water, size)
        assert list(parts.geometry) == list(whole.geometry)
        assert list(parts.perimeter_m) == pytest.approx(list(whole.perimeter_m))
    assert sum(in_pixels(whole)) == pytest.approx(water.sum())
    assert whole.geometry.is_valid.all()


def test_geodesic_area_is_the_pixels_area_near_the_meridian() -> None:
    lakes = lakes_of(np.ones((36, 36), bool), 36)
    assert lakes.area_m2[0] == pytest.approx(36 * 36 * 100, rel=0.002)
    assert lakes.area_m2[0] == pytest.approx(area_of(lakes.geometry[0]))


def test_the_smallest_area_applies_to_the_whole_lake() -> None:
    """14 pixels across four tiles are one lake of 0.14 ha, although its parts are smaller."""
    assert len(lakes_of(ACROSS, 3, smallest=1300)) == 1
    assert len(lakes_of(ACROSS, 3, smallest=1500)) == 0


def test_a_lake_belongs_to_the_region_that_holds_its_inner_point() -> None:
    water = picture("####.. ####.. ...... ...... ....## ....##")
    lakes = lakes_of(water, 3, zone=pixels(0, 0, 3, 3))
    assert in_pixels(lakes) == [8], "kept whole although one end lies outside; the other lake is left out"
    assert lakes_of(water, zone=shapely.Polygon()).empty


def test_figures_are_computed_from_the_lakes_pixels() -> None:
    water = picture("##.. .... .##. ....")
    probability = np.full((4, 4), 0.1, np.float32)
    probability[0, :2] = 0.6, 0.8
    probability[2, 1:3] = 0.9, 1.0
    days = np.arange(200, 216, dtype=np.int16).reshape(4, 4)
    metres = np.full((4, 4), 4100, np.int16)
    metres[0, 1], metres[2, 1:3] = 4105, NO_ELEVATION
    lakes = lakes_of(water, 2, probability=probability, day_of_year=days, elevation=metres)
    assert list(lakes.probability) == pytest.approx([0.7, 0.95])
    assert lakes.elevation_m[0] == 4102.5 and np.isnan(lakes.elevation_m[1])
    assert list(zip(lakes.first_doy, lakes.last_doy, strict=True)) == [(200, 201), (209, 210)]


def test_without_water_there_are_no_lakes() -> None:
    empty = lakes_of(np.zeros((6, 6), bool))
    assert empty.empty and empty.crs == WGS84 and "area_m2" in empty


def test_a_lake_on_a_zone_border_is_one_lake() -> None:
    """Mapped in zone 43 and in zone 44, each with its own pixels of the same ground."""
    square = shapely.box(77.998, 42.0, 78.004, 42.003)
    maps = []
    for epsg in (32643, 32644):
        west, south, east, north = reproject(square, WGS84, epsg).bounds
        row, col = int((10_000_000 - north) // 10) - 4, int(west // 10) - 4
        water = np.zeros((64, 64), bool)
        water[4 : 4 + round((north - south) / 10), 4 : 4 + round((east - west) / 10)] = True
        maps += cut(water, 32, epsg=epsg, row=row, col=col)
    lakes = vectorise(maps, EVERYWHERE, 0)
    assert len(lakes) == 1
    assert lakes.area_m2[0] == pytest.approx(area_of(square), rel=0.15)
    assert lakes.perimeter_m[0] == pytest.approx(2 * (497 + 333), rel=0.15)
    assert lakes.probability[0] == pytest.approx(0.9)


def test_reasons_are_counted_across_tiles() -> None:
    reason = np.full((6, 6), Reason.DRY, np.uint8)
    reason[:, 3:] = Reason.CLOUD
    reason[0] = Reason.OUTSIDE
    maps = cut(np.zeros((6, 6), bool), 3, reason=reason)
    footprints = geopandas.GeoSeries([pixels(0, 2, 4, 3), pixels(40, 40, 2, 2)], crs=WGS84)
    outlines = footprints.to_numpy()
    counts = sum(count_sights(layers, outlines) for layers in maps)
    assert counts.shape == (2, SIGHTS)
    assert counts[0][[Reason.DRY, Reason.CLOUD, Reason.OUTSIDE]].tolist() == [3, 6, 3]
    assert counts[0].sum() == 12 and counts[1].sum() == 0, "pixels outside every tile do not count"
    assert count_sights(maps[0], outlines[:0]).shape == (0, SIGHTS)


def test_dry_is_dry_only_where_the_index_agrees() -> None:
    reason = np.full((6, 6), Reason.DRY, np.uint8)
    classes = [Index.DRY, Index.WATER, Index.TURBID, Index.RADAR, Index.SNOW, Index.SHADOW]
    index = np.tile(np.array(classes, np.uint8), (6, 1))
    tile = Tile(EPSG, 6, ROW, COL)
    found = sights(tile_layers(tile, np.zeros((6, 6), bool), reason=reason, index=index))
    assert found[3].tolist() == [Reason.DRY, DISPUTED, DISPUTED, DISPUTED, Reason.SNOW, Reason.SHADOW]


def test_position_of_the_scene() -> None:
    """The scene's global pixel has the documented longitude and latitude."""
    lake = lakes_of(np.ones((6, 6), bool))
    assert lake.geometry[0].equals_exact(shapely.multipolygons([pixels(0, 0, 6, 6)]), 1e-3)
    assert 42 < lake.geometry[0].centroid.y < 43 and (ROW, COL) == (529_200, 50_400)
