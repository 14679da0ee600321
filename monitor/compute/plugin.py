"""What a Dask worker does before tiles come: open the model. Apart, because it needs Dask when it is read."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from contextlib import suppress

from distributed import Worker, WorkerPlugin

from monitor.compute.predictor import ChosenModel, Opened, predictor

#: the options' numbers (malloc.h of the GNU C library), and the threshold that it would come to by itself
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT_BYTES = -1, -3, 32 * 2**20


class OpenModel(WorkerPlugin):
    """Opens the model in every worker process, also in one that joins later.

    It does not wait for it, so that the worker goes on telling the scheduler that it lives: tiles that come
    meanwhile queue behind the opening. A model that cannot be opened is told by `opened`, once for all
    workers, and by the first tile of a worker that came later.
    """

    #: one a scheduler: the next run's takes its place
    name = "lake-monitor model"

    def __init__(self, model: ChosenModel) -> None:
        self.model = model

    def setup(self, worker: Worker) -> None:
        if not worker.address.startswith("inproc://"):
            predictor.name = f"the worker at {worker.address} on {socket.gethostname()}"
            _unbind(worker.state.nthreads)
        predictor.submit(predictor.segmenter, self.model)


def _unbind(threads: int) -> None:
    """Undo what Dask asks of its worker processes, which take three times as long to predict with it.

    It has them compute with one thread, and give memory back at every chance, only to ask for it again.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # torch asks for both when it is loaded
        os.environ[name] = str(threads)
    with suppress(OSError, AttributeError):  # only the GNU C library has these
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)


async def opened() -> Opened:
    """What the worker that is asked has to predict with, once what it is at is finished."""
    return await asyncio.wrap_future(predictor.submit(predictor.opened))
