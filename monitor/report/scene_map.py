"""A scene report as a picture: each cell's best date, and the cloud over the cell on that date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.archive.choice import CLOUD_BELOW
from monitor.drawing.maps import FRAME, graticule, mark_simulated, north_arrow, scale_bar
from monitor.drawing.palette import BLACK
from monitor.drawing.pictures import plain_text, save_picture
from monitor.drawing.text import one_line
from monitor.grid import WGS84, side_by_side

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from monitor.report.scenes import CellReport, SceneReport

#: cells without a figure, and cells that an unreadable file leaves undecided
BARE: dict[str, Any] = {"facecolor": "#d9d9d9", "edgecolor": "white", "linewidth": 0.4}
OPEN: dict[str, Any] = {"facecolor": "white", "edgecolor": BLACK, "linewidth": 0.4, "hatch": "xxx"}
#: cells that still have room for their figure in words
FEW_CELLS = 40


def draw_scenes(report: SceneReport, path: Path) -> None:
    """Write a PNG of the region's cells: cloud of the best date on the left, its day on the right."""
    save_picture(scene_figure(report), path, dpi=100)


@plain_text()
def scene_figure(report: SceneReport) -> Figure:
    """Two maps of the region's cells, with graticule, scale bar, north arrow and legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    cells = [cell for cell in report.cells if cell.inside]
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    clouds = [cell.optical[0].cloud if cell.optical else None for cell in cells]
    _panel(left, cells, clouds, "viridis_r", (0, 1), lambda cloud: f"{cloud:.0%}")
    left.set_title(f"cloud over each cell on its best date (good below {CLOUD_BELOW:.0%})", fontsize=11)
    days = [cell.best_day.toordinal() if cell.best_day else None for cell in cells]
    span = report.first_day.toordinal(), report.late_day.toordinal()
    _panel(right, cells, days, "viridis", span, _day)
    right.set_title(f"best date of each cell ({report.first_day} to {report.late_day})", fontsize=11)
    handles = [
        Patch(**BARE, label="no scene, or cloud not measured"),
        Patch(**OPEN, label="undecided: a file cannot be read"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    title = f"{report.region} {report.season}: Sentinel-2 scenes by cell of the grid"
    figure.suptitle(one_line(title, 120), fontsize=12)
    if report.simulated:
        mark_simulated(figure)
    return figure


def _panel(
    axes: Axes,
    cells: Sequence[CellReport],
    values: Sequence[float | None],
    colours: str,
    span: tuple[float, float],
    words: Callable[[float], str],
) -> None:
    """Cells coloured by their values; `words` writes a value for the colour bar, and in the cells if few."""
    from matplotlib.collections import PolyCollection

    grounds = dict(
        zip([cell.name for cell in cells], side_by_side([cell.tile for cell in cells]), strict=True)
    )

    def outlines(of: Sequence[CellReport]) -> list[NDArray[np.float64]]:
        return [np.asarray(grounds[cell.name].exterior.coords) for cell in of]

    bare = [cell for cell, value in zip(cells, values, strict=True) if value is None]
    for style, undecided in ((BARE, False), (OPEN, True)):
        mine = [cell for cell in bare if bool(cell.fault) == undecided]
        axes.add_collection(PolyCollection(outlines(mine), **style))
    found = [(cell, value) for cell, value in zip(cells, values, strict=True) if value is not None]
    drawn = PolyCollection(outlines([cell for cell, _ in found]), edgecolors="white", linewidths=0.4)
    drawn.set(array=np.array([value for _, value in found], float), cmap=colours, clim=span)
    axes.add_collection(drawn)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8, format=lambda value, _: words(value))
    for cell, value in found if len(found) <= FEW_CELLS else []:
        middle = grounds[cell.name].centroid
        axes.text(middle.x, middle.y, words(value), ha="center", va="center", bbox=FRAME, zorder=4)
    axes.autoscale_view()
    # a degree of longitude is shorter than one of latitude
    axes.set_aspect(1 / np.cos(np.radians(sum(axes.get_ylim()) / 2)))
    graticule(axes, WGS84)
    scale_bar(axes, WGS84)
    north_arrow(axes, WGS84)


def _day(ordinal: float) -> str:
    """Day of a proleptic Gregorian ordinal, as 08-31."""
    return f"{date.fromordinal(round(ordinal)):%m-%d}"
