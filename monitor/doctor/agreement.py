"""Comparison of the harmonised reflectance of one acquisition in two catalogues.

An offset that is applied twice or never shifts all indices, and the images still look right. Two catalogues
have the same pixels, so that a wrong offset in one of them shows as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from monitor.archive.conventions import ADDED
from monitor.archive.load import load_optical
from monitor.archive.profiles import S2_BANDS, CatalogProfile
from monitor.archive.scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

#: Catalogues give the time of the acquisition's start or that of the tile (21 minutes apart in recorded
#: items); a satellite does not see the same square again within an orbit of 100 minutes.
SAME_PASS = timedelta(minutes=45)
#: largest difference of medians in reflectance: one digital number
TOLERANCE = 1e-4
#: pixels with data in both catalogues that a comparison needs
ENOUGH = 1000
#: reflectance x 10000 per unit of reflectance
UNIT = 10_000.0


@dataclass(frozen=True)
class Difference:
    """Reflectance of one catalogue minus that of the other: medians over the pixels with data in both."""

    bands: dict[str, float]
    #: 1st percentile of reflectance over the same pixels, in the darkest band of each catalogue
    floors: tuple[float, float]
    pixels: int

    @property
    def band(self) -> str:
        """The band that differs most."""
        return max(self.bands, key=lambda band: abs(self.bands[band]))

    @property
    def largest(self) -> float:
        return self.bands[self.band]

    @property
    def agrees(self) -> bool:
        return abs(self.largest) < TOLERANCE

    @property
    def is_offset(self) -> bool:
        """Whether every band differs by the +1000, so that it is taken out twice or never in one of them."""
        step = ADDED / UNIT
        return all(abs(abs(value) - step) < step / 20 for value in self.bands.values())


def pairs(scenes: Iterable[Scene], others: Iterable[Scene]) -> Iterator[tuple[Scene, Scene]]:
    """Acquisitions that are in both catalogues in the same processing baseline, newest first."""
    there = list(others)
    for scene in sorted(scenes, key=lambda scene: scene.datetime, reverse=True):
        for other in there:
            if (
                abs(scene.datetime - other.datetime) < SAME_PASS
                and _satellite(scene) == _satellite(other)
                and scene.baseline == other.baseline
                and scene.square == other.square != ""
            ):
                yield scene, other


def _satellite(scene: Scene) -> str:
    """ "2A" of "Sentinel-2A", "sentinel-2a" and the like."""
    return scene.platform[-2:].upper()


def difference(
    scene: Scene, profile: CatalogProfile, other: Scene, other_profile: CatalogProfile, geobox: GeoBox
) -> Difference | None:
    """Medians of `scene` minus `other` on `geobox`; None if too few pixels have data in both.

    Raises:
        AssetError: a file cannot be read.
    """
    ours, theirs = reflectance(scene, profile, geobox), reflectance(other, other_profile, geobox)
    common = np.isfinite(np.stack([*ours.values(), *theirs.values()])).all(axis=0)
    if common.sum() < ENOUGH:
        return None
    bands = {band: float(np.median(ours[band][common] - theirs[band][common])) for band in S2_BANDS}
    floors = tuple(
        min(float(np.percentile(values[common], 1)) for values in side.values()) for side in (ours, theirs)
    )
    return Difference(bands, (floors[0], floors[1]), int(common.sum()))


def reflectance(
    scene: Scene, profile: CatalogProfile, geobox: GeoBox, names: Sequence[str] = S2_BANDS
) -> dict[str, NDArray[np.float32]]:
    """Harmonised reflectance (H, W) by band, which may be negative; NaN without data."""
    bands = load_optical(scene, profile, geobox, names)
    return {name: (bands[name] / np.float32(UNIT)).to_numpy() for name in names}
