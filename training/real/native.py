"""Bands of 20 and 60 m on the grid of 10 m, resampled as the product resamples them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.archive.resampling import bilinear


def stretch(band: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A band (h, w) on the grid (H, W) of the same ground, bilinearly (`monitor.archive.resampling`)."""
    rows, cols = (
        (np.arange(fine) + 0.5) * coarse / fine for fine, coarse in zip(shape, band.shape, strict=True)
    )
    return bilinear(band, rows[:, np.newaxis], cols[np.newaxis, :])
