"""Bands of 20 and 60 m on the grid of 10 m, resampled as the product resamples them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.archive.resampling import bilinear


def stretch(
    band: NDArray[np.float32], shape: tuple[int, int], factor: int, start: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """A coarse band (h, w) on a fine grid (H, W), bilinearly (`monitor.archive.resampling`); NaN outside.

    Args:
        factor: fine pixels along the edge of a coarse one.
        start: row and column of the upper-left corner of the coarse grid, in fine pixels.
    """
    rows, cols = ((np.arange(size) + 0.5 - at) / factor for size, at in zip(shape, start, strict=True))
    return bilinear(band, rows[:, np.newaxis], cols[np.newaxis, :])
