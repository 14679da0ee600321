"""From masks to lakes: polygons of a whole region, so that a lake across tiles or UTM zones is one lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from rasterio import features
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from monitor.grid import WGS84, Tile, reproject
from monitor.lakes.absence import DISPUTED, SIGHTS
from monitor.stack.index import Index
from storage.codes import NO_ELEVATION, Reason

EIGHT = np.ones((3, 3), np.int8)
GEOD = Geod(ellps="WGS84")
COLUMNS = ["geometry", "area_m2", "perimeter_m", "probability", "first_doy", "last_doy", "elevation_m"]


@dataclass(frozen=True)
class TileMap:
    """What the cube holds of one tile and season; layers (size, size) as in `segment.Prediction`."""

    tile: Tile
    probability: NDArray[np.float32]
    mask: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    day_of_year: NDArray[np.int16]
    index: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    elevation: NDArray[np.int16]


def vectorise(maps: Iterable[TileMap], zone: BaseGeometry, smallest_m2: float) -> geopandas.GeoDataFrame:
    """Lakes of a region: water of all tiles joined, at least `smallest_m2`, lying in `zone`.

    Pixels that touch, corners included, are one lake. A lake counts when a point inside it lies in `zone`
    (EPSG:4326), and is then kept whole.

    Returns:
        GeoDataFrame (EPSG:4326), a row a lake, from west to east: geometry (MultiPolygon, the same however
        the region is tiled), area_m2 (geodesic), perimeter_m (of the pixels' outline), probability (mean over
        its pixels), first_doy and last_doy (days of the year of its pixels), elevation_m (mean of the DEM on
        its pixels, NaN without one).
    """
    pieces = pd.DataFrame([piece for tile_map in maps for piece in _pieces(tile_map)])
    if pieces.empty:
        return geopandas.GeoDataFrame(columns=COLUMNS, geometry="geometry", crs=WGS84)
    joined = [_join(group, "utm") for _, group in pieces.groupby("epsg")]
    lakes = pd.concat(joined, ignore_index=True)
    # corners left where tiles met would give a lake another first point, and with it another identity
    lakes["utm"] = [shapely.normalize(shapely.simplify(outline, 0)) for outline in lakes.utm]
    lakes["geometry"] = [
        reproject(g, WGS84 if e == 0 else e, WGS84) for g, e in zip(lakes.utm, lakes.epsg, strict=True)
    ]
    if lakes.epsg.nunique() > 1:
        lakes["border"] = True
        lakes = _join(lakes, "geometry")
    lakes["geometry"] = [_multi(shapely.make_valid(g)) for g in lakes.geometry]
    lakes["area_m2"] = [abs(GEOD.geometry_area_perimeter(g)[0]) for g in lakes.geometry]
    lakes["probability"] = lakes.weight / lakes.pixels
    lakes["elevation_m"] = lakes.metres / lakes.measured.where(lakes.measured > 0)
    shapely.prepare(zone)
    points = [g.representative_point() for g in lakes.geometry]
    here = np.array([zone.covers(point) for point in points], bool)
    kept = lakes[(lakes.area_m2 >= smallest_m2) & here]
    order = kept.geometry.apply(lambda g: g.bounds[:2])
    kept = kept.loc[order.sort_values().index]
    return geopandas.GeoDataFrame(kept[COLUMNS].reset_index(drop=True), geometry="geometry", crs=WGS84)


def _pieces(tile_map: TileMap) -> Iterator[dict[str, object]]:
    """The tile's own connected water, each with the sums that a lake's figures are made of."""
    tile = tile_map.tile
    labels, count = ndimage.label(tile_map.mask == 1, structure=EIGHT)
    if count == 0:
        return
    flat, days = labels.ravel(), tile_map.day_of_year
    pixels = np.bincount(flat, minlength=count + 1)
    weight = np.bincount(flat, np.nan_to_num(tile_map.probability).ravel(), minlength=count + 1)
    numbers = np.arange(1, count + 1)
    known = tile_map.elevation != NO_ELEVATION
    measured = np.bincount(flat, known.ravel(), minlength=count + 1)
    # whole metres add up to the same in any order of tiles
    metres = np.bincount(flat, np.where(known, tile_map.elevation, 0).ravel(), minlength=count + 1)
    first, last = ndimage.minimum(days, labels, numbers), ndimage.maximum(days, labels, numbers)
    parts: dict[int, list[BaseGeometry]] = {}
    affine = tile.geobox().affine
    for geometry, label in features.shapes(labels.astype(np.int32), labels > 0, 4, affine):
        parts.setdefault(int(label), []).append(shape(geometry))
    edge = np.ones(labels.shape, bool)
    edge[1:-1, 1:-1] = False
    at_edge = set(np.unique(labels[edge]).tolist())
    for label, polygons in sorted(parts.items()):
        outline = _multi(shapely.union_all(polygons))
        yield {
            "epsg": tile.epsg,
            "utm": outline,
            "perimeter_m": outline.length,
            "border": label in at_edge,
            "pixels": int(pixels[label]),
            "weight": float(weight[label]),
            "measured": int(measured[label]),
            "metres": int(metres[label]),
            "first_doy": int(first[label - 1]),
            "last_doy": int(last[label - 1]),
        }


def _join(pieces: pd.DataFrame, column: str) -> pd.DataFrame:
    """Pieces that reach a border and touch one another become one row; the others stay as they are."""
    pieces = pieces.reset_index(drop=True)
    at_border = pieces.index[pieces.border].to_numpy()
    outlines = pieces.loc[at_border, column].to_numpy()
    tree = shapely.STRtree(outlines)
    left, right = tree.query(outlines, predicate="intersects")
    size = len(pieces)
    links = coo_array((np.ones(len(left), bool), (at_border[left], at_border[right])), shape=(size, size))
    _, group = connected_components(links, directed=False)
    rows = []
    for _, members in pieces.groupby(group):
        if len(members) == 1:
            rows.append(members.iloc[0].to_dict())
            continue
        outline = _multi(shapely.union_all(members[column].to_numpy()))
        zones = set(members.epsg)
        rows.append(
            {
                **members.iloc[0].to_dict(),
                column: outline,
                # across two zones the outline is in degrees and its length is measured on the ellipsoid
                "perimeter_m": outline.length if column == "utm" else GEOD.geometry_length(outline),
                "epsg": zones.pop() if len(zones) == 1 else 0,
                "pixels": members.pixels.sum(),
                "weight": members.weight.sum(),
                "measured": members.measured.sum(),
                "metres": members.metres.sum(),
                "first_doy": members.first_doy.min(),
                "last_doy": members.last_doy.max(),
            }
        )
    return pd.DataFrame(rows)


def _multi(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of `geometry` as one MultiPolygon."""
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    return shapely.multipolygons(polygons) if polygons else geometry


def sights(tile_map: TileMap) -> NDArray[np.uint8]:
    """What a person may conclude of each pixel: its reason, but "dry" only where the index agrees.

    Where the model says dry and the index sees ice or shadow, that is the reason; where the index sees water,
    the pixel is `DISPUTED`.
    """
    seen = tile_map.reason.copy()
    dry = seen == Reason.DRY
    seen[dry & np.isin(tile_map.index, (Index.WATER, Index.RADAR, Index.TURBID))] = DISPUTED
    seen[dry & (tile_map.index == Index.SNOW)] = Reason.SNOW
    seen[dry & (tile_map.index == Index.SHADOW)] = Reason.SHADOW
    return seen


def sights_within(maps: Iterable[TileMap], footprints: geopandas.GeoSeries) -> NDArray[np.int64]:
    """How many pixels of each sight lie in each footprint.

    Args:
        maps: tiles of one season.
        footprints: N polygons (EPSG:4326).

    Returns:
        (N, 8) counts, a column for every `storage.codes.Reason` and one for `DISPUTED`.
    """
    counts = np.zeros((len(footprints), SIGHTS), np.int64)
    if len(footprints) == 0:
        return counts
    tree = shapely.STRtree(footprints.to_numpy())
    for tile_map in maps:
        tile = tile_map.tile
        affine, seen = tile.geobox().affine, sights(tile_map)
        for position in tree.query(tile.footprint(), predicate="intersects"):
            outline = reproject(footprints.iloc[position], WGS84, tile.epsg)
            window = _window(outline, tile)
            if window is None:
                continue
            rows, cols = window
            part = seen[rows, cols]
            covered = features.geometry_mask(
                [outline], part.shape, affine @ affine.translation(cols.start, rows.start), invert=True
            )
            counts[position] += np.bincount(part[covered], minlength=SIGHTS)
    return counts


def _window(outline: BaseGeometry, tile: Tile) -> tuple[slice, slice] | None:
    """Rows and columns of the tile that `outline` (in the tile's UTM) may cover."""
    affine = ~tile.geobox().affine
    left, bottom, right, top = outline.bounds
    col0, row0 = affine @ (left, top)
    col1, row1 = affine @ (right, bottom)
    rows = slice(max(0, int(row0)), min(tile.size, int(row1) + 1))
    cols = slice(max(0, int(col0)), min(tile.size, int(col1) + 1))
    return None if rows.start >= rows.stop or cols.start >= cols.stop else (rows, cols)
