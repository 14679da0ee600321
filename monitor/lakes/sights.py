"""Sights of pixels (`monitor.lakes.absence`), their days and their sensors, within outlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio import features
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, Tile, reproject
from monitor.lakes.absence import DISPUTED, SIGHTS, UNCONFIRMED
from monitor.lakes.sensors import CODES, WITHOUT_OPTICAL
from monitor.lakes.vectorise import NO_DAY
from storage.codes import Index, Reason


def sights(layers: TileLayers) -> NDArray[np.uint8]:
    """Sight of each pixel, (size, size): its reason, but dry only where the index agrees.

    A pixel that is dry by the model is snow or shadow if the index has that class, `DISPUTED` if it is water
    by the index, and `UNCONFIRMED` if it was predicted without an optical view.
    """
    seen, index = layers["reason"].copy(), layers["index"]
    dry = seen == Reason.DRY
    seen[dry & WITHOUT_OPTICAL[layers["sources"]]] = UNCONFIRMED
    dry = seen == Reason.DRY
    seen[dry & np.isin(index, (Index.WATER, Index.RADAR, Index.TURBID))] = DISPUTED
    seen[dry & (index == Index.SNOW)] = Reason.SNOW
    seen[dry & (index == Index.SHADOW)] = Reason.SHADOW
    return seen


def optical_sights(layers: TileLayers) -> NDArray[np.uint8]:
    """`sights` in which water that was seen without optics is `UNCONFIRMED`, too."""
    seen = sights(layers)
    seen[(seen == Reason.WATER) & WITHOUT_OPTICAL[layers["sources"]]] = UNCONFIRMED
    return seen


def count_sights(
    layers: TileLayers,
    outlines: NDArray[np.object_],
    of: Callable[[TileLayers], NDArray[np.uint8]] = sights,
) -> NDArray[np.int64]:
    """Number of a tile's pixels of each sight within each outline.

    Args:
        outlines: N polygons (EPSG:4326).
        of: gives the sights of a tile's pixels.

    Returns:
        (N, 9) counts, a column for each `storage.codes.Reason`, one for `DISPUTED`, one for `UNCONFIRMED`.
    """
    counts = np.zeros((len(outlines), SIGHTS), np.int64)
    if len(outlines) == 0:
        return counts
    seen = of(layers)
    for position, window, covered in _places(layers.tile, outlines):
        counts[position] = np.bincount(seen[window][covered], minlength=SIGHTS)
    return counts


def days_seen(layers: TileLayers, outlines: NDArray[np.object_]) -> NDArray[np.int16]:
    """First and last day of the year on which a tile's pixels within each outline were seen.

    Args:
        outlines: N polygons (EPSG:4326).

    Returns:
        (N, 2); `NO_DAY` where no pixel was seen as water or dry.
    """
    days = np.full((len(outlines), 2), NO_DAY, np.int16)
    if len(outlines) == 0:
        return days
    seen = np.isin(layers["reason"], (Reason.WATER, Reason.DRY))
    day = layers["day_of_year"]
    for position, window, covered in _places(layers.tile, outlines):
        known = day[window][covered & seen[window] & (day[window] > 0)]
        if len(known):
            days[position] = known.min(), known.max()
    return days


def sensors_seen(layers: TileLayers, outlines: NDArray[np.object_]) -> NDArray[np.int64]:
    """Number of a tile's pixels within each outline that were seen as water or dry, by their set of sensors.

    Args:
        outlines: N polygons (EPSG:4326).

    Returns:
        (N, 8) counts by the code of the set.
    """
    counts = np.zeros((len(outlines), CODES), np.int64)
    if len(outlines) == 0:
        return counts
    seen = np.isin(layers["reason"], (Reason.WATER, Reason.DRY))
    sources = layers["sources"]
    for position, window, covered in _places(layers.tile, outlines):
        counts[position] = np.bincount(sources[window][covered & seen[window]], minlength=CODES)
    return counts


def merge_days(one: NDArray[np.int16], other: NDArray[np.int16]) -> NDArray[np.int16]:
    """First and last days of the pixels of two tiles, as from `days_seen`."""
    first = np.where(one[:, 0] == NO_DAY, other[:, 0], np.minimum(one[:, 0], other[:, 0]))
    first = np.where(other[:, 0] == NO_DAY, one[:, 0], first)
    return np.stack([first, np.maximum(one[:, 1], other[:, 1])], axis=1).astype(np.int16)


def _places(
    tile: Tile, outlines: NDArray[np.object_]
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_]]]:
    """Position of each outline, its window in the tile, and the pixels of the window within it."""
    affine = tile.geobox().affine
    for position, outline in enumerate(outlines):
        shape = reproject(outline, WGS84, tile.epsg)
        window = _window(shape, tile)
        if window is None:
            continue
        rows, cols = window
        size = rows.stop - rows.start, cols.stop - cols.start
        corner = affine @ affine.translation(cols.start, rows.start)
        yield position, window, features.geometry_mask([shape], size, corner, invert=True)


def _window(outline: BaseGeometry, tile: Tile) -> tuple[slice, slice] | None:
    """Rows and columns of the tile that `outline` (in the tile's UTM) may cover."""
    affine = ~tile.geobox().affine
    left, bottom, right, top = outline.bounds
    col0, row0 = affine @ (left, top)
    col1, row1 = affine @ (right, bottom)
    rows = slice(max(0, int(row0)), min(tile.size, int(row1) + 1))
    cols = slice(max(0, int(col0)), min(tile.size, int(col1) + 1))
    return None if rows.start >= rows.stop or cols.start >= cols.stop else (rows, cols)
