"""Sights of pixels (`absence.DISPUTED`), counted within outlines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rasterio import features
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, Tile, reproject
from monitor.lakes.absence import DISPUTED, SIGHTS
from storage.codes import Index, Reason


def sights(layers: TileLayers) -> NDArray[np.uint8]:
    """Sight of each pixel, (size, size): its reason, but dry only where the index agrees.

    A pixel that is dry by the model is snow or shadow if the index has that class, and `DISPUTED` if it is
    water by the index.
    """
    seen, index = layers["reason"].copy(), layers["index"]
    dry = seen == Reason.DRY
    seen[dry & np.isin(index, (Index.WATER, Index.RADAR, Index.TURBID))] = DISPUTED
    seen[dry & (index == Index.SNOW)] = Reason.SNOW
    seen[dry & (index == Index.SHADOW)] = Reason.SHADOW
    return seen


def count_sights(layers: TileLayers, outlines: NDArray[np.object_]) -> NDArray[np.int64]:
    """Number of a tile's pixels of each sight within each outline.

    Args:
        outlines: N polygons (EPSG:4326).

    Returns:
        (N, 8) counts, a column for each `storage.codes.Reason` and one for `DISPUTED`.
    """
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
