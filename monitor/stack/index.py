"""A class of every pixel independent of the model: MNDWI, with tests for cases in which it is often wrong.

MNDWI of bands 3 and 11 (Xu 2006) is algebraically NDSI, so snow, ice and frozen lakes exceed zero too, and
so does terrain shadow. A pixel is water only where near infrared, red edge, slope and radar agree.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from monitor.archive.profiles import S2_BANDS
from monitor.stack.dataset import planes
from segmenter.indices import mndwi, ndwi, red_edge, slope
from storage.codes import Index

#: MNDWI above which water is likely (Xu 2006 uses zero; shores of mixed pixels begin lower)
WATER_ABOVE = 0.0
#: MNDWI above which water bright with glacial flour is found by an NDWI (McFeeters 1996) above zero
TURBID_ABOVE = -0.2
#: reflectance x 10000 in near infrared; open water, even turbid, is below, and snow above
NIR_BELOW = 2500.0
#: ratio of reflectance at 0.74 and 0.705 um (`segmenter.indices.red_edge`); water is below, and dark snow,
#: ice and bright ground above
RED_EDGE_BELOW = 0.75
#: degrees of slope; lakes are below
FLAT_BELOW = 10.0
#: dB in VV; calm and moderately rough water is below
DARK_BELOW = -10.0


#: reflectance x 10000 in blue, above which a pixel bright in near infrared is snow or cloud
BLUE_ABOVE = 2500.0

#: classes for which a disagreement with the model is explained
EXPLAINED = (Index.SNOW, Index.SHADOW, Index.RADAR, Index.TURBID)


def index_of(stack: xr.Dataset) -> NDArray[np.uint8]:
    """The class of every pixel of a stack from `monitor.stack.acquire`: (H, W) of `storage.codes.Index`.

    It needs optical bands only. Without backscatter or elevation, the test that uses it is left out.
    """
    green, nir, dem = (stack[name].to_numpy() for name in ("B03", "B08", "dem"))
    wetness = mndwi(green, stack["B11"].to_numpy())
    wet = wetness > WATER_ABOVE
    solid = red_edge(planes(stack, S2_BANDS)) > RED_EDGE_BELOW
    turbid = ~wet & ~solid & (wetness > TURBID_ABOVE) & (ndwi(green, nir) > 0)
    result = np.full(green.shape, Index.DRY, np.uint8)
    result[turbid] = Index.TURBID
    result[wet] = Index.WATER
    result[wet & (stack["VV"].to_numpy() > DARK_BELOW)] = Index.RADAR
    result[wet & (stack["shadow"].to_numpy() | (slope(dem) > FLAT_BELOW))] = Index.SHADOW
    result[wet & (stack["snow"].to_numpy() | (nir > NIR_BELOW) | solid)] = Index.SNOW
    result[~np.isfinite(green)] = Index.NODATA
    return result


def frozen_or_cloud(reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Snow, ice or cloud by the bands alone, for catalogues without scene classes: (H, W) of (12, H, W).

    As in the index, snow is what MNDWI takes for water and near infrared does not. Cloud is as bright in near
    infrared and white; so is bright soil, but its reflectance rises up to the short-wave infrared. Snow and
    cloud are no dry ground, and another date is preferred.
    """
    blue, green, nir, swir = (reflectance[S2_BANDS.index(band)] for band in ("B02", "B03", "B08", "B11"))
    white = (mndwi(green, swir) > WATER_ABOVE) | ((blue > BLUE_ABOVE) & (swir < nir))
    return np.asarray(white & (nir > NIR_BELOW), bool)
