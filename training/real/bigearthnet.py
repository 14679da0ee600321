"""BigEarthNet: L2A with a file per band at its own resolution, without offset.

Its backscatter is sigma nought of ground range, which the models for terrain-corrected backscatter must not
see, so the chips have Sentinel-2 only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from segmenter.manifest import OPTICAL_BANDS
from training.chip_files import Chip
from training.real.chip import optical_chip
from training.real.evidence import by_indices
from training.real.native import stretch
from training.real.rasters import read

LICENCE = "CDLA-Permissive-1.0 (BigEarthNet)"
#: place and class of the ground of each patch
PATCHES = {
    "S2A_MSIL2A_20170617T113321_4_55": ("ireland 7.44W 52.64N", "fields"),
    "S2A_MSIL2A_20171221T112501_56_35": ("portugal 8.21W 39.36N", "forest"),
}


def chips(samples: Path) -> Iterator[Chip]:
    """The patches in `samples`/bigearthnet, 120 x 120 px."""
    for name, (place, ground) in PATCHES.items():
        folder = samples / "bigearthnet" / name
        rasters = [read(folder / f"{name}_{band}.tif") for band in OPTICAL_BANDS]
        shape = (120, 120)
        optical = np.stack(
            [stretch(raster.values[0], shape, shape[0] // raster.values.shape[1]) for raster in rasters]
        )
        day = re.search(r"_(\d{8})T", name)
        assert day is not None
        yield optical_chip(
            f"bigearthnet {name}",
            optical,
            by_indices(optical),
            place=place,
            ground=ground,
            source="BigEarthNet, Sentinel-2 L2A",
            licence=LICENCE,
            day=date.fromisoformat(day.group(1)),
            where=rasters[OPTICAL_BANDS.index("B02")].where,
        )
