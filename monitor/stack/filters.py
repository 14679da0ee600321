"""Window filters whose results do not depend on the tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: equivalent number of looks of an IW ground-range product (Sentinel-1 product definition)
LOOKS = 4.4
SPECKLE_WINDOW = 5
#: lowest backscatter after noise removal in linear power (-40 dB): 10 dB below the instrument's noise, and
#: above 0, so that calm water in VH has a value in decibels and is not "not observed"
FLOOR = 1e-4


def lee(power: NDArray[np.float32], size: int = SPECKLE_WINDOW, looks: float = LOOKS) -> NDArray[np.float32]:
    """Speckle filter of Lee (1980) for multiplicative noise, in a `size` x `size` window; NaN stays NaN.

    Args:
        power: backscatter in linear power (H, W).
    """
    valid = np.isfinite(power)
    filled = np.where(valid, power, 0).astype(np.float64)
    count = np.maximum(window_sum(valid.astype(np.float64), size), 1)
    mean = window_sum(filled, size) / count
    variance = np.maximum(window_sum(filled**2, size) / count - mean**2, 0)
    noise = mean**2 / looks
    gain = np.clip((variance - noise) / np.maximum(variance, 1e-30) / (1 + 1 / looks), 0, 1)
    smooth = mean + gain * (filled - mean)
    return np.where(valid, smooth, np.nan).astype(np.float32)


def window_sum(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sum over the `size` x `size` window around each pixel, zeros beyond the edge.

    Each window is summed separately; the running sum of `uniform_filter` rounds differently in each tile.
    """
    ones = np.ones(size)
    rows = ndimage.correlate1d(values, ones, axis=0, mode="constant")
    total: NDArray[np.float64] = ndimage.correlate1d(rows, ones, axis=1, mode="constant")
    return total
