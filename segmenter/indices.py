"""Formulas of the classical way to find water: normalised differences of bands, and the slope of the ground.

Pure numbers, no torch. Each pixel is worked out by itself or from a fixed reach around it, in one order of
operations, so that it has the same value whichever tile asks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmenter.manifest import OPTICAL_BANDS

Floats = NDArray[np.float32]

GREEN, NEAR_INFRARED, SHORT_WAVE = (OPTICAL_BANDS.index(band) for band in ("B03", "B08", "B11"))
"""Where these bands stand in a stack's optical planes."""
REACH = 4
"""Pixels around one that its slope depends on: 2 for the smoothing and the gradient, and 2 more where the
elevations it needs are void and are taken from their nearest neighbours."""


def normalised_difference(one: Floats, other: Floats) -> Floats:
    """(one - other) / (one + other) of two bands in reflectance x 10000, any shape; two dark bands give 0."""
    result: Floats = (one - other) / np.maximum(one + other, 1)
    return result


def ndwi(green: Floats, near_infrared: Floats) -> Floats:
    """NDWI (McFeeters 1996) of reflectance x 10000, any shape; without unit, above 0 where there is water."""
    return normalised_difference(green, near_infrared)


def mndwi(green: Floats, short_wave: Floats) -> Floats:
    """MNDWI (Xu 2006) of reflectance x 10000 at 0.56 and 1.6 um, any shape; without unit, above 0 where there
    is water. Algebraically it is NDSI, so snow and ice are above 0 too."""
    return normalised_difference(green, short_wave)


def slope(dem: Floats, pixel: float = 10.0) -> Floats:
    """Slope in degrees (H, W) of elevations in metres (H, W), smoothed over three pixels of `pixel` metres.

    30 m, the DEM's native resolution, when pixels are 10 m. Level ground goes on into a void, or its edge
    would be a cliff; NaN only where no elevation is known at all.
    """
    void = ~np.isfinite(dem)
    if void.any() and not void.all():
        nearest: Any = ndimage.distance_transform_edt(void, return_distances=False, return_indices=True)
        dem = dem[tuple(nearest)]
    level = np.ones_like(dem, np.float64)
    smooth = _sum_of_nine(dem.astype(np.float64)) / _sum_of_nine(level)
    rise_y, rise_x = np.gradient(smooth, pixel)
    steep: Floats = np.degrees(np.arctan(np.hypot(rise_x, rise_y))).astype(np.float32)
    return steep


def _sum_of_nine(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the 3 x 3 window around each pixel, zeros beyond the edge; each window added up by itself."""
    rows = ndimage.correlate1d(values, np.ones(3), axis=0, mode="constant")
    total: NDArray[np.float64] = ndimage.correlate1d(rows, np.ones(3), axis=1, mode="constant")
    return total
