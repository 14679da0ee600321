"""A scene report as a picture: each cell's best date, and how much cloud even that one has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.archive.choice import CLOUD_BELOW

if TYPE_CHECKING:
    from monitor.report.scenes import CellReport, SceneReport

#: cells without any scene, and cells that an unreadable file leaves open
BARE, OPEN = "#d9d9d9", "#ff2d55"


def draw_scenes(report: SceneReport, path: Path) -> None:
    """Write a PNG of the region's cells: cloud of the best date on the left, its day on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    cells = [cell for cell in report.cells if cell.inside]
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
    _panel(
        left, cells, [cell.optical[0].cloud if cell.optical else None for cell in cells], "viridis_r", (0, 1)
    )
    left.set_title(f"cloud over the cell on its best date (good below {CLOUD_BELOW:.0%})")
    days = [cell.best_day.timetuple().tm_yday if cell.best_day else None for cell in cells]
    span = report.first_day.timetuple().tm_yday, report.late_day.timetuple().tm_yday
    _panel(right, cells, days, "plasma", span)
    right.set_title(f"its day of the year ({report.first_day} to {report.late_day})")
    figure.suptitle(
        f"{report.region} {report.season}; grey: no scene or no cloud figure, red: undecided", fontsize=10
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _panel(
    axis: Any,
    cells: Sequence[CellReport],
    values: Sequence[float | None],
    colours: str,
    span: tuple[float, float],
) -> None:
    import numpy as np
    from matplotlib.collections import PolyCollection

    for known in (False, True):
        mine = [
            (cell, value) for cell, value in zip(cells, values, strict=True) if (value is not None) == known
        ]
        outlines = [np.asarray(cell.tile.footprint().exterior.coords) for cell, _ in mine]
        drawn = PolyCollection(outlines, edgecolors="white", linewidths=0.4)
        if known:
            drawn.set(array=np.array([value for _, value in mine], float), cmap=colours, clim=span)
            axis.figure.colorbar(drawn, ax=axis, shrink=0.8)
        else:
            drawn.set_facecolor([OPEN if cell.fault else BARE for cell, _ in mine])
        axis.add_collection(drawn)
    axis.autoscale_view()
    # a degree of longitude is shorter than one of latitude
    axis.set_aspect(1 / np.cos(np.radians(sum(axis.get_ylim()) / 2)))
