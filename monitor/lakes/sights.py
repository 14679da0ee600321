"""How pixels were seen: the reason of each, counted within outlines."""

from __future__ import annotations

from collections.abc import Iterable

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, Tile, reproject
from monitor.lakes.absence import DISPUTED, SIGHTS
from storage.codes import Index, Reason


def sights(layers: TileLayers) -> NDArray[np.uint8]:
    """The sight of each pixel (size, size): its reason, but "dry" only where the index agrees.

    Where the model says dry and the index ice or shadow, that is the sight; where the index says water, the
    pixel is `DISPUTED`.
    """
    seen, index = layers["reason"].copy(), layers["index"]
    dry = seen == Reason.DRY
    seen[dry & np.isin(index, (Index.WATER, Index.RADAR, Index.TURBID))] = DISPUTED
    seen[dry & (index == Index.SNOW)] = Reason.SNOW
    seen[dry & (index == Index.SHADOW)] = Reason.SHADOW
    return seen


def sights_within(tiles: Iterable[TileLayers], footprints: geopandas.GeoSeries) -> NDArray[np.int64]:
    """How many pixels of each sight lie in each footprint.

    Args:
        tiles: of one season.
        footprints: N polygons (EPSG:4326).

    Returns:
        (N, 8) counts, a column for every `storage.codes.Reason` and one for `DISPUTED`.
    """
    counts = np.zeros((len(footprints), SIGHTS), np.int64)
    outlines = footprints.to_numpy()
    tree = shapely.STRtree(outlines)
    for layers in tiles:
        near = tree.query(layers.tile.footprint(), predicate="intersects")
        counts[near] += count_sights(layers, outlines[near])
    return counts


def count_sights(layers: TileLayers, outlines: NDArray[np.object_]) -> NDArray[np.int64]:
    """How many pixels of each sight of one tile lie in each of N outlines (EPSG:4326): (N, 8)."""
    counts = np.zeros((len(outlines), SIGHTS), np.int64)
    if len(outlines) == 0:
        return counts
    tile = layers.tile
    affine, seen = tile.geobox().affine, sights(layers)
    for position, outline in enumerate(outlines):
        shape = reproject(outline, WGS84, tile.epsg)
        window = _window(shape, tile)
        if window is None:
            continue
        rows, cols = window
        part = seen[rows, cols]
        covered = features.geometry_mask(
            [shape], part.shape, affine @ affine.translation(cols.start, rows.start), invert=True
        )
        counts[position] = np.bincount(part[covered], minlength=SIGHTS)
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
