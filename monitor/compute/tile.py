"""One tile from scenes to cube, on whichever worker: acquire, segment, write; the outcome is a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.archive.profiles import CatalogProfile
from monitor.compute.predictor import Asked, ChosenModel, predictor
from monitor.errors import AssetError
from monitor.plan import TileTask
from storage.codes import TaskState
from storage.errors import StorageError
from storage.ledger import Fault

if TYPE_CHECKING:
    from storage.cube import CubeSlot


@dataclass(frozen=True)
class TileResult:
    """How a tile task ended; `slot` holds its layers until the coordinator commits them."""

    task: TileTask
    state: TaskState
    reason: str | None = None
    fault: Fault | None = None
    slot: CubeSlot | None = None


def settled(task: TileTask) -> TileResult | None:
    """How a task ends that needs no worker: `empty` with nothing to see, `failed` by what failed before."""
    if fault := task.fault:
        return TileResult(task, TaskState.FAILED, str(fault), Fault(fault.item, fault.asset, fault.href))
    if reason := task.impossible:
        return TileResult(task, TaskState.EMPTY, str(reason))
    return None


def work(
    task: TileTask,
    profile: CatalogProfile,
    model: ChosenModel,
    slot: CubeSlot,
    when_read: Callable[[], None] = lambda: None,
) -> TileResult:
    """Do one tile that is not `settled`. Data that cannot be read makes it `failed`, no clear view `empty`.

    `when_read` is called between reading and predicting, so that somebody else may read meanwhile.

    Raises:
        UnopenedError: there is no such model here.
    """
    from monitor.compute.segment import segment
    from monitor.stack.acquire import acquire
    from segmenter.windows import halo

    segmenter = Asked(model, predictor)
    border = halo(segmenter.manifest)
    try:
        stack = acquire(task.scenes, profile, task.tile, border)
        when_read()
        layers = segment(stack, segmenter, task.tile, border, task.zone, task.reach)
        slot.write(task.tile.epsg, task.season, task.tile.row, task.tile.col, layers.arrays, task.key)
    except AssetError as error:
        return TileResult(task, TaskState.FAILED, str(error), Fault(error.item, error.asset, error.href))
    except StorageError as error:
        return TileResult(task, TaskState.FAILED, str(error))
    if layers.observed:
        return TileResult(task, TaskState.WRITTEN, slot=slot)
    cloudy = bool(stack["cloud"].any())
    why = "all cloud: no clear look in any date" if cloudy else "no data: scenes do not cover the tile"
    return TileResult(task, TaskState.EMPTY, why, slot=slot)
