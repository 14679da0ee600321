"""Positions of a box's pixels in a file, and resampling there, with the same bits whatever the box.

A warp that adapts its approximations or its arithmetic to the box gives a pixel different values in different
tiles. Here the position of a pixel in the file depends only on its coordinates, and its value only on the
file's pixels around that position.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

#: pixels between the points that are projected exactly. Positions between them are interpolated: over 160 m
#: the projection from a UTM zone to a neighbouring zone or to degrees is linear to less than 1 mm.
LATTICE = 16
#: rows of a box that are processed at a time
STRIP = 64
#: positions are rounded to this fraction of a pixel, so that aligned grids coincide exactly
STEPS = 2.0**20


def places(geobox: GeoBox, crs: str, transform: Affine, width: int) -> tuple[Doubles, Doubles]:
    """Rows and columns, in pixels from a file's upper-left corner, of the pixel centres of `geobox`.

    Args:
        geobox: north-up box (H, W).
        crs: of the file, as WKT.
        transform: of the file, pixels to coordinates.
        width: of the file, pixels; a box beside the file across 180 degrees lies near its edge.

    Returns:
        Rows (H, 1) and columns (1, W) where the grids are parallel, else both (H, W); infinite outside the
        domain of the file's projection.
    """
    source = CRS.from_user_input(str(geobox.crs))
    x, y = _centres(geobox)
    parallel = transform.b == transform.d == 0
    if parallel and CRS.from_wkt(crs).equals(source, ignore_axis_order=True):
        rows, cols = _in_file(x[np.newaxis, :], y[:, np.newaxis], transform)
        return _rounded(rows), _rounded(cols)
    step = abs(geobox.affine.a) * LATTICE
    (first_x, at_x), (first_y, at_y) = _knots(x / step), _knots(y / step)
    knots_x = (first_x + np.arange(int(at_x.max()) + 2)) * step
    knots_y = (first_y + np.arange(int(at_y.max()) + 2)) * step
    east, north = _transformer(source.to_wkt(), crs).transform(*np.meshgrid(knots_x, knots_y))
    if CRS.from_wkt(crs).is_geographic:
        east = _around(east, transform.c + transform.a * width / 2)
    rows, cols = np.empty(geobox.shape), np.empty(geobox.shape)
    with np.errstate(invalid="ignore"):
        for knots, out in zip(_in_file(east, north, transform), (rows, cols), strict=True):
            for strip in _strips(len(y)):
                out[strip] = _rounded(_between(_between(knots, at_y[strip], 0), at_x, 1))
    return rows, cols


def _around(longitudes: Doubles, middle: float) -> Doubles:
    """Longitudes without a jump at 180 degrees, as near as possible to those of a file around `middle`."""
    known = longitudes[np.isfinite(longitudes)]
    if known.size == 0 or np.ptp([known.min(), known.max(), middle]) <= 180:
        return longitudes
    turns = np.rint((known - known[0]) / 360)
    away = np.rint(((known - 360 * turns).mean() - middle) / 360)
    # one subtraction, so that a place has the same bits in every box
    beside = longitudes.copy()
    beside[np.isfinite(longitudes)] -= 360 * (turns + away)
    return beside


def _centres(geobox: GeoBox) -> tuple[Doubles, Doubles]:
    """Coordinates of the columns (W,) and rows (H,)."""
    height, width = geobox.shape
    box = geobox.affine
    columns, rows = (np.arange(size, dtype=np.float64) + 0.5 for size in (width, height))
    return np.asarray(box.c + columns * box.a), np.asarray(box.f + rows * box.e)


def _in_file(east: Doubles, north: Doubles, transform: Affine) -> tuple[Doubles, Doubles]:
    """Rows and columns in the file of coordinates in its CRS."""
    a, b, west, d, e, top = transform[:6]
    east, north = east - west, north - top
    if b == d == 0:
        return north / e, east / a
    determinant = a * e - b * d
    return (a * north - d * east) / determinant, (e * east - b * north) / determinant


def _rounded(at: Doubles) -> Doubles:
    return np.asarray(np.round(at * STEPS) / STEPS, np.float64)


def _strips(height: int) -> list[slice]:
    """Strips of rows that are processed together, small enough for the processor's cache."""
    return [slice(top, top + STRIP) for top in range(0, height, STRIP)]


def _knots(positions: Doubles) -> tuple[int, Doubles]:
    """The first knot before the positions, and the positions relative to it."""
    first = int(np.floor(positions.min()))
    return first, positions - first


def _between(values: NDArray[Any], at: Doubles, axis: int) -> NDArray[Any]:
    """Linear interpolation of `values` at the positions `at` along an axis; values[i] is at position i."""
    lower = np.clip(np.floor(at).astype(np.intp), 0, values.shape[axis] - 1)
    part = (at - lower).astype(values.dtype)
    start: NDArray[Any] = np.take(values, lower, axis)
    if not part.any():
        return start
    end: NDArray[Any] = np.take(values, np.minimum(lower + 1, values.shape[axis] - 1), axis)
    end -= start
    end *= part[:, np.newaxis] if axis == 0 else part
    end += start
    return end


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def nearest(values: NDArray[Any], rows: Doubles, cols: Doubles, nodata: float) -> NDArray[Any]:
    """The pixel of `values` (h, w) at each position, as returned by `places`; `nodata` outside."""
    inside_rows, inside_cols = _inside(rows, values.shape[0]), _inside(cols, values.shape[1])
    found = values[_pixel(rows, inside_rows), _pixel(cols, inside_cols)]
    return np.where(inside_rows & inside_cols, found, values.dtype.type(nodata))


def bilinear(values: Floats, rows: Doubles, cols: Doubles) -> Floats:
    """Bilinear interpolation of `values` (h, w) between pixel centres; NaN outside.

    NaN is no data. The result is the weighted mean of those of the four neighbours that have data, and NaN
    where the pixel that contains the position is NaN (as in GDAL's warp).
    """
    height, width = values.shape
    with np.errstate(invalid="ignore"):  # codes of missing pixels are infinite
        if rows.shape == cols.shape:
            found = np.empty(rows.shape, np.float32)
            for strip in _strips(len(rows)):
                found[strip] = _scattered(values, rows[strip], cols[strip])
        else:
            found = _between(values, np.clip(rows[:, 0] - 0.5, 0, height - 1), 0)
            found = _between(found, np.clip(cols[0] - 0.5, 0, width - 1), 1)
    found[~(_inside(rows, height) & _inside(cols, width))] = np.nan
    _mend(found, values, rows, cols)
    return found


def _scattered(values: Floats, rows: Doubles, cols: Doubles) -> Floats:
    """Bilinear interpolation at scattered positions; NaN beside NaN."""
    height, width = values.shape
    top, down = _split(rows, height)
    left, right = _split(cols, width)
    below, beside = (top < height - 1) * width, (left < width - 1).astype(np.intp)
    corner = top * width + left
    flat = values.ravel()
    upper: Floats = flat[corner]
    lower: Floats = flat[corner + below]
    upper += right * (flat[corner + beside] - upper)
    lower += right * (flat[corner + below + beside] - lower)
    lower -= upper
    lower *= down
    lower += upper
    return lower


def _split(at: Doubles, size: int) -> tuple[NDArray[np.intp], Floats]:
    """The pixel whose centre is before each position, and the distance of the position from it."""
    at = np.clip(np.nan_to_num(at) - 0.5, 0, size - 1)
    lower = at.astype(np.intp)
    return lower, (at - lower).astype(np.float32)


def _mend(found: Floats, values: Floats, rows: Doubles, cols: Doubles) -> None:
    """Replace, in place, results that mix missing pixels: by the neighbours with data, else by their code."""
    lost = ~np.isfinite(found)
    if not lost.any():
        return
    rows, cols = (np.broadcast_to(at, found.shape)[lost] for at in (rows, cols))
    own = nearest(values, rows, cols, np.nan)
    kept = np.isfinite(own)
    valid = np.isfinite(values)
    weight = _scattered(valid.astype(np.float32), rows[kept], cols[kept])
    total = _scattered(np.where(valid, values, np.float32(0)), rows[kept], cols[kept])
    own[kept] = total / weight
    found[lost] = own


def _inside(at: Doubles, size: int) -> NDArray[np.bool_]:
    return np.asarray((at >= 0) & (at < size))


def _pixel(at: Doubles, inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.where(inside, at, 0).astype(np.intp)
