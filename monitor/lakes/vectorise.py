"""Lake polygons from masks, for a whole region: a lake across tiles or UTM zones is one lake."""

from __future__ import annotations

from collections.abc import Iterable

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import Geod
from rasterio import features
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, reproject, split_at_180
from monitor.lakes.sensors import CODES
from storage.codes import NO_ELEVATION

EIGHT = np.ones((3, 3), np.int8)
GEOD = Geod(ellps="WGS84")
#: connected water within one tile: its UTM zone, its outline in that zone, and sums over its pixels
Piece = dict[str, object]
COLUMNS = [
    "geometry",
    "area_m2",
    "perimeter_m",
    "probability",
    "first_doy",
    "last_doy",
    "elevation_m",
    "seen_by",
]
#: no day of the year: of a pixel without an optical view
NO_DAY = 0


def vectorise(tiles: Iterable[TileLayers], zone: BaseGeometry, smallest_m2: float) -> geopandas.GeoDataFrame:
    """Lakes of a region: the joined water of all tiles, of at least `smallest_m2`, in `zone`.

    Pixels that touch, corners included, are one lake. A lake is kept, as a whole, if its representative point
    lies in `zone` (EPSG:4326).

    Returns:
        GeoDataFrame (EPSG:4326), one row per lake, from west to east: geometry (MultiPolygon, independent of
        the tiling), area_m2 (geodesic), perimeter_m (of the pixels' outline), probability (mean over its
        pixels), first_doy and last_doy (days of the year of its pixels with an optical view, `NO_DAY` if none
        has one), elevation_m (mean of the DEM over its pixels, NaN without a DEM), seen_by ((8,) number of
        its pixels by the code of the set of sensors from which they were predicted).
    """
    return join_pieces((piece for layers in tiles for piece in pieces_of(layers)), zone, smallest_m2)


def join_pieces(found: Iterable[Piece], zone: BaseGeometry, smallest_m2: float) -> geopandas.GeoDataFrame:
    """Lakes, as from `vectorise`, from the pieces of all tiles in the order of the tiles."""
    pieces = pd.DataFrame(list(found))
    if pieces.empty:
        return geopandas.GeoDataFrame(columns=COLUMNS, geometry="geometry", crs=WGS84)
    joined = [_join(group, "utm") for _, group in pieces.groupby("epsg")]
    lakes = pd.concat(joined, ignore_index=True)
    # vertices left on tile borders would change the first point of an outline, and with it the identity
    lakes["utm"] = [shapely.normalize(shapely.simplify(outline, 0)) for outline in lakes.utm]
    lakes["geometry"] = [
        split_at_180(reproject(g, WGS84 if e == 0 else e, WGS84))
        for g, e in zip(lakes.utm, lakes.epsg, strict=True)
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


def pieces_of(layers: TileLayers) -> list[Piece]:
    """The pieces of one tile, each with the sums from which a lake's figures are computed."""
    tile = layers.tile
    labels, count = ndimage.label(layers["mask"] == 1, structure=EIGHT)
    if count == 0:
        return []
    flat, days = labels.ravel(), layers["day_of_year"]
    pixels = np.bincount(flat, minlength=count + 1)
    seen_by = np.bincount(flat * CODES + layers["sources"].ravel(), minlength=(count + 1) * CODES)
    seen_by = seen_by.reshape(count + 1, CODES)
    weight = np.bincount(flat, np.nan_to_num(layers["probability"]).ravel(), minlength=count + 1)
    numbers = np.arange(1, count + 1)
    elevation = layers["elevation"]
    known = elevation != NO_ELEVATION
    measured = np.bincount(flat, known.ravel(), minlength=count + 1)
    # sums of whole metres are the same in any order of tiles
    metres = np.bincount(flat, np.where(known, elevation, 0).ravel(), minlength=count + 1)
    first = ndimage.minimum(np.where(days == NO_DAY, np.iinfo(days.dtype).max, days), labels, numbers)
    last = ndimage.maximum(days, labels, numbers)
    first = np.where(last == NO_DAY, NO_DAY, first)
    parts: dict[int, list[BaseGeometry]] = {}
    affine = tile.geobox().affine
    for geometry, label in features.shapes(labels.astype(np.int32), labels > 0, 4, affine):
        parts.setdefault(int(label), []).append(shape(geometry))
    edge = np.ones(labels.shape, bool)
    edge[1:-1, 1:-1] = False
    at_edge = set(np.unique(labels[edge]).tolist())
    outlines = {label: _multi(shapely.union_all(polygons)) for label, polygons in sorted(parts.items())}
    return [
        {
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
            "seen_by": seen_by[label],
        }
        for label, outline in outlines.items()
    ]


def _join(pieces: pd.DataFrame, column: str) -> pd.DataFrame:
    """Join pieces that reach a border and touch one another into one row; the others are unchanged."""
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
                # across two zones the outline is in degrees, and its length is computed on the ellipsoid
                "perimeter_m": outline.length if column == "utm" else GEOD.geometry_length(outline),
                "epsg": zones.pop() if len(zones) == 1 else 0,
                "pixels": members.pixels.sum(),
                "weight": members.weight.sum(),
                "measured": members.measured.sum(),
                "metres": members.metres.sum(),
                "first_doy": first_day(members.first_doy),
                "last_doy": members.last_doy.max(),
                "seen_by": np.sum(members.seen_by.to_list(), axis=0),
            }
        )
    return pd.DataFrame(rows)


def first_day(days: pd.Series) -> int:
    """The first of some days of the year, of which some can be `NO_DAY`; `NO_DAY` if all are."""
    known = days[days != NO_DAY]
    return int(known.min()) if len(known) else NO_DAY


def _multi(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of `geometry` as one MultiPolygon."""
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    return shapely.multipolygons(polygons) if polygons else geometry
