"""What a Dask worker does before tiles come: open the model. Apart, because it needs Dask when it is read."""

from __future__ import annotations

import asyncio
import os
import socket

from distributed import Worker, WorkerPlugin

from monitor.predictor import ChosenModel, Opened, predictor


class OpenModel(WorkerPlugin):
    """Opens the model in every worker process, also in one that joins later.

    It waits without blocking the worker, whose heartbeats go on. A model that cannot be opened is told by
    `opened`, once for all workers, and by the tiles of a worker that came later.
    """

    #: one a scheduler: the next run's takes its place
    name = "lake-monitor model"

    def __init__(self, model: ChosenModel) -> None:
        self.model = model

    async def setup(self, worker: Worker) -> None:
        if not worker.address.startswith("inproc://"):
            predictor.name = f"the worker at {worker.address} on {socket.gethostname()}"
            # Dask has its processes compute with one thread each; torch is to have as many as the worker was
            # given, and asks when it is loaded
            os.environ["OMP_NUM_THREADS"] = str(worker.state.nthreads)
        opening = predictor.submit(predictor.segmenter, self.model)
        await asyncio.wait([asyncio.wrap_future(opening)])


async def opened() -> Opened:
    """What the worker that is asked has to predict with, once what it is at is finished."""
    return await asyncio.wrap_future(predictor.submit(predictor.opened))
