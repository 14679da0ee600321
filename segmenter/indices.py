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
_BLUE, _EDGE_705, _EDGE_740, _EDGE_783, _SHORT_WAVE_22 = map(
    OPTICAL_BANDS.index, ("B02", "B05", "B06", "B07", "B12")
)
GREEN_ABOVE = 1000
"""Reflectance x 10000 in green from which a pixel can be snow (Hall et al. 1995)."""
BRIGHTEST_BLUE = 3000
"""Reflectance x 10000 in blue that no water reaches."""
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


def red_edge(optical: Floats) -> Floats:
    """Ratio of reflectance at 0.74 and 0.705 um (...) of optical planes (12, ...): near 1 over snow, ice and
    bright ground.

    Snow in shadow, melting snow, ice and grey debris have the MNDWI and the near infrared of water. Liquid
    water absorbs about 0.7 per metre at 0.705 um and 2.5 at 0.74 um (Kou et al. 1993), so that the ratio is
    0.3 to 0.7 over water, also turbid. Light that snow, ice or rock reflects has passed a few millimetres.

    The ratio is 0, as of water, unless the other bands are those of snow and ice, or of bright ground:

    - green above `GREEN_ABOVE`: the ratio of dark bands is uncertain;
    - reflectance that falls by at most a fifth from 1.6 to 2.2 um: ice absorbs about the same at both, water
      three times as much at 2.2 um, so that it falls more over foam, wet sand and flooded fields;
    - snow and ice: an NDWI of less than half of MNDWI, which dark water beside a shore exceeds; and a ratio
      of blue to green above that of 0.783 to 0.74 um less 0.1. Ice absorbs more at 0.783 um and is white or
      blue; water absorbs less there, and turbid water is not blue;
    - bright ground: an NDWI below 0.1, and a ratio of blue to green above 0.85.

    In blue above `BRIGHTEST_BLUE` the other bands do not matter. These limits were fitted, like the threshold
    of the ratio, to the pixels of `docs/segmenter.md`. A missing band gives 0.
    """
    blue, green, short, short_22 = (optical[band] for band in (_BLUE, GREEN, SHORT_WAVE, _SHORT_WAVE_22))
    edge_705, edge_740, edge_783 = (optical[band] for band in (_EDGE_705, _EDGE_740, _EDGE_783))
    openness, whiteness = ndwi(green, optical[NEAR_INFRARED]), blue / np.maximum(green, 1)
    frozen = openness < mndwi(green, short) / 2
    frozen &= whiteness > edge_783 / np.maximum(edge_740, 1) - np.float32(0.1)
    bare = (openness < np.float32(0.1)) & (whiteness > np.float32(0.85))
    solid = (frozen | bare) & (green > GREEN_ABOVE) & (short_22 > np.float32(0.8) * short - 20)
    ratio = edge_740 / np.maximum(edge_705, 1)
    result: Floats = np.where((solid | (blue > BRIGHTEST_BLUE)) & np.isfinite(ratio), ratio, np.float32(0))
    return result


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
