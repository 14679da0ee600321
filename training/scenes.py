"""Scenes for training, stored on disk: stacks made by the product's code, with their labels.

One folder per seed and season, with plain arrays that are mapped into memory, so that a chip is read without
reading its whole scene.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from monitor.archive.catalog import open_catalog
from monitor.archive.freeze import freeze
from monitor.archive.profiles import S1_BANDS, S2_BANDS, read_profile
from monitor.grid import PIXEL, Tile, pixel_at, reproject
from monitor.settings import SeasonWindow
from monitor.stack.acquire import acquire
from monitor.stack.dataset import planes
from segmenter.manifest import SENSORS
from training.chip_files import Chip, Split
from training.errors import TrainingError
from training.labels import label, read_lakes

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

#: edge of the chips of simulated scenes, and what neighbours share, px; those of a batch are cut out of them
WINDOW, OVERLAP = 256, 64
#: catalogue whose layout the simulated archives have
PROFILE = "planetary-computer"


@dataclass(frozen=True, eq=False)
class LabelledStack:
    """Stack and labels of one archive in one season, on the archive's square of the global grid."""

    name: str
    archive: Path
    season: int
    tile: Tile
    #: (14, H, W) float16: 12 reflectances x 10000, VV and VH in dB; NaN where there is none
    bands: NDArray[np.float16]
    #: (H, W) metres, NaN where there is none
    dem: NDArray[np.float32]
    #: (H, W) see `training.labels`
    labels: NDArray[np.uint8]

    @property
    def geobox(self) -> GeoBox:
        return self.tile.geobox()


def chips_of(scene: LabelledStack, split: Split) -> Iterator[Chip]:
    """The chips of a simulated scene: windows of `WINDOW` pixels, whose neighbours overlap by `OVERLAP`."""
    height, width = scene.labels.shape
    for row in _starts(height):
        for col in _starts(width):
            here = (..., slice(row, row + WINDOW), slice(col, col + WINDOW))
            bands = np.array(scene.bands[here])
            left, top = scene.geobox.affine @ (col, row)
            yield Chip(
                name=f"{scene.name}-{row}-{col}",
                place=scene.archive.name,
                origin="simulated",
                source="python -m simulator",
                licence="Apache-2.0",
                split=split,
                day=None,
                sensors=SENSORS,
                optical=bands[: len(S2_BANDS)],
                radar=bands[len(S2_BANDS) :],
                dem=np.array(scene.dem[here]),
                labels=np.array(scene.labels[here]),
                epsg=scene.tile.epsg,
                left=left,
                top=top,
                pixel=PIXEL,
            )


def _starts(length: int) -> list[int]:
    """First pixels of the windows along an axis; the last window ends where the scene does."""
    last = max(length - WINDOW, 0)
    return [*range(0, last, WINDOW - OVERLAP), last]


def prepare(archive: Path, folder: Path) -> list[LabelledStack]:
    """Make the scenes of every season of `archive` below `folder`; existing ones are kept."""
    targets = _targets(archive, folder)
    for target, season in targets.items():
        if not target.is_dir():
            _write(archive, season, target)
    return [read_scene(target) for target in targets]


def _targets(archive: Path, folder: Path) -> dict[Path, int]:
    """The folders of the scenes of `archive`, and their seasons."""
    seasons = sorted(int(year) for year in read_lakes(archive)["season"].unique())
    return {folder / f"{archive.name}-{season}": season for season in seasons}


def prepare_all(
    archives: Sequence[Path], folder: Path, purpose: str, processes: int = 2
) -> list[LabelledStack]:
    """Make the scenes of all `archives`, several archives at a time; existing ones are kept."""
    missing = [archive for archive in archives if not all(map(Path.is_dir, _targets(archive, folder)))]
    if missing:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            made = pool.map(_prepare_each, missing, repeat(folder))
            for _ in track(made, total=len(missing), description=f"reading stacks ({purpose})"):
                pass
    return [scene for archive in archives for scene in prepare(archive, folder)]


def _prepare_each(archive: Path, folder: Path) -> None:
    """Make the scenes of an archive; its arrays stay on disk."""
    prepare(archive, folder)


def read_scene(folder: Path) -> LabelledStack:
    """Open a stored scene; its arrays are memory-mapped."""
    facts = json.loads((folder / "scene.json").read_text())
    return LabelledStack(
        name=folder.name,
        archive=Path(facts["archive"]),
        season=facts["season"],
        tile=Tile(**facts["tile"]),
        bands=np.load(folder / "bands.npy", mmap_mode="r"),
        dem=np.load(folder / "dem.npy", mmap_mode="r"),
        labels=np.load(folder / "labels.npy", mmap_mode="r"),
    )


def _write(archive: Path, season: int, target: Path) -> None:
    """Acquire and label one season; the folder is renamed to its final name when it is complete."""
    lakes = read_lakes(archive)
    area = _region(archive)
    profile = read_profile(PROFILE, archive).at(archive).serving("rtc")
    listed = freeze(open_catalog(profile, archive), profile, area, SeasonWindow(), season).chosen
    if not listed.optical or not listed.radar:
        refused = "; ".join(f"{item}: {why}" for item, why in listed.refused)
        raise TrainingError(f"{archive}: has no scenes in {season} ({refused}); simulate it again")
    tile = _tile(area, int(lakes.crs.to_epsg()))
    stack = acquire(listed, profile, tile, halo=0)
    for error in stack.attrs.get("refused", ()):
        raise error
    unfinished = target.with_name(f"unfinished-{target.name}")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    np.save(unfinished / "bands.npy", planes(stack, (*S2_BANDS, *S1_BANDS)).astype(np.float16))
    np.save(unfinished / "dem.npy", stack["dem"].to_numpy())
    np.save(unfinished / "labels.npy", label(lakes, season, stack))
    facts = {"archive": str(archive.resolve()), "season": season, "tile": vars(tile)}
    (unfinished / "scene.json").write_text(json.dumps(facts))
    unfinished.rename(target)


def _region(archive: Path) -> BaseGeometry:
    """Square of the archive, EPSG:4326."""
    from shapely.geometry import shape

    content = json.loads((archive / "region.geojson").read_text())
    return shape(content["features"][0]["geometry"] if "features" in content else content["geometry"])


def _tile(area: BaseGeometry, epsg: int) -> Tile:
    """Square of whole pixels whose outline is `area` (EPSG:4326)."""
    left, bottom, right, top = reproject(area, 4326, epsg).bounds
    row, col = pixel_at(left, top)
    size = round(((right - left) + (top - bottom)) / 2 / PIXEL)
    return Tile(epsg, size, row, col)
