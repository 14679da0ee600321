"""The cells of a tile, and the order in which scenes are used in each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monitor.archive.scenes import Choice, Scene
from monitor.grid import Tile

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Plot:
    """The part of a box that lies in one cell."""

    choice: Choice
    window: Window


def plots_of(choices: Iterable[Choice], box: Tile) -> list[Plot]:
    """The cells that `box` touches, with their windows in it."""
    plots = []
    for choice in choices:
        cell = choice.cell
        top, left = cell.row - box.row, cell.col - box.col
        rows = slice(max(top, 0), min(top + cell.size, box.size))
        cols = slice(max(left, 0), min(left + cell.size, box.size))
        if rows.start < rows.stop and cols.start < cols.stop:
            plots.append(Plot(choice, (rows, cols)))
    return plots


def turns(
    scenes: Iterable[Scene], plots: Sequence[Plot], side: int, kind: Literal["optical", "radar"]
) -> Iterator[tuple[Scene, NDArray[np.bool_]]]:
    """The first scene of every cell, then the second, and so on, each with the pixels (H, W) of its cells."""
    by_id = {scene.id: scene for scene in scenes}
    orders = [getattr(plot.choice, kind) for plot in plots]
    for rank in range(max(map(len, orders), default=0)):
        now: dict[str, NDArray[np.bool_]] = {}
        for plot, order in zip(plots, orders, strict=True):
            if rank < len(order):
                now.setdefault(order[rank], np.zeros((side, side), bool))[plot.window] = True
        for scene_id, mine in now.items():
            yield by_id[scene_id], mine


def bounds(flags: NDArray[np.bool_]) -> Window:
    """The smallest window with all pixels (H, W) that are set, of which there must be one."""
    rows, cols = ndimage.find_objects(flags.astype(np.uint8))[0]
    return rows, cols


def grown(window: Window, margin: int, shape: Iterable[int]) -> Window:
    """A window with a margin on every side, within an array of `shape`."""
    rows, cols = (
        slice(max(side.start - margin, 0), min(side.stop + margin, size))
        for side, size in zip(window, shape, strict=True)
    )
    return rows, cols


def inside(window: Window, outer: Window) -> Window:
    """The part of a window that lies in an outer window, relative to the outer one."""
    rows, cols = (
        slice(max(side.start - out.start, 0), max(min(side.stop, out.stop) - out.start, 0))
        for side, out in zip(window, outer, strict=True)
    )
    return rows, cols
