"""The plugin that prepares a Dask worker for tiles: its memory, its threads, its model."""

from __future__ import annotations

import asyncio
import os
import socket

from distributed import Worker, WorkerPlugin

from monitor.archive.threads import mallopt, share_heaps
from monitor.compute.predictor import ChosenModel, Opened, predictor

#: numbers of mallopt's options (malloc.h of the GNU C library)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: the largest threshold that the GNU C library reaches by itself
KEPT_BYTES = 32 * 2**20


class OpenModel(WorkerPlugin):
    """Opens the model in every worker process, also in one that joins later.

    The opening runs in the background, so that the worker's heartbeats to the scheduler continue: tiles that
    arrive meanwhile queue behind it. `opened` raises the error of a model that cannot be opened, once for all
    workers; on a worker that joined later its first tile raises it.
    """

    #: a scheduler holds one plugin of a name: the next run's replaces it
    name = "lake-monitor model"

    def __init__(self, model: ChosenModel) -> None:
        self.model = model

    def setup(self, worker: Worker) -> None:
        share_heaps()
        if not worker.address.startswith("inproc://"):
            predictor.name = f"the worker at {worker.address} on {socket.gethostname()}"
            _unbind(worker.state.nthreads)
        predictor.submit(predictor.segmenter, self.model)


def _unbind(threads: int) -> None:
    """Undo Dask's settings of its worker processes, with which prediction takes three times as long.

    They restrict computation to one thread, and return freed memory at once, only to request it again.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # torch reads both when it is loaded
        os.environ[name] = str(threads)
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)


async def opened() -> Opened:
    """The model and device that this worker predicts with, once its queued work is finished."""
    return await asyncio.wrap_future(predictor.submit(predictor.opened))
