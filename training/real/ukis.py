"""Sample of ukis-csmask: six bands of L1C with a hand-made mask of cloud and cloud shadow.

The classes are 0 shadow, 1 dark ground that looks like water, 3 land, 4 cloud. Shadow and land are dry;
cloud and class 1 are unknown. Shadow counts: it is what a model must not take for water.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from segmenter.manifest import OPTICAL_BANDS
from training.chip_files import Chip
from training.labels import IGNORED
from training.real.atmosphere import surface
from training.real.chip import optical_chip

LICENCE = "Apache-2.0 (dlr-eoc/ukis-csmask)"
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
SHADOW, LAND = 0, 3


def chips(samples: Path) -> Iterator[Chip]:
    """The scene in `samples`/real/ukis_csmask, 512 x 512 px; the other six bands are missing."""
    with np.load(samples / "real" / "ukis_csmask" / "sentinel2.npz") as file:
        image, mask = file["img"], file["msk"][..., 0]
    optical = np.full((len(OPTICAL_BANDS), *mask.shape), np.nan, np.float32)
    optical[[OPTICAL_BANDS.index(band) for band in BANDS]] = np.moveaxis(image, -1, 0) * 10000
    dry = np.isin(mask, (SHADOW, LAND))
    # classes that are not dry reach a pixel further than they are drawn: edges of clouds, mixed pixels
    doubtful = ndimage.binary_dilation(~dry, np.ones((3, 3), bool))
    yield optical_chip(
        "ukis-csmask sentinel2",
        surface(optical),
        np.where(doubtful, IGNORED, 0).astype(np.uint8),
        place="ukis-csmask",
        ground="cloud",
        source="ukis-csmask test file, Sentinel-2 L1C",
        licence=LICENCE,
    )
