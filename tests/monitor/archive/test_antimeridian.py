"""Regions, outlines and files on both sides of 180 degrees."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import mapping

from monitor.archive.catalog import FolderCatalog
from monitor.archive.load import load_elevation
from monitor.archive.outlines import bbox_of, boxed, outline
from monitor.archive.scenes import Scene, usable_optical
from monitor.grid import (
    bounds_of,
    by_zone,
    cells_of,
    continuous,
    grown,
    side_by_side,
    split_at_180,
    tile_at,
    tiles_of,
    zone_at,
)
from monitor.stack.sight import radar_geometry
from tests.support.listings import PC, optical
from tests.support.samples import recorded, save

REGION = shapely.MultiPolygon([shapely.box(179.8, 68, 180, 68.1), shapely.box(-180, 68, -179.8, 68.1)])
#: drawings of one outline, from 178.8 east to 179 west
DRAWN = {
    "in two parts": shapely.MultiPolygon(
        [shapely.box(178.8, -43.7, 180, -43.2), shapely.box(-180, -43.7, -179, -43.2)]
    ),
    "not cut": shapely.Polygon([(178.8, -43.2), (-179, -43.2), (-179, -43.7), (178.8, -43.7)]),
    "beyond -180": shapely.box(-181.2, -43.7, -179, -43.2),
    "beyond 180": shapely.box(178.8, -43.7, 181, -43.2),
    "180 as -180": shapely.MultiPolygon(
        [
            shapely.Polygon([(178.8, -43.7), (-180, -43.7), (-180, -43.2), (178.8, -43.2)]),
            shapely.box(-180, -43.7, -179, -43.2),
        ]
    ),
}


def of(geometry: Any, **fields: Any) -> dict[str, Any]:
    return {"geometry": mapping(geometry), **fields}


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=DRAWN)
def test_every_drawing_of_an_outline_is_the_same_ground(drawn: shapely.Geometry) -> None:
    found = outline(of(drawn))
    assert shapely.area(shapely.symmetric_difference(found, DRAWN["in two parts"])) < 1e-9
    assert not shapely.intersects(found, shapely.box(170, -44, 171, -43))
    assert bounds_of(found) == pytest.approx((178.8, -43.7, -179, -43.2))
    assert continuous(found).centroid.x == pytest.approx(179.9)


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        (shapely.box(-180, -90, 180, -43), "half the globe"),
        (shapely.segmentize(shapely.box(-170, -60, 170, -43), 10), "half the globe"),
        (shapely.box(0, 0, 0, 0), "has no area"),
        (shapely.LineString([(0, 0), (1, 1)]), "LineString"),
        (shapely.box(70, 89, 71, 92), "beyond 90"),
    ],
)
def test_an_outline_that_is_none_is_refused_or_its_box_is_used(drawn: shapely.Geometry, why: str) -> None:
    with pytest.raises(ValueError, match=f"{why}.*bbox is missing"):
        outline(of(drawn))
    assert outline(of(drawn, bbox=[179.0, -44, -179.5, -43])).area == pytest.approx(1.5)
    with pytest.raises(ValueError, match="bbox spans half the globe"):
        outline(of(drawn, bbox=[-180, -90, 180, -43]))


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        [],
        "x",
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], ["a", 1], [1, 1]]]},
        {"type": "Cube", "coordinates": [1]},
    ],
)
def test_what_is_no_geometry(geometry: Any) -> None:
    with pytest.raises(ValueError, match="geometry"):
        outline({"geometry": geometry})


def test_an_outline_whose_rings_cross_is_mended() -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    assert outline(of(bow)).is_valid and outline(of(bow)).area == pytest.approx(0.5)


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], "1234", [0, 0, 1, float("nan")], [0, 5, 1, 4], [0, None, 1, 4]]
)
def test_boxes_that_cannot_be_used(box: Any) -> None:
    assert bbox_of({"bbox": box}) is None


@given(st.floats(-179, 179), st.floats(-70, 70), st.floats(0.01, 60), st.integers(-2, 2))
def test_a_box_is_the_same_ground_however_often_it_goes_round(
    west: float, south: float, width: float, turns: int
) -> None:
    found = split_at_180(shapely.box(west + 360 * turns, south, west + 360 * turns + width, south + 1))
    assert found.bounds[0] >= -180 and found.bounds[2] <= 180
    assert found.area == pytest.approx(width, rel=1e-6)
    assert shapely.intersects(found, shapely.Point((west + width / 2 + 180) % 360 - 180, south + 0.5))
    assert split_at_180(found).equals(found)


def test_other_outlines_are_unchanged() -> None:
    box = shapely.box(76, 42, 77, 43)
    assert split_at_180(box) is box and continuous(box) is box and bounds_of(box) == box.bounds
    world = shapely.box(-180, 60, 180, 84)
    assert split_at_180(world).equals(world) and continuous(world) is world


def test_recorded_items_across_180_degrees() -> None:
    (one,) = recorded(
        "earthsearch/mapchete-eo_stac_items/S2A_OPER_MSI_L2A_TL_2APS_20230602T025701_A041483_T01WCR.json"
    )
    found = outline({"geometry": one.geometry, "bbox": one.bbox})
    assert bounds_of(found) == pytest.approx((178.1185, 67.461, -179.1254, 68.4981), abs=1e-3)


class TestRegion:
    """A region that is cut at 180 degrees."""

    def test_tiles_and_cells(self) -> None:
        tiles = tiles_of(REGION, 512)
        assert {tile.epsg for tile in tiles} == {32601, 32660}
        covered = shapely.union_all([tile.footprint() for tile in tiles])
        assert shapely.area(shapely.difference(REGION, covered)) < 1e-9
        assert all(bounds_of(tile.footprint())[2] != 180 for tile in tiles)
        assert all(continuous(tile.footprint()).geom_type == "Polygon" for tile in tiles)
        assert max(tile.footprint().area for tile in cells_of(REGION)) < 0.1

    def test_tiles_on_a_map_lie_side_by_side(self) -> None:
        tiles = tiles_of(REGION, 512)
        grounds = side_by_side(tiles)
        assert all(ground.geom_type == "Polygon" for ground in grounds)
        west, _, east, _ = shapely.union_all(grounds).bounds
        assert 179 < west < east < 181
        assert side_by_side([]) == []
        here = [tile_at(77, 42, 512)]
        assert side_by_side(here) == [here[0].footprint()]

    def test_zones(self) -> None:
        assert zone_at(180, 68) == zone_at(-180, 68) == 32601 and zone_at(179.99, -1) == 32760
        assert zone_at(180.1, 68) == 32601

    def test_what_lies_around_it(self) -> None:
        around = grown(REGION, 2000)
        assert shapely.covers(around, REGION) and around.area < 2 * REGION.area
        assert bounds_of(around) == pytest.approx((179.752, 67.982, -179.752, 68.118), abs=1e-3)

    def test_a_lake_on_both_sides_is_measured_in_one_zone(self) -> None:
        lake = shapely.MultiPolygon(
            [shapely.box(179.99, 68, 180, 68.01), shapely.box(-180, 68, -179.995, 68.01)]
        )
        (zone,) = by_zone(geopandas.GeoSeries([lake], crs=4326))
        assert zone == 32660

    @pytest.mark.parametrize("drawn", DRAWN.values(), ids=DRAWN)
    def test_items_of_a_folder_are_found_on_both_sides(self, drawn: shapely.Geometry, tmp_path: Path) -> None:
        made = optical("S2A")
        made.geometry, made.bbox = mapping(drawn), None
        save(made, tmp_path)
        folder = FolderCatalog(tmp_path)
        for box, found in {
            (179.5, -44, 179.9, -43): True,
            (-179.9, -44, -179.5, -43): True,
            (179.95, -44, -179.95, -43): True,
            (170.0, -44, 171, -43): False,
            (-178.0, -44, -177, -43): False,
        }.items():
            assert bool(folder.always(PC.optical.collection, box)) == found, box

    def test_a_globe_wide_item_is_refused_by_name(self, tmp_path: Path) -> None:
        made = optical("S2A_broken")
        made.geometry, made.bbox = mapping(shapely.box(-180, -90, 180, -43)), [-180, -90, 180, -43]
        scenes, refused = usable_optical([made, optical("S2A_whole")], PC.optical)
        assert [scene.id for scene in scenes] == ["S2A_whole"]
        assert [name for name, _ in refused] == ["S2A_broken"] and "spans half the globe" in str(
            refused[0][1]
        )


STEP = 1 / 600


def dem_tile(folder: Path, west: float) -> Scene:
    """A plane that rises by 500 m per degree to the east, across 180 degrees; corners as of Copernicus."""
    left, top = west - STEP / 2, 68.5 + STEP / 2
    lon = left + (np.arange(600) + 0.5) * STEP
    lat = top - (np.arange(600) + 0.5) * STEP
    values = height(np.where(lon < 0, lon + 360, lon)[np.newaxis], lat[:, np.newaxis]).astype("float32")
    path = folder / f"{west}.tif"
    form = {"driver": "GTiff", "width": 600, "height": 600, "count": 1, "dtype": "float32", "crs": 4326}
    with rasterio.open(path, "w", transform=Affine(STEP, 0, left, 0, -STEP, top), tiled=True, **form) as file:
        file.write(values, 1)
    item = of(shapely.box(left, top - 1, left + 1, top)) | {"assets": {"data": {"href": str(path)}}}
    return Scene(path.stem, PC.dem.collection, datetime(1970, 1, 1, tzinfo=UTC), item)


def height(lon: Any, lat: Any) -> Any:
    return 1000 + (lon - 179) * 500 + (lat - 68) * 100


def test_elevation_is_complete_and_the_same_in_every_tile(tmp_path: Path) -> None:
    tiles = [dem_tile(tmp_path, west) for west in (179, -180)]
    for longitude in (179.99, -179.99):
        tile = tile_at(longitude, 68.05, 512)
        box = tile.geobox()
        found = load_elevation(tiles, PC, box).to_numpy()
        x, y = np.meshgrid(
            box.affine.c + (np.arange(512) + 0.5) * 10, box.affine.f - (np.arange(512) + 0.5) * 10
        )
        lon, lat = Transformer.from_crs(tile.epsg, 4326, always_xy=True).transform(x, y)
        assert lon.max() - lon.min() > 300, "the tile lies on both sides"
        np.testing.assert_allclose(found, height(np.where(lon < 0, lon + 360, lon), lat), atol=0.5)
        part = load_elevation(tiles, PC, box[100:300, 37:490]).to_numpy()
        np.testing.assert_array_equal(part, found[100:300, 37:490])


def test_the_view_of_a_radar_scene_does_not_depend_on_the_longitude() -> None:
    shape = shapely.Polygon([(0.3, 68.0), (-5.5, 68.5), (-4.6, 70.1), (1.6, 69.5)])

    def seen(degrees: float) -> tuple[float, float, float]:
        item = of(split_at_180(shapely.transform(shape, lambda points: points + np.array([degrees, 0.0]))))
        sight = radar_geometry({**item, "id": "S1A", "properties": {"sat:orbit_state": "descending"}})
        return (sight.longitude - degrees) % 360, sight.azimuth, sight.incidence

    for degrees in (181, -178):
        assert seen(degrees) == pytest.approx(seen(100), abs=1e-6)


def test_a_box_across_180_degrees_has_two_parts() -> None:
    assert boxed((179.0, 0, -179.0, 1)).area == pytest.approx(2)
    assert boxed((10.0, 0, 12.0, 1)).equals(shapely.box(10, 0, 12, 1))
