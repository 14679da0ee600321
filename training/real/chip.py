"""Chips of real scenes that have Sentinel-2 only, as most samples do."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from training.chip_files import Chip, Split
from training.real.rasters import Where

#: of samples without georeference
NOWHERE = Where(epsg=None, left=None, top=None, pixel=None)


def optical_chip(
    name: str,
    optical: NDArray[np.floating],
    labels: NDArray[np.uint8],
    *,
    place: str,
    ground: str,
    source: str,
    licence: str,
    day: date | None = None,
    split: Split = "train",
    where: Where = NOWHERE,
) -> Chip:
    """A chip of reflectance x 10000 (12, H, W) with its labels (H, W); see `training.chip_files`.

    `split` is decided later (`training.real.split`), except for chips that are for tests only.
    """
    return Chip(
        name=name,
        place=place,
        origin="real",
        source=source,
        licence=licence,
        split=split,
        day=day,
        sensors=("S2L2A",),
        optical=optical.astype(np.float16),
        radar=None,
        dem=None,
        labels=labels,
        ground=ground,
        **where,
    )
