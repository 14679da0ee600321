"""One tile from scenes to cube, computed on a worker: acquired, segmented, written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.archive.profiles import CatalogProfile
from monitor.archive.sensors import works_without_optical
from monitor.compute.predictor import ChosenModel, QueuedSegmenter, predictor
from monitor.errors import AssetError, ContentRefusedError
from monitor.plan import TileTask
from storage.codes import TaskState
from storage.errors import StorageError
from storage.ledger import Fault

if TYPE_CHECKING:
    import xarray as xr

    from storage.cube import CubeSlot


@dataclass(frozen=True)
class TileResult:
    """The outcome of a tile task; `slot` holds its layers until the coordinator commits them."""

    task: TileTask
    state: TaskState
    reason: str | None = None
    fault: Fault | None = None
    slot: CubeSlot | None = None
    #: files with impossible numbers; the season is planned again without their items
    refused: tuple[ContentRefusedError, ...] = ()


def result_without_data(task: TileTask) -> TileResult | None:
    """The result of a task that is decided before any data is read; None for all others.

    The task is `empty` without usable scenes, and `failed` if a file failed while its scenes were chosen.
    """
    if fault := task.fault:
        return TileResult(task, TaskState.FAILED, str(fault), Fault(fault.item, fault.asset, fault.href))
    if reason := task.impossible:
        return TileResult(task, TaskState.EMPTY, str(reason))
    return None


def compute_tile(
    task: TileTask,
    profile: CatalogProfile,
    model: ChosenModel,
    slot: CubeSlot,
    on_read: Callable[[], None] = lambda: None,
) -> TileResult:
    """Compute one tile. It is `failed` if data cannot be read or the model fails on it, and `empty` without
    any clear view.

    Args:
        on_read: called after reading and before prediction.

    Raises:
        UnopenedError: the model cannot be opened on this worker.
    """
    from monitor.compute.segment import segment
    from monitor.stack.acquire import acquire
    from segmenter.errors import SegmenterError
    from segmenter.windows import halo

    segmenter = QueuedSegmenter(model, predictor)
    border = halo(segmenter.manifest)
    try:
        stack = acquire(task.scenes, profile, task.tile, border)
        on_read()
        if refused := stack.attrs.get("refused", ()):
            return _without_items(task, refused)
        layers = segment(stack, segmenter, task.tile, border, task.zone, task.reach)
        slot.write(task.tile.epsg, task.season, task.tile.row, task.tile.col, layers.arrays, task.key)
    except AssetError as error:
        return TileResult(task, TaskState.FAILED, str(error), Fault(error.item, error.asset, error.href))
    except (SegmenterError, StorageError) as error:
        return TileResult(task, TaskState.FAILED, str(error))
    if layers.observed:
        return TileResult(task, TaskState.WRITTEN, slot=slot)
    return TileResult(task, TaskState.EMPTY, _why_empty(stack, task), slot=slot)


def _why_empty(stack: xr.Dataset, task: TileTask) -> str:
    """Why no pixel of a tile has an answer."""
    if not stack["cloud"].any():
        return "no data: scenes do not cover the tile"
    alone = works_without_optical(task.sets)
    return "all cloud: no clear view on any date" + (", and no radar with a DEM" if alone else "")


def _without_items(task: TileTask, refused: Sequence[ContentRefusedError]) -> TileResult:
    """The result of a tile whose scenes have to be chosen again, without the items of some files."""
    first = refused[0]
    fault = Fault(first.item, first.asset, first.href)
    reason = "; ".join(map(str, refused))
    errors = tuple(error.detached() for error in refused)
    return TileResult(task, TaskState.FAILED, reason, fault, refused=errors)
