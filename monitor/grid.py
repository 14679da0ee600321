"""The global 10 m grid: each UTM zone is one raster, divided into square tiles.

Rows and columns count the 10 m pixels of a zone from easting 0, northing 10,000 km. A pixel has the same row
and column in every region, tile and window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from storage.codes import tile_name

if TYPE_CHECKING:
    import geopandas
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

PIXEL = 10.0
NORTHING_ORIGIN = 10_000_000.0
WGS84 = 4326
#: degrees of longitude between the antimeridian and Greenwich
HALF_TURN = 180.0
#: side in pixels of a cell, the area over which cloud is measured and dates are ranked, independent of tiles
CELL = 1024


@dataclass(frozen=True, order=True)
class Tile:
    """A square of the global grid: `size` pixels from global pixel (`row`, `col`) of zone `epsg`."""

    epsg: int
    size: int
    row: int
    col: int

    @property
    def name(self) -> str:
        return tile_name(self.epsg, self.size, self.row // self.size, self.col // self.size)

    def geobox(self, halo: int = 0) -> GeoBox:
        """GeoBox of the tile with `halo` more pixels on every side."""
        side = self.size + 2 * halo
        return geobox_at(self.epsg, self.row - halo, self.col - halo, (side, side))

    def footprint(self, margin: int = 0) -> BaseGeometry:
        """Outline in EPSG:4326, with `margin` more pixels on every side."""
        left, top = (self.col - margin) * PIXEL, NORTHING_ORIGIN - (self.row - margin) * PIXEL
        side = (self.size + 2 * margin) * PIXEL
        # an edge in UTM is curved in degrees: with eight segments per side the error is less than a pixel
        square = shapely.segmentize(shapely.box(left, top - side, left + side, top), side / 8)
        return split_at_180(reproject(square, self.epsg, WGS84))


def tile_named(name: str) -> Tile:
    """The tile with a name (see `Tile.name`)."""
    epsg, size, row, col = (int(part) for part in name.split("_"))
    return Tile(epsg, size, row * size, col * size)


def tile_at(longitude: float, latitude: float, size: int) -> Tile:
    """The tile of `size` pixels at a place, in the UTM zone of the place."""
    epsg = zone_at(longitude, latitude)
    easting, northing = _transformer(WGS84, epsg).transform(longitude, latitude)
    row, col = int((NORTHING_ORIGIN - northing) // PIXEL), int(easting // PIXEL)
    return Tile(epsg, size, row // size * size, col // size * size)


def cells_of(area: BaseGeometry) -> list[Tile]:
    """The cells that touch `area` (EPSG:4326), and their neighbours."""
    return sorted({near for cell in tiles_of(area, CELL) for near in cells_near(cell, 1)})


def cells_near(tile: Tile, margin: int) -> list[Tile]:
    """The cells that touch `tile` grown by `margin` pixels."""
    rows = range((tile.row - margin) // CELL, (tile.row + tile.size + margin - 1) // CELL + 1)
    cols = range((tile.col - margin) // CELL, (tile.col + tile.size + margin - 1) // CELL + 1)
    return [Tile(tile.epsg, CELL, row * CELL, col * CELL) for row in rows for col in cols]


def geobox_at(epsg: int, row: int, col: int, shape: tuple[int, int]) -> GeoBox:
    """GeoBox of `shape` (rows, columns) whose upper-left pixel is global pixel (`row`, `col`)."""
    from odc.geo.geobox import GeoBox  # imports Dask, which `monitor status` does not need

    affine = Affine(PIXEL, 0, col * PIXEL, 0, -PIXEL, NORTHING_ORIGIN - row * PIXEL)
    return GeoBox(shape, affine, f"EPSG:{epsg}")


def pixel_at(easting: float, northing: float) -> tuple[int, int]:
    """Global pixel (row, column) whose upper-left corner is nearest to a place in UTM metres."""
    return round((NORTHING_ORIGIN - northing) / PIXEL), round(easting / PIXEL)


def zone_at(longitude: float, latitude: float) -> int:
    """EPSG code of the UTM zone of a place, either hemisphere; longitudes beyond 180 degrees are allowed."""
    return (32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) % 60 + 1


def tiles_of(area: BaseGeometry, size: int) -> list[Tile]:
    """Tiles that touch `area` (EPSG:4326), in the UTM zone of each part of it.

    Tiles extend beyond the six degrees of their zone. A lake on the border of two zones is therefore complete
    in one of them, or is covered by tiles of both and joined by `monitor.lakes.vectorise`.
    """
    tiles: list[Tile] = []
    west, south, east, north = area.bounds
    for zone in range(int((west + 180) // 6) + 1, int((east + 180) // 6) + 2):
        for hemisphere, low, high in ((600, 0.0, 84.0), (700, -80.0, 0.0)):
            if (north <= low and not (low == 0 and north == 0)) or south >= high:
                continue
            strip = shapely.box(zone * 6 - 186, max(low, south), zone * 6 - 180, min(high, north))
            part = shapely.intersection(area, strip)
            if shapely.area(part) > 0:
                tiles += _tiles_of_zone(part, 32000 + hemisphere + zone, size)
    return sorted(tiles)


def _tiles_of_zone(area: BaseGeometry, epsg: int, size: int) -> list[Tile]:
    utm = reproject(shapely.segmentize(area, 0.1), WGS84, epsg)
    # shrunk by a millimetre: an area cut along tile borders must not include the tiles that it only touches
    utm = utm.buffer(-1e-3)
    if utm.is_empty:
        return []
    left, bottom, right, top = utm.bounds
    side = size * PIXEL
    rows = range(int((NORTHING_ORIGIN - top) // side), int((NORTHING_ORIGIN - bottom) // side) + 1)
    cols = range(int(left // side), int(right // side) + 1)
    shapely.prepare(utm)
    return [
        Tile(epsg, size, row * size, col * size)
        for row in rows
        for col in cols
        if utm.intersects(
            shapely.box(
                col * side, NORTHING_ORIGIN - (row + 1) * side, (col + 1) * side, NORTHING_ORIGIN - row * side
            )
        )
    ]


@lru_cache(maxsize=64)
def _transformer(source: int, target: int) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def reproject(geometry: BaseGeometry, source: int, target: int) -> BaseGeometry:
    """`geometry` from EPSG `source` to EPSG `target`, vertex by vertex (x, y order)."""
    transformer = _transformer(source, target)

    def move(points: np.ndarray) -> np.ndarray:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))

    return shapely.transform(geometry, move)


def in_utm(outlines: geopandas.GeoSeries) -> NDArray[np.object_]:
    """Outlines (EPSG:4326), each in the UTM zone of its centre; lengths are accurate to 0.1 %.

    One that is cut at 180 degrees is joined there.
    """
    joined = _joined(outlines)
    flat = np.empty(len(joined), object)
    for zone, at in by_zone(joined).items():
        flat[at] = joined.iloc[at].to_crs(zone).to_numpy()
    return flat


def by_zone(outlines: geopandas.GeoSeries) -> dict[int, NDArray[np.intp]]:
    """EPSG codes of UTM zones to the positions of the outlines (EPSG:4326) whose centres lie in them."""
    bounds = _joined(outlines).bounds.to_numpy()
    centres = zip((bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2, strict=True)
    zones = np.array([zone_at(x, y) for x, y in centres], int)
    return {int(zone): np.flatnonzero(zones == zone) for zone in np.unique(zones)}


def _joined(outlines: geopandas.GeoSeries) -> geopandas.GeoSeries:
    """Outlines; each one on both sides of 180 degrees is continuous."""
    bounds = shapely.bounds(outlines.to_numpy())
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > HALF_TURN)
    if not wide.size:
        return outlines
    joined = outlines.copy()
    for row in wide:
        joined.iloc[row] = continuous(outlines.iloc[row])
    return joined


def grown(geometry: BaseGeometry, metres: float) -> BaseGeometry:
    """`geometry` (EPSG:4326) buffered by `metres` in the UTM zone of its centre."""
    geometry = continuous(geometry)
    centre = geometry.envelope.centroid
    epsg = zone_at(centre.x, centre.y)
    # long straight edges are curved in the other projection; short segments hardly
    measured = reproject(shapely.segmentize(geometry, 0.1), WGS84, epsg)
    return split_at_180(reproject(shapely.buffer(measured, metres), epsg, WGS84))


def continuous(geometry: BaseGeometry) -> BaseGeometry:
    """`geometry` (EPSG:4326) with its parts beside one another where it lies on both sides of 180 degrees.

    Its longitudes then exceed 180. A geometry that is not wider than half the globe, or has a part that is,
    is returned unchanged.
    """
    if not _is_wide(geometry):
        return geometry
    parts = [_unwrapped(part) for part in shapely.get_parts(geometry)]
    if any(map(_is_wide, parts)):
        return geometry
    return shapely.union_all([_shifted(part, 360) if part.bounds[0] < 0 else part for part in parts])


def split_at_180(geometry: BaseGeometry) -> BaseGeometry:
    """`geometry` (EPSG:4326) with longitudes from -180 to 180, cut at 180 degrees (RFC 7946, 3.1.9).

    A ring whose longitudes jump by more than half a turn goes the short way round. A geometry within -180
    and 180 that is not wider than half the globe is returned unchanged.
    """
    west, _, east, _ = geometry.bounds
    if not _is_wide(geometry) and west >= -HALF_TURN and east <= HALF_TURN:
        return geometry
    globe = shapely.box(-HALF_TURN, -90, HALF_TURN, 90)
    parts = [_unwrapped(part) for part in shapely.get_parts(geometry) if not part.is_empty]
    # first turned so that their western edge lies between -180 and 180
    homes = [_shifted(part, -360 * np.floor((part.bounds[0] + HALF_TURN) / 360)) for part in parts]
    turned = (_shifted(part, turn) for part in homes for turn in (0, -360))
    cut = [shapely.intersection(shapely.make_valid(part), globe) for part in turned]
    # a part that only touches the cut from the other side is a line
    pieces = shapely.get_parts(shapely.get_parts(cut))
    return shapely.union_all(pieces[shapely.area(pieces) > 0])


def side_by_side(tiles: Sequence[Tile]) -> list[BaseGeometry]:
    """Outlines of tiles (EPSG:4326); of a region across 180 degrees, those east of it beyond 180."""
    grounds = [continuous(tile.footprint()) for tile in tiles]
    edges = shapely.bounds(grounds)[:, ::2] if grounds else np.zeros((0, 2))
    if not grounds or (edges.max() <= HALF_TURN and np.ptp(edges) <= HALF_TURN):
        return grounds
    return [_shifted(ground, 360) if ground.bounds[0] < 0 else ground for ground in grounds]


def bounds_of(geometry: BaseGeometry) -> tuple[float, float, float, float]:
    """West, south, east, north of a geometry (EPSG:4326); west is greater than east in a box across 180."""
    west, south, east, north = continuous(geometry).bounds
    return west, south, east - 360 if east > HALF_TURN else east, north


def _is_wide(geometry: BaseGeometry) -> bool:
    return bool(geometry.bounds[2] - geometry.bounds[0] > HALF_TURN)


def _shifted(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    if degrees == 0:
        return geometry
    return shapely.transform(geometry, lambda points: points + np.array([degrees, 0.0]))


def _unwrapped(part: BaseGeometry) -> BaseGeometry:
    """A polygon, line or point whose longitudes do not jump; the first of each ring stays.

    A ring around the globe, from -180 to 180, stays as it is.
    """
    if not _is_wide(part):
        return part
    if not isinstance(part, shapely.Polygon):
        return shapely.transform(part, _without_jumps)
    shell = _without_jumps(shapely.get_coordinates(part.exterior))
    if np.ptp(shell[:, 0]) == 0:
        return part
    middle = shell[:, 0].mean()
    holes = [_without_jumps(shapely.get_coordinates(ring)) for ring in part.interiors]
    for hole in holes:
        hole[:, 0] += 360 * np.round((middle - hole[:, 0].mean()) / 360)
    return shapely.Polygon(shell, holes)


def _without_jumps(points: NDArray[np.float64]) -> NDArray[np.float64]:
    turns = np.cumsum(np.rint(np.diff(points[:, 0], prepend=points[:1, 0]) / 360))
    return np.asarray(points - np.column_stack([360 * turns, np.zeros(len(points))]), np.float64)
