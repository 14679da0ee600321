"""Sen1Floods11: 13 bands of L1C and a hand-made mask of a flood.

Its repository states no licence (issue 18 there, open), so the sample is for tests only and never trained on.
Its backscatter is sigma nought of ground range.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.chip_files import Chip
from training.labels import FULL, IGNORED
from training.real.atmosphere import surface
from training.real.chip import optical_chip
from training.real.rasters import read

LICENCE = "none stated: scored, never trained on"
PLACE = "spain 0.76W 38.11N"
#: position of the cirrus band B10, which L2A lacks
CIRRUS = 10


def chips(samples: Path) -> Iterator[Chip]:
    """The scene in `samples`/sen1floods11, 512 x 512 px; the mask is 1 water, 0 dry, -1 unknown."""
    folder = samples / "sen1floods11"
    optical, mask = (read(folder / f"Spain_7370579_{part}.tif") for part in ("S2Hand", "LabelHand"))
    water = mask.values[0]
    labels = np.select([water == 1, water == 0], [FULL, 0], IGNORED).astype(np.uint8)
    reflectance = surface(np.delete(optical.values, CIRRUS, axis=0))
    labels[np.isnan(reflectance[1])] = IGNORED
    yield optical_chip(
        "sen1floods11 Spain_7370579",
        reflectance,
        labels,
        place=PLACE,
        ground="flood",
        source="Sen1Floods11, Sentinel-2 L1C, hand-made mask",
        licence=LICENCE,
        split="test",
        where=optical.where,
    )
