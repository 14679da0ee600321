"""Where tiles are computed: threads of this process, or any Dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.archive.profiles import CatalogProfile
from monitor.errors import MonitorError
from monitor.plan import TileTask
from monitor.settings import ClusterSettings
from monitor.tiles import TileResult, work
from storage.codes import TaskState

if TYPE_CHECKING:
    from storage.cube import Cube

#: tiles given to the scheduler for each of its threads
TILES_AHEAD = 2


class Workers:
    """Runs tile tasks on `settings.address`, or on threads of this process; starts when a tile comes."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._open = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def predict(
        self, tasks: Sequence[TileTask], profile: CatalogProfile, model: Path, cube: Cube
    ) -> Iterator[TileResult]:
        """Results in the order in which tiles finish; a tile that breaks is `failed`, the others go on.

        Raises:
            MonitorError: no scheduler answers at the address.
        """
        if not tasks:
            return
        from distributed import as_completed, secede

        if self._client is None:
            self._client = self._connect()
        waiting = iter(tasks)
        running: dict[Any, TileTask] = {}

        def submit(task: TileTask) -> Any:
            key = f"tile-{task.key}"
            # a tile that waits for the network to predict it gives its thread to the next one's reading
            future = self._client.submit(
                work, task, profile, model, cube.slot(), when_read=secede, key=key, pure=False
            )
            running[future] = task
            return future

        done = as_completed([submit(task) for task in islice(waiting, self._ahead())])
        for future in done:
            task, error = running.pop(future), future.exception()
            if error is None:
                yield future.result()
            else:
                yield TileResult(task, TaskState.FAILED, f"{type(error).__name__}: {error}")
            future.release()
            if follower := next(waiting, None):
                done.add(submit(follower))

    def _ahead(self) -> int:
        """How many tiles are under way: enough that no thread waits, few enough for any size of region."""
        threads: int = sum(self._client.nthreads().values())
        return TILES_AHEAD * max(threads, 1)

    def _connect(self) -> Any:
        import dask
        from distributed import Client, LocalCluster

        address, threads = self._settings.address, self._settings.threads
        if address:
            try:
                return self._open.enter_context(Client(address, timeout="10s"))
            except (OSError, TimeoutError) as error:
                raise MonitorError(
                    f"cluster.address: no Dask scheduler answers at {address}: {error}; "
                    "start one (`dask scheduler`) or leave the address out to use this machine"
                ) from error
        self._open.enter_context(dask.config.set({"distributed.worker.memory.terminate": False}))
        # its status page is for this machine only, on whichever port is free
        page = "127.0.0.1:0"
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=page
        )
        return self._open.enter_context(Client(self._open.enter_context(cluster)))
