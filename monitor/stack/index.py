"""An independent opinion on every pixel: MNDWI, with gates that say why it may be wrong.

MNDWI of bands 3 and 11 (Xu 2006) is algebraically NDSI, so snow, ice and frozen lakes exceed zero too, and
so does terrain shadow; an index pixel counts as water only where near infrared, slope and radar agree.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE, mndwi, ndwi, slope
from segmenter.manifest import RADAR_BANDS

Floats = NDArray[np.float32]

VV = RADAR_BANDS.index("VV")
#: MNDWI above which water is likely (Xu 2006 uses zero; shores of mixed pixels begin lower)
WATER_ABOVE = 0.0
#: below this MNDWI bright, flour-rich water still has NDWI (McFeeters 1996) above zero
TURBID_ABOVE = -0.2
#: reflectance x 10000 of near infrared that open water, even turbid, hardly exceeds; snow does
NIR_BELOW = 2500.0
#: degrees; lakes are flat, shaded slopes are not
FLAT_BELOW = 10.0
#: dB; calm and moderately rough water stays below in VV
DARK_BELOW = -10.0


class Index(IntEnum):
    """What the index says of a pixel (uint8 in the cube)."""

    DRY = 0
    WATER = 1
    #: water by MNDWI, but near infrared or the scene classes say snow, ice or frozen
    SNOW = 2
    #: water by MNDWI, but too steep or in terrain shadow
    SHADOW = 3
    #: water by MNDWI, but bright in radar: wind, a shore in layover, or not water
    RADAR = 4
    #: not water by MNDWI, but by NDWI: turbid or very shallow
    TURBID = 5
    NODATA = 255


#: opinions that explain a disagreement with the model
EXPLAINED = (Index.SNOW, Index.SHADOW, Index.RADAR, Index.TURBID)


def index_of(
    optical: Floats, radar: Floats, dem: Floats, snow: NDArray[np.bool_], shadow: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The index's opinion (H, W) on a stack: see `Index`.

    Args:
        optical: (12, H, W) reflectance x 10000.
        radar: (2, H, W) dB.
        dem: (H, W) metres.
        snow, shadow: (H, W) flags of the scene classes.
    """
    green, nir = optical[GREEN], optical[NEAR_INFRARED]
    wetness = mndwi(green, optical[SHORT_WAVE])
    wet = wetness > WATER_ABOVE
    turbid = ~wet & (wetness > TURBID_ABOVE) & (ndwi(green, nir) > 0)
    result = np.full(green.shape, Index.DRY, np.uint8)
    result[turbid] = Index.TURBID
    result[wet] = Index.WATER
    result[wet & (radar[VV] > DARK_BELOW)] = Index.RADAR
    result[wet & (shadow | (slope(dem) > FLAT_BELOW))] = Index.SHADOW
    result[wet & (snow | (nir > NIR_BELOW))] = Index.SNOW
    result[~(np.isfinite(green) & np.isfinite(dem))] = Index.NODATA
    return result
