"""Windows on the global grid, and the weights they are blended with. Pure numbers, no torch.

A window starts at a multiple of the stride in global pixels of the UTM zone, so a pixel is covered
by the same windows whichever tile asks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmenter.indices import REACH
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
    An index has no windows; it looks as far as the slope of the ground does.
    """
    if manifest.method == "index":
        return REACH
    return -(-(manifest.chip - 1) // PATCH) * PATCH


def starts(first: int, length: int, chip: int, stride: int) -> range:
    """Starts, along one axis, of all windows that cover any of the pixels ``first .. first + length - 1``."""
    lowest = first - chip + 1
    return range(-(-lowest // stride) * stride, first + length, stride)


def middle(chip: int, stride: int) -> slice:
    """The pixels of a window along one axis that are in no other window's middle."""
    first = (chip - stride) // 2
    return slice(first, first + stride)


def profile(chip: int, sigma: float) -> NDArray[np.float32]:
    """(chip,) weight of a window's pixels along one axis: a Gaussian about its middle, sigma in px.

    A pixel's weight is the product of both axes'. The middle of a window, where the network sees most
    context, counts most.
    """
    distance = np.arange(chip) - (chip - 1) / 2
    weights: NDArray[np.float32] = np.exp(-0.5 * (distance / sigma) ** 2).astype(np.float32)
    return weights
