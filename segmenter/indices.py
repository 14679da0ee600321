"""Formulas of water indices: normalised differences of bands, and the slope of the terrain.

Pure numpy, no torch. Each pixel is computed from itself or from a fixed neighbourhood in a fixed order of
operations, so that its value does not depend on the tile.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmenter.manifest import OPTICAL_BANDS

Floats = NDArray[np.float32]

GREEN, NEAR_INFRARED, SHORT_WAVE = (OPTICAL_BANDS.index(band) for band in ("B03", "B08", "B11"))
"""Indices of these bands in the optical planes of a stack."""
REACH = 4
"""Radius in pixels of the neighbourhood of a slope: 2 for smoothing and gradient, and 2 more where void
elevations are replaced by those of their nearest neighbours."""


def normalised_difference(one: Floats, other: Floats) -> Floats:
    """(one - other) / (one + other) of two bands in reflectance x 10000, any shape; two dark bands give 0."""
    result: Floats = (one - other) / np.maximum(one + other, 1)
    return result


def ndwi(green: Floats, near_infrared: Floats) -> Floats:
    """NDWI (McFeeters 1996) of reflectance x 10000, any shape; dimensionless, > 0 over water."""
    return normalised_difference(green, near_infrared)


def mndwi(green: Floats, short_wave: Floats) -> Floats:
    """MNDWI (Xu 2006) of reflectance x 10000 at 0.56 and 1.6 um, any shape; dimensionless, > 0 over water.

    The formula is that of NDSI, so snow and ice are above 0 too.
    """
    return normalised_difference(green, short_wave)


def slope(dem: Floats, pixel: float = 10.0) -> Floats:
    """Slope in degrees (H, W) of elevations in metres (H, W), smoothed over three pixels of `pixel` metres.

    With pixels of 10 m that is 30 m, the native resolution of the DEM. Voids are filled with the nearest
    elevation, since otherwise their edges would be cliffs; all NaN when no elevation is known.
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
    """Sum over the 3 x 3 window around each pixel, zeros beyond the edge, without running sums."""
    rows = ndimage.correlate1d(values, np.ones(3), axis=0, mode="constant")
    total: NDArray[np.float64] = ndimage.correlate1d(rows, np.ones(3), axis=1, mode="constant")
    return total
