"""Labels by spectral evidence that is beyond doubt, for scenes without hand-made labels.

A pixel is water or dry only where several thresholds agree with a margin, on the pixel and on all its eight
neighbours. Everything else is unknown: shores, ships, wakes, foam, wet sand, shade, snow and cloud. Shores
stay unknown and get no share of water, because the spectrum of the land beside the water, which a share would
be computed from, is unknown too (sand, reed, quay); simulated scenes teach the shares.

The labels cannot show that a model is better than the indices they come from. They show where a model is
worse on ground that is easy for an index.

Sources of the thresholds (reflectance x 10000):
- NDWI and MNDWI are above 0 over water (McFeeters 1996, Xu 2006); margins of 0.1 and 0.2 are added. Dark
  water, whose MNDWI is low, has margins of 0.2 and 0.05 and must be below 250 beyond 1.6 um.
- AWEI is above 0 over water and below 0 over dark built-up ground and shade (Feyisa et al. 2014).
- Water is below 1,100 in the near infrared (Zhu and Woodcock 2012, Fmask), and nearly black beyond 1.6 um
  even when turbid, since it absorbs all light there within millimetres; 350 leaves room for glint.
- Dry ground is bright there: 1,000 at 1.6 um and more than in the blue, which thin cloud is not; or it is
  vegetation, also in shade, with NDVI above 0.4 (Tucker 1979) and, unlike algae, 300 at 1.6 um.
- Snow: NDSI above 0.4 and near infrared above 1,100 (Dozier 1989, Fmask).
- Cloud: no spectral test tells its edge from roofs and sand. In images that show no cloud to the eye
  there is none; in others all that is above 1,000 at 0.44 um is unknown, and so is the ground around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmenter.indices import mndwi, ndwi, normalised_difference
from segmenter.manifest import OPTICAL_BANDS
from training.labels import FULL, IGNORED

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Labels = NDArray[np.uint8]
#: pixels around a cloud that are unknown, and half the width of clouds that have such surroundings
CLOUD_REACH, CLOUD_CORE = 10, 5
#: fewest connected pixels of water and of dry ground: smaller ones are dark roofs, ships or scraps of cloud
SMALLEST_WATER, SMALLEST_DRY = 12, 50
_EIGHT = np.ones((3, 3), bool)


def by_indices(optical: Floats, *, cloudy: bool = False) -> Labels:
    """Labels (H, W), 0, FULL or IGNORED, of reflectance x 10000 (12, H, W); NaN is unknown.

    Args:
        cloudy: whether the image shows clouds.
    """
    aerosol, blue, green, red, near, short, far = (
        optical[OPTICAL_BANDS.index(band)] for band in ("B01", "B02", "B03", "B04", "B08", "B11", "B12")
    )
    with np.errstate(invalid="ignore"):
        awei = blue + 2.5 * green - 1.5 * (near + short) - 0.25 * far
        clear = (ndwi(green, near) > 0.1) & (mndwi(green, short) > 0.2) & (short < 350) & (far < 350)
        dark = (ndwi(green, near) > 0.2) & (mndwi(green, short) > 0.05) & (short < 250) & (far < 250)
        water = (clear | dark) & (awei > 0) & (near < 1100)
        bare = (short > 1000) & (short > 1.1 * blue) & (far > 600) & (near > 700) & (ndwi(green, near) < 0.1)
        grown = (normalised_difference(near, red) > 0.4) & (near > 800) & (short > 300)
        frozen = (mndwi(green, short) > 0.4) & (near > 1100)
        cloud = cloudy & (aerosol > 1000)
    # small bright spots are roofs, which have no shadow of hundreds of metres
    around = ndimage.binary_dilation(
        ndimage.binary_opening(cloud, _EIGHT, CLOUD_CORE), iterations=CLOUD_REACH
    )
    seen = ~(cloud | around | frozen)
    labels = np.full(near.shape, IGNORED, np.uint8)
    labels[_beyond_doubt((bare | grown) & seen, SMALLEST_DRY)] = 0
    labels[_beyond_doubt(water & seen, SMALLEST_WATER)] = FULL
    return labels


def _beyond_doubt(evidence: Flags, smallest: int) -> Flags:
    """Pixels whose eight neighbours (within the image) agree, in groups of at least `smallest`."""
    inner = ndimage.binary_erosion(evidence, _EIGHT, border_value=1)
    numbered, _ = ndimage.label(inner, _EIGHT)
    large: Flags = np.bincount(numbered.ravel()) >= smallest
    large[0] = False
    found: Flags = large[numbered]
    return found
