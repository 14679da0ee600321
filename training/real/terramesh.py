"""TerraMesh: L2A in the order of TerraMind, radiometrically terrain-corrected backscatter and elevation.

The land cover of TerraMesh is weak and of another date; the labels are by spectral evidence. The river of
433D_629L_3_1 is so narrow that no pixel of it is beyond doubt, so the tile shows fields and forest only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from training.chip_files import Chip
from training.real.evidence import by_indices
from training.real.rasters import read

LICENCE = "CC-BY-SA-4.0 (TerraMesh)"
#: name to place, class of ground, date, and addend from digital numbers to reflectance x 10000
TILES = {
    "282D_485L_3_3": ("brazil 48.1W 25.3S", "coast", date(2021, 7, 21), 0.0),
    "433D_629L_3_1": ("chile 72.5W 38.8S", "fields", date(2020, 4, 11), -1000.0),
    "637U_59R_1_3": ("denmark 9.8E 57.2N", "fields", date(2017, 10, 30), 0.0),
}


def chips(samples: Path) -> Iterator[Chip]:
    """The tiles in `samples`/terramesh, 224 x 224 px."""
    for name, (place, ground, day, offset) in TILES.items():
        files = [samples / "terramesh" / kind / f"{name}.tif" for kind in ("S2L2A", "S1RTC", "DEM")]
        optical, radar, dem = (read(path) for path in files)
        nothing = (optical.values == 0).all(axis=0)
        reflectance = np.where(nothing, np.nan, optical.values + np.float32(offset))
        yield Chip(
            name=f"terramesh {name}",
            place=place,
            origin="real",
            source="TerraMesh, Sentinel-2 L2A, Sentinel-1 RTC, Copernicus DEM",
            licence=LICENCE,
            split="train",
            day=day,
            sensors=("S2L2A", "S1", "DEM"),
            optical=reflectance.astype(np.float16),
            radar=radar.values.astype(np.float16),
            dem=dem.values[0],
            labels=by_indices(reflectance),
            ground=ground,
            **optical.where,
        )
