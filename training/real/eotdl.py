"""Samples of EOTDL: L2A of Sentinel Hub in the order of TerraMind without offset, and patches of EuroSAT.

The L2A files are in degrees, with pixels of about 10 m. Values below zero were set to zero, so over water
many bands are exactly 0; missing pixels have no light in blue, green and red.

EuroSAT has 13 bands of L1C in the order of their wavelengths except that B8A is the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from segmenter.manifest import OPTICAL_BANDS
from training.chip_files import Chip
from training.labels import FULL, IGNORED
from training.real.atmosphere import surface
from training.real.chip import optical_chip
from training.real.evidence import Floats, Labels, by_indices
from training.real.places import cluster
from training.real.rasters import Raster, read

LICENCE = "MIT (earthpulse/eotdl); contains modified Copernicus Sentinel data"
#: places of the coast by class of ground, where it is not sea or coast; from looking at the images
BALTIC = {
    "baltic 10.92E 56.41N": "town",
    "baltic 10.14E 54.34N": "town",
    "baltic 10.41E 54.89N": "town",
    "baltic 9.88E 54.36N": "river",
    "baltic 11.35E 55.97N": "cloud",
}
#: greatest share of dry pixels of a place at sea
AT_SEA = 0.001
EUROSAT_ORDER = (*OPTICAL_BANDS[:8], "B09", "B10", "B11", "B12", "B8A")
_VISIBLE = [OPTICAL_BANDS.index(band) for band in ("B02", "B03", "B04")]


def chips(samples: Path) -> Iterator[Chip]:
    """All chips in `samples`/real/eotdl."""
    folder = samples / "real" / "eotdl"
    yield from _baltic(sorted((folder / "baltic_coast").glob("*.tif")))
    for path in sorted((folder / "jaca").glob("*.tif")):
        raster = read(path)
        optical = reflectance(raster.values)
        yield _chip(path, raster, optical, without_water(optical), "jaca", "winter town")
    for path in sorted((folder / "uae_desert").glob("*.tif")):
        raster = read(path)
        optical = reflectance(raster.values)
        yield _chip(path, raster, optical, without_water(optical), "emirates 54.35E 22.43N", "desert")
    for path in sorted((folder / "eurosat13").glob("*.tif")):
        raster = read(path)
        optical = surface(raster.values[[EUROSAT_ORDER.index(band) for band in OPTICAL_BANDS]])
        ground = "forest" if path.stem.startswith("Forest") else "fields"
        yield _chip(path, raster, optical, without_water(optical), f"eurosat {path.stem}", ground, "L1C")


def _baltic(paths: list[Path]) -> Iterator[Chip]:
    rasters = [read(path) for path in paths]
    places = cluster([raster.middle for raster in rasters], "baltic") if rasters else []
    optical = [reflectance(raster.values) for raster in rasters]
    cloudy = [BALTIC.get(place) == "cloud" for place in places]
    labels = [by_indices(bands, cloudy=clouds) for bands, clouds in zip(optical, cloudy, strict=True)]
    for path, raster, bands, label, place in zip(paths, rasters, optical, labels, places, strict=True):
        together = np.concatenate(
            [one.ravel() for one, at in zip(labels, places, strict=True) if at == place]
        )
        known = together[together != IGNORED]
        ground = "sea" if known.size and (known == 0).mean() <= AT_SEA else "coast"
        yield _chip(path, raster, bands, label, place, BALTIC.get(place, ground))


def reflectance(values: Floats) -> Floats:
    """Reflectance x 10000 of a file of Sentinel Hub, NaN where blue, green and red are 0."""
    dark = (values[_VISIBLE] == 0).all(axis=0)
    return np.where(dark, np.float32(np.nan), values)


def without_water(optical: Floats) -> Labels:
    """Labels of ground that has no water by its class or by inspection: 0, IGNORED where bands are missing.

    Pixels that the strict evidence calls water are unknown, since the class of a patch is not that of each
    pixel.
    """
    labels = np.where(by_indices(optical) == FULL, IGNORED, 0).astype(np.uint8)
    labels[np.isnan(optical[_VISIBLE]).any(axis=0)] = IGNORED
    return labels


def _chip(
    path: Path, raster: Raster, optical: Floats, labels: Labels, place: str, ground: str, level: str = "L2A"
) -> Chip:
    day = re.search(r"\d{4}-\d{2}-\d{2}", path.stem) or re.match(r"\d{8}", path.stem)
    return optical_chip(
        f"eotdl {path.stem}",
        optical,
        labels,
        place=place,
        ground=ground,
        source=f"EOTDL samples, Sentinel-2 {level}",
        licence=LICENCE,
        day=date.fromisoformat(day.group()) if day else None,
        where=raster.where,
    )
