"""The global grid: one address per pixel, every area covered once."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from monitor.grid import (
    NORTHING_ORIGIN,
    WGS84,
    Tile,
    geobox_at,
    grown,
    pixel_at,
    reproject,
    tiles_of,
    zone_at,
)

#: zones 43 to 47 north, and one in the south
zones = st.sampled_from([32643, 32644, 32647, 32719])
sizes = st.sampled_from([256, 512, 1024])


@st.composite
def tiles(draw: st.DrawFn) -> Tile:
    epsg, size = draw(zones), draw(sizes)
    row = draw(st.integers(400_000 // size, 800_000 // size)) * size
    col = draw(st.integers(40_000 // size, 58_000 // size)) * size
    return Tile(epsg, size, row, col)


def test_name() -> None:
    assert Tile(32643, 1024, 516 * 1024, 64 * 1024).name == "32643_1024_0516_0064"


@given(tiles(), tiles())
def test_names_are_unique(one: Tile, other: Tile) -> None:
    assert (one.name == other.name) == (one == other)


@given(tiles(), st.sampled_from([0, 7, 112]))
def test_geobox_lies_on_the_grid(tile: Tile, halo: int) -> None:
    box = tile.geobox(halo)
    assert box.shape == (tile.size + 2 * halo,) * 2
    assert box.affine.c == (tile.col - halo) * 10
    assert box.affine.f == NORTHING_ORIGIN - (tile.row - halo) * 10
    assert box.resolution.x == 10 and box.resolution.y == -10
    assert box.crs.epsg == tile.epsg
    assert box == geobox_at(tile.epsg, tile.row - halo, tile.col - halo, box.shape)


@given(tiles())
def test_footprint_is_the_square_within_a_pixel(tile: Tile) -> None:
    square = shapely.box(*tile.geobox().boundingbox.bbox)
    back = reproject(tile.footprint(), WGS84, tile.epsg)
    assert shapely.area(shapely.symmetric_difference(back, square)) < 1.0
    straight = shapely.segmentize(reproject(tile.footprint(), WGS84, tile.epsg), 10)
    assert shapely.hausdorff_distance(straight, square) < 10


@given(st.floats(-60, 60), st.floats(-2.9, 2.9), zones)
def test_reproject_there_and_back(latitude: float, east: float, epsg: int) -> None:
    meridian = (epsg % 100) * 6 - 183
    point = shapely.Point(meridian + east, latitude)
    assert shapely.distance(reproject(reproject(point, WGS84, epsg), epsg, WGS84), point) < 1e-8


@settings(max_examples=40, deadline=None)
@given(st.floats(72.2, 77.5), st.floats(28, 45), st.floats(0.001, 0.3), st.floats(0.001, 0.3), sizes)
def test_an_area_within_a_zone_is_covered_once(west, south, width, height, size) -> None:
    area = shapely.box(west, south, west + width, south + height)
    found = tiles_of(area, size)
    assert {tile.epsg for tile in found} == {32643}
    assert found == sorted(set(found))
    squares = [shapely.box(*tile.geobox().boundingbox.bbox) for tile in found]
    utm = reproject(shapely.segmentize(area, 0.1), WGS84, 32643)
    assert shapely.area(utm - shapely.union_all(squares)) < 1
    assert sum(shapely.area(s) for s in squares) == pytest.approx(shapely.area(shapely.union_all(squares)))
    assert all(shapely.intersects(utm, square) for square in squares)


@settings(max_examples=30, deadline=None)
@given(tiles(), st.integers(1, 2), st.integers(1, 2))
def test_an_area_cut_along_tiles_has_no_neighbouring_tiles(tile: Tile, down: int, right: int) -> None:
    left, top = tile.col * 10, NORTHING_ORIGIN - tile.row * 10
    side = tile.size * 10
    square = shapely.segmentize(shapely.box(left, top - down * side, left + right * side, top), side / 16)
    inner = square.buffer(-30, join_style="mitre")
    area = reproject(inner, tile.epsg, WGS84)
    found = tiles_of(area, tile.size)
    assert len(found) == down * right
    assert tile in found


def test_southern_hemisphere() -> None:
    found = tiles_of(shapely.box(-69.1, -12.1, -69.0, -12.0), 1024)
    assert {tile.epsg for tile in found} == {32719}
    assert all(tile.row > 0 for tile in found)
    covered = shapely.union_all([tile.footprint() for tile in found])
    assert covered.contains(shapely.box(-69.1, -12.1, -69.0, -12.0))


def test_an_area_across_the_equator_has_tiles_of_both_hemispheres() -> None:
    found = tiles_of(shapely.box(75.0, -0.01, 75.05, 0.01), 1024)
    assert {tile.epsg for tile in found} == {32643, 32743}


def test_an_area_across_two_zones_has_tiles_of_each_on_its_own_side() -> None:
    area = shapely.box(77.9, 42.0, 78.1, 42.1)
    found = tiles_of(area, 1024)
    assert {tile.epsg for tile in found} == {32643, 32644}
    covered = shapely.union_all([tile.footprint() for tile in found])
    assert shapely.area(area - covered) < 1e-9
    for epsg, side in ((32643, shapely.box(77.9, 42, 78, 42.1)), (32644, shapely.box(78, 42, 78.1, 42.1))):
        own = shapely.union_all([tile.footprint() for tile in found if tile.epsg == epsg])
        assert shapely.area(side - own) < 1e-9
        assert all(tile.footprint().intersects(side) for tile in found if tile.epsg == epsg)


@pytest.mark.parametrize("sliver", [1e-12, 1e-9, 1e-8])
def test_a_sliver_across_a_zone_border_is_ignored(sliver: float) -> None:
    """Rounding may place an edge of an area a nanodegree beyond its zone."""
    area = shapely.box(77.9, 42.0, 78.0 + sliver, 42.1)
    assert {tile.epsg for tile in tiles_of(area, 1024)} == {32643}


def test_islands_have_their_own_tiles() -> None:
    area = shapely.multipolygons([shapely.box(75, 42, 75.01, 42.01), shapely.box(76, 43, 76.01, 43.01)])
    found = tiles_of(area, 512)
    assert len(found) < 16
    assert shapely.union_all([tile.footprint() for tile in found]).contains(area)


def test_a_pixel_has_one_address() -> None:
    """Neighbouring tiles of any size share the lines of the grid."""
    small, large = Tile(32643, 256, 529_152, 50_432), Tile(32643, 1024, 529_408 // 1024 * 1024, 50_176)
    for tile in (small, large):
        corner = ~tile.geobox().affine @ (50_500 * 10, NORTHING_ORIGIN - 529_200 * 10)
        assert np.allclose(corner, (50_500 - tile.col, 529_200 - tile.row))


def test_a_tile_starts_at_its_pixel() -> None:
    affine = Tile(32719, 512, 512 * 1200, 512 * 90).geobox().affine
    assert pixel_at(affine.c, affine.f) == (512 * 1200, 512 * 90)


def test_zones_of_both_hemispheres() -> None:
    assert [zone_at(77, 42.5), zone_at(-69.5, -33), zone_at(78, 0)] == [32643, 32719, 32644]


@settings(max_examples=20, deadline=None)
@given(
    west=st.floats(70, 90),
    south=st.floats(28, 44),
    wide=st.floats(0.01, 8),
    high=st.floats(0.01, 2),
    metres=st.floats(100, 20_000),
)
def test_a_buffered_zone_contains_near_points_and_no_far_ones(
    west: float, south: float, wide: float, high: float, metres: float
) -> None:
    """Distances on the ellipsoid from points of the border, also for a box as wide as a mountain range."""
    box = shapely.box(west, south, west + wide, south + high)
    bigger = grown(box, metres)
    assert bigger.contains(box.buffer(-1e-9))
    geod = Geod(ellps="WGS84")
    for part in (0.0, 0.13, 0.5, 0.77):
        place = shapely.segmentize(box, 0.1).exterior.interpolate(part, normalized=True)
        for azimuth in range(0, 360, 45):
            near, far = (geod.fwd(place.x, place.y, azimuth, metres * share)[:2] for share in (0.97, 1.05))
            assert bigger.contains(shapely.Point(near))
            if box.distance(shapely.Point(far)) > 0 and _shortest(geod, box, far) > 1.04 * metres:
                assert not bigger.contains(shapely.Point(far))


def _shortest(geod: Geod, box: shapely.Geometry, point: tuple[float, float]) -> float:
    """Approximate distance in metres from a point to the border of a box."""
    edge = shapely.segmentize(box, 0.01).exterior
    nearest = edge.interpolate(edge.project(shapely.Point(point)))
    return geod.inv(*point, nearest.x, nearest.y)[2]
