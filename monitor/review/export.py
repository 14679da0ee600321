"""The review queue as files: GeoJSON, and one picture a chip with what the model and the index saw."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from monitor.archive.freeze import recall
from monitor.archive.scenes import SceneList
from monitor.errors import AssetError
from monitor.grid import WGS84, Tile, pixel_at, reproject, zone_at
from monitor.progress import SILENT, Progress
from monitor.stack.acquire import acquire
from monitor.stack.dataset import planes
from monitor.workspace import System
from segmenter.indices import mndwi
from storage import ledger, reviews

if TYPE_CHECKING:
    import geopandas
    from numpy.typing import NDArray

RGB = ("B04", "B03", "B02")
#: reflectance x 10000 shown as white
WHITE = 3500.0


def export_queue(
    system: System,
    folder: Path,
    region: str | None,
    season: int | None,
    *,
    explained: bool,
    progress: Progress = SILENT,
) -> int:
    """Write queue.geojson and a PNG for every open flag; returns how many. Asking again overwrites them.

    Flags of the other kind, an index's or a model's, are left out: their layers are not this system's.
    A chip's imagery is read from the archive anew; where that fails the picture says so.
    """
    with system.database.connect() as conn:
        queue = reviews.queue(conn, region, season)
    queue = queue[queue.survey_kind == system.workspace.survey_kind]
    if not explained:
        queue = queue[~queue.explained]
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    scenes: dict[tuple[str, int], SceneList] = {}
    with progress.count("chips", len(queue)) as done:
        for flag in queue.itertuples():
            place = (flag.region, flag.season)
            if place not in scenes:
                with system.database.connect() as conn:
                    frozen = ledger.frozen(conn, *place, kind=system.workspace.survey_kind)
                scenes[place] = recall(system.workspace.profile, *frozen)
            name = f"{flag.season}-{re.sub('[^a-z]+', '-', flag.kind)}-{str(flag.flag_id)[:8]}.png"
            _picture(system, flag, scenes[place], folder / name)
            pictures.append(name)
            done()
    _write_geojson(queue, pictures, folder / "queue.geojson")
    return len(queue)


def _write_geojson(queue: geopandas.GeoDataFrame, pictures: list[str], path: Path) -> None:
    plain = queue.drop(columns=["detail", "created_at", "at"]).assign(
        picture=pictures, detail=[str(detail) for detail in queue.detail]
    )
    for column in ("flag_id", "survey_id", "lake_id"):
        plain[column] = plain[column].astype("string")
    part = path.with_suffix(".part")
    part.write_text(plain.to_json(drop_id=True))
    part.replace(path)


def chip_of(footprint: Any, epsg: int, size: int) -> Tile:
    """A square of the global grid, `size` pixels, about the middle of `footprint` (EPSG:4326)."""
    middle = reproject(footprint.centroid, WGS84, epsg)
    row, col = pixel_at(middle.x, middle.y)
    return Tile(epsg, size, row - size // 2, col - size // 2)


def _picture(system: System, flag: Any, scenes: SceneList, path: Path) -> None:
    """Four panels: colours, MNDWI, the season's mask, the probability."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    epsg = zone_at(flag.geometry.centroid.x, flag.geometry.centroid.y)
    chip = chip_of(flag.geometry, epsg, 256)
    rows, cols = slice(chip.row, chip.row + chip.size), slice(chip.col, chip.col + chip.size)
    mask = system.cube.read(epsg, flag.season, rows, cols, "mask")
    probability = system.cube.read(epsg, flag.season, rows, cols, "probability")
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.6), layout="constrained")
    try:
        stack = acquire(scenes.over(chip), system.workspace.profile, chip, 0)
        axes[0].imshow(_colours(stack))
        axes[1].imshow(mndwi(*planes(stack, ("B03", "B11"))), cmap="RdBu", vmin=-1, vmax=1)
    except AssetError as error:
        axes[0].text(0.02, 0.5, str(error), wrap=True, fontsize=7, transform=axes[0].transAxes)
    axes[2].imshow(np.where(mask == 255, np.nan, mask), cmap="Blues", vmin=0, vmax=1)
    axes[3].imshow(probability, cmap="viridis", vmin=0, vmax=1)
    for axis, title in zip(axes, ("colours (B04 B03 B02)", "MNDWI", "mask", "probability"), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    middle = flag.geometry.centroid
    figure.suptitle(
        f"{flag.region} {flag.season}   {flag.kind}   {flag.score:.2f} ha   {middle.x:.4f} E {middle.y:.4f} N"
    )
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _colours(stack: xr.Dataset) -> NDArray[np.float32]:
    colours = np.nan_to_num(np.moveaxis(planes(stack, RGB), 0, -1)) / WHITE
    return np.asarray(np.clip(colours, 0, 1), np.float32)
