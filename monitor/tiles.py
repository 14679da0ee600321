"""One tile from scenes to cube, on whichever worker: acquire, segment, write; the outcome is a value."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.archive.profiles import CatalogProfile
from monitor.errors import AssetError, MonitorError
from monitor.plan import TileTask
from storage.codes import TaskState
from storage.errors import StorageError
from storage.ledger import Fault

if TYPE_CHECKING:
    from segmenter.protocol import Segmenter
    from storage.cube import CubeSlot


#: what of a `segment.Prediction` the cube keeps
LAYERS = ("probability", "mask", "reason", "day_of_year", "index")


@dataclass(frozen=True)
class TileResult:
    """How a tile task ended; `slot` holds its layers until the coordinator commits them."""

    task: TileTask
    state: TaskState
    reason: str | None = None
    fault: Fault | None = None
    slot: CubeSlot | None = None


# One prediction at a time in a process: the network already uses every core or the whole GPU. Others read
# meanwhile. Always the same thread: OpenMP gives every thread that calls it a team with memory of its own.
_predictor = ThreadPoolExecutor(1, thread_name_prefix="predicting")


@lru_cache(maxsize=2)
def _model(folder: Path, digest: str) -> Segmenter:
    # Threads that wait by spinning starve the one that reads the next tile; OpenMP asks when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    from segmenter.model import load

    model = load(folder)
    if model.manifest.fingerprint != digest:
        raise MonitorError(
            f"the model in {folder} is not the one this run was planned with; "
            "give every worker the same folder"
        )
    return model


def work(
    task: TileTask,
    profile: CatalogProfile,
    model: Path,
    slot: CubeSlot,
    when_read: Callable[[], None] = lambda: None,
) -> TileResult:
    """Do one tile. Data that cannot be read makes the tile `failed`, nothing to see makes it `empty`.

    `when_read` is called between reading and predicting, so that somebody else may read meanwhile.
    """
    from monitor.segment import segment
    from monitor.stack.acquire import acquire
    from segmenter.dense import halo

    if fault := task.fault:
        return TileResult(task, TaskState.FAILED, str(fault), Fault(fault.item, fault.asset, fault.href))
    if reason := task.impossible:
        return TileResult(task, TaskState.EMPTY, reason)
    segmenter = _predictor.submit(_model, model, task.model_digest).result()
    border = halo(segmenter.manifest)
    try:
        stack = acquire(task.scenes, profile, task.tile, border)
        when_read()
        prediction = _predictor.submit(segment, stack, segmenter, task.tile, border, task.zone).result()
        layers = {name: getattr(prediction, name) for name in LAYERS}
        slot.write(task.tile.epsg, task.season, task.tile.row, task.tile.col, layers, task.key)
    except AssetError as error:
        return TileResult(task, TaskState.FAILED, str(error), Fault(error.item, error.asset, error.href))
    except StorageError as error:
        return TileResult(task, TaskState.FAILED, str(error))
    if prediction.observed:
        return TileResult(task, TaskState.WRITTEN, slot=slot)
    cloud = stack.cloud.any()
    why = "all cloud: no clear look in any date" if cloud else "no data: scenes do not cover the tile"
    return TileResult(task, TaskState.EMPTY, why, slot=slot)
