"""Rasterise outlines: the covered share of each 10 m pixel, with areas accurate to a few per mille."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon, Polygon

from simulator.noise import Field
from simulator.settings import PIXEL, Settings

_FINE = 5


@dataclass(frozen=True)
class Patch:
    """Coverage of one outline within its window."""

    rows: slice
    cols: slice
    share: Field
    """Covered share of each pixel of the window, 0..1."""


def cover(outline: Polygon | MultiPolygon, settings: Settings, margin: int = 0) -> Patch | None:
    """Coverage of an outline on the 10 m grid (5 x 5 samples per pixel); None when it lies outside."""
    west, south, east, north = outline.bounds
    left, top = settings.origin
    col0, col1 = int((west - left) // PIXEL) - margin, int((east - left) // PIXEL) + 1 + margin
    row0, row1 = int((top - north) // PIXEL) - margin, int((top - south) // PIXEL) + 1 + margin
    col0, row0 = max(col0, 0), max(row0, 0)
    col1, row1 = min(col1, settings.size), min(row1, settings.size)
    if col0 >= col1 or row0 >= row1:
        return None
    share = np.zeros((row1 - row0, col1 - col0), np.float32)
    for start in range(0, share.shape[0], 256):
        stop = min(start + 256, share.shape[0])
        share[start:stop] = _block(
            outline, left + col0 * PIXEL, top - (row0 + start) * PIXEL, stop - start, share.shape[1]
        )
    return Patch(slice(row0, row1), slice(col0, col1), share)


def _block(outline: Polygon | MultiPolygon, west: float, north: float, rows: int, cols: int) -> Field:
    fine = PIXEL / _FINE
    hits: NDArray[np.uint8] = rasterize(
        [outline], out_shape=(rows * _FINE, cols * _FINE), transform=Affine(fine, 0, west, 0, -fine, north),
        fill=0, default_value=1, dtype="uint8",
    )  # fmt: skip
    # two sums of small integers are several times faster than one mean over both axes
    lines = hits.reshape(rows, _FINE, cols * _FINE).sum(axis=1, dtype=np.uint8)
    return lines.reshape(rows, cols, _FINE).sum(axis=2, dtype=np.uint8) / np.float32(_FINE**2)
