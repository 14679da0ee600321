"""The review queue as files: GeoJSON, and a picture of each chip with its imagery, its mask and the index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
import xarray as xr

from monitor.archive.freeze import recall
from monitor.archive.scenes import SceneList
from monitor.drawing.maps import (
    Place,
    draw_outlines,
    graticule,
    label_places,
    mark_simulated,
    north_arrow,
    scale_bar,
)
from monitor.drawing.palette import BLACK, MASK, rgb
from monitor.errors import AssetError
from monitor.grid import NORTHING_ORIGIN, PIXEL, WGS84, Tile, pixel_at, reproject, zone_at
from monitor.progress import SILENT, Progress
from monitor.review.triage import CHIP
from monitor.stack.acquire import acquire
from monitor.stack.dataset import planes
from monitor.workspace import System
from segmenter.indices import mndwi
from storage import ledger, reviews
from storage.codes import NO_ANSWER, TRUSTED, SurveyKind
from storage.history import last_outlines

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: colours and MNDWI of a chip
Imagery = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
RGB = ("B04", "B03", "B02")
#: reflectance x 10000 shown as white
WHITE = 3500.0
PANELS = ("true colours (B04, B03, B02)", "MNDWI (above 0: water)", "mask", "probability of water")


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

    Flags of an inventory have no picture: there are no layers of its season. Those of the other kind of
    survey, an index or a model, are left out: their layers are in another cube. A chip's imagery is read from
    the archive again; if that fails, the picture shows the error.
    """
    kind = system.workspace.survey_kind
    kinds = (kind,) if kind == SurveyKind.INDEX else TRUSTED
    with system.database.connect() as conn:
        queue = reviews.queue(conn, region, season)
    queue = queue[queue.survey_kind.isin([kind, SurveyKind.INVENTORY])]
    if not explained:
        queue = queue[~queue.explained]
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[str | None] = []
    scenes: dict[tuple[str, int], SceneList] = {}
    outlines: dict[str, geopandas.GeoDataFrame] = {}
    with progress.count("chips", len(queue)) as done:
        for flag in queue.itertuples():
            if flag.survey_kind == SurveyKind.INVENTORY:
                pictures.append(None)
                done()
                continue
            season_of = (flag.region, flag.season)
            if season_of not in scenes:
                with system.database.connect() as conn:
                    frozen = ledger.frozen(conn, *season_of, kind=kind)
                    if flag.region not in outlines:
                        outlines[flag.region] = last_outlines(conn, flag.region, kinds)
                scenes[season_of] = recall(system.workspace.profile, *frozen)
            name = f"{flag.season}-{re.sub('[^a-z]+', '-', flag.kind)}-{str(flag.flag_id)[:8]}.png"
            _write_picture(system, flag, scenes[season_of], outlines[flag.region], folder / name)
            pictures.append(name)
            done()
    _write_geojson(queue, pictures, folder / "queue.geojson")
    return len(queue)


def _write_geojson(queue: geopandas.GeoDataFrame, pictures: list[str | None], path: Path) -> None:
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


def _write_picture(
    system: System, flag: Any, scenes: SceneList, outlines: geopandas.GeoDataFrame, path: Path
) -> None:
    chip = chip_of(flag.geometry, zone_at(flag.geometry.centroid.x, flag.geometry.centroid.y), CHIP)
    rows, cols = slice(chip.row, chip.row + chip.size), slice(chip.col, chip.col + chip.size)
    layers = {
        name: system.cube.read(chip.epsg, flag.season, rows, cols, name) for name in ("mask", "probability")
    }
    try:
        stack = acquire(scenes.over(chip), system.workspace.profile, chip, 0)
        imagery: Imagery | str = _colours(stack), mndwi(*planes(stack, ("B03", "B11")))
    except AssetError as error:
        imagery = str(error)
    middle = flag.geometry.centroid
    title = (
        f"{flag.region} {flag.season}   {flag.kind}, {flag.score:.2f} ha   "
        f"{middle.y:.4f}° N {middle.x:.4f}° E{f'   lake {flag.lake_code}' if flag.lake_code else ''}"
    )
    simulated = any(scene.simulated for scene in scenes.scenes)
    chip_figure(title, chip, imagery, layers, outlines, simulated=simulated).savefig(path, dpi=90)


def chip_figure(
    title: str,
    chip: Tile,
    imagery: Imagery | str,
    layers: Mapping[str, NDArray[Any]],
    outlines: geopandas.GeoDataFrame,
    *,
    simulated: bool,
) -> Figure:
    """Four maps of a chip: true colours, MNDWI, the season's mask and its probability, with the known lakes.

    Args:
        imagery: colours (rows, columns, 3) from 0 to 1 and MNDWI (rows, columns), or why they cannot be read.
        layers: mask and probability of the cube (rows, columns).
        outlines: last outline of the region's lakes (EPSG:4326) with `code`.
        simulated: mark the figure as one of simulated scenes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4)
    extent = _extent(chip)
    if isinstance(imagery, str):
        for axis in axes[:2]:
            place = {"ha": "center", "va": "center", "transform": axis.transAxes}
            axis.text(0.5, 0.5, imagery, wrap=True, fontsize=8, **place)
    else:
        axes[0].imshow(imagery[0], extent=extent)
        _bar(axes[1], axes[1].imshow(imagery[1], extent=extent, cmap="BrBG", vmin=-1, vmax=1))
    axes[2].imshow(_painted(layers["mask"]), extent=extent)
    _bar(axes[3], axes[3].imshow(layers["probability"], extent=extent, cmap="viridis", vmin=0, vmax=1))
    lakes = _lakes_of(outlines, chip)
    for axis, name in zip(axes, PANELS, strict=True):
        axis.set_title(name, fontsize=10)
        _map(axis, chip, lakes)
    scale_bar(axes[0], chip.epsg)
    north_arrow(axes[0], chip.epsg)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title)
    if simulated:
        mark_simulated(figure)
    shapes = zip(lakes.code, lakes.geometry, strict=True)
    label_places(axes[0], [Place(code, shape.bounds, needed=False) for code, shape in shapes])
    return figure


def _map(axis: Axes, chip: Tile, lakes: geopandas.GeoDataFrame) -> None:
    """Coordinates and the lakes' outlines over a panel."""
    left, right, bottom, top = _extent(chip)
    limits: dict[str, Any] = {"xlim": (left, right), "ylim": (bottom, top), "aspect": "equal"}
    axis.set(**limits)
    graticule(axis, chip.epsg, lines=3)
    draw_outlines(axis, lakes.geometry, BLACK, width=1.2)


def _handles() -> list[Any]:
    """The legend's entries."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    classes = [Patch(facecolor=colour, edgecolor="black", label=name) for colour, name in MASK.values()]
    return [*classes, Line2D([], [], color="black", label="last outline of a known lake")]


def _extent(chip: Tile) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of the chip, UTM metres."""
    left, top, side = chip.col * PIXEL, NORTHING_ORIGIN - chip.row * PIXEL, chip.size * PIXEL
    return left, left + side, top - side, top


def _bar(axis: Axes, image: Any) -> None:
    """Add a colour bar; pixels without a value have the colour of "no answer"."""
    axis.set_facecolor(MASK[NO_ANSWER][0])
    axis.figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.7, aspect=30, pad=0.02)


def _lakes_of(outlines: geopandas.GeoDataFrame, chip: Tile) -> geopandas.GeoDataFrame:
    """The parts of the lakes within the chip, in its zone, largest first."""
    left, right, bottom, top = _extent(chip)
    near = outlines[outlines.intersects(chip.footprint())].to_crs(chip.epsg)
    cut = near.clip(shapely.box(left, bottom, right, top))
    return cut.iloc[(-cut.area).argsort()]


def _painted(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """The mask's classes in their colours (rows, columns, 3)."""
    painted = np.zeros((*mask.shape, 3), np.uint8)
    for code, (colour, _) in MASK.items():
        painted[mask == code] = rgb(colour)
    return painted


def _colours(stack: xr.Dataset) -> NDArray[np.float32]:
    colours = np.nan_to_num(np.moveaxis(planes(stack, RGB), 0, -1)) / WHITE
    return np.asarray(np.clip(colours, 0, 1), np.float32)
