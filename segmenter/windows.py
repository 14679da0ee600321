"""Windows on the global grid, and the weights they are blended with. Pure numbers, no torch.

A window starts at a multiple of the stride in global pixels of the UTM zone, so a pixel is covered
by the same windows whichever tile asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import PATCH, Manifest


@dataclass(frozen=True)
class Window:
    """Upper-left corner of one window, in global pixels."""

    row: int
    col: int


def halo(manifest: Manifest) -> int:
    """Pixels a tile must read on every side so that its result does not depend on the tiling.

    A window that covers a pixel starts at most ``chip - 1`` px before it and ends at most as many after
    it, wherever the grid of windows happens to fall; rounded up to whole patches this is one chip.
    """
    return -(-(manifest.chip - 1) // PATCH) * PATCH


def starts(first: int, length: int, chip: int, stride: int) -> range:
    """Starts, along one axis, of all windows that cover any of the pixels ``first .. first + length - 1``."""
    lowest = first - chip + 1
    return range(-(-lowest // stride) * stride, first + length, stride)


def windows(row: int, col: int, shape: tuple[int, int], chip: int, stride: int) -> Iterator[Window]:
    """All windows that touch the rectangle of `shape` px at (row, col), row by row.

    The order is that of the global grid, hence a pixel's windows come in one order for every tile:
    sums over them in float32 do too.
    """
    columns = starts(col, shape[1], chip, stride)
    for window_row in starts(row, shape[0], chip, stride):
        for window_col in columns:
            yield Window(window_row, window_col)


def gaussian(chip: int, sigma: float) -> NDArray[np.float32]:
    """Weight of each pixel of a window, (chip, chip): a 2-D Gaussian about its centre, sigma in px.

    The middle of a window, where the network sees most context, counts most.
    """
    distance = np.arange(chip) - (chip - 1) / 2
    profile = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.outer(profile, profile).astype(np.float32)
