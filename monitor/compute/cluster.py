"""Parallel computation of tiles: by threads of this process, its GPUs, or the workers of a Dask scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.archive.profiles import CatalogProfile
from monitor.compute.predictor import ChosenModel, Opened, UnopenedError
from monitor.compute.tile import TileResult, compute_tile, result_without_data
from monitor.errors import MonitorError, RefusedError
from monitor.plan import TileTask
from monitor.settings import ClusterSettings
from storage.codes import TaskState

if TYPE_CHECKING:
    from storage.cube import Cube

#: tiles submitted to the scheduler for each of its threads
TILES_AHEAD = 2
#: seconds to wait for the scheduler to answer, and for its first worker
SCHEDULER_WAIT_S, WORKER_WAIT_S = 10, 30
#: seconds to leave a scheduler after Ctrl-C
LEAVE_S = 2


class Workers:
    """The workers of the settings, which compute tile tasks. They start with the first tile.

    Raises:
        RefusedError: the settings require GPUs, and none can be used.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._gpu_cluster = gpu_cluster_class() if settings.gpus else None
        self._open = ExitStack()
        self._client: Any = None
        self._model: ChosenModel | None = None
        self._abandoned: ExitStack | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._client is not None:
            # a tile that is being read or predicted is not waited for; its threads end with this process
            self._abandoned = self._open.pop_all()
            with suppress(Exception):
                self._client.close(timeout=LEAVE_S)
        self._open.close()

    def predict(
        self, tasks: Sequence[TileTask], profile: CatalogProfile, folders: Sequence[Path], cube: Cube
    ) -> Iterator[TileResult]:
        """Compute tasks, and return their results in the order in which they finish.

        An error in one tile makes that tile `failed`; the other tiles are computed.

        Args:
            folders: of the model, or of each model of an ensemble; the same on every worker.

        Raises:
            MonitorError: no scheduler or worker answers at the address, or a worker cannot open the model.
        """
        waiting = []
        for task in tasks:
            if result := result_without_data(task):
                yield result
            else:
                waiting.append(task)
        if not waiting:
            return
        from distributed import as_completed, secede

        device = "auto" if self._gpu_cluster is None else "cuda"
        model = ChosenModel(tuple(folders), waiting[0].model_digest, device)
        self.prepare(model)
        waiting.reverse()
        running: dict[Any, TileTask] = {}
        done = as_completed(loop=self._client.loop)

        def submit() -> None:
            """Submit so many tiles that no thread is idle, independent of the size of the region."""
            ahead = TILES_AHEAD * max(sum(self._client.nthreads().values()), 1)  # workers join and leave
            while waiting and len(running) < ahead:
                task = waiting.pop()
                # after reading, a tile secedes from the thread pool, so that its thread reads the next tile
                future = self._client.submit(
                    compute_tile,
                    task,
                    profile,
                    model,
                    cube.slot(),
                    on_read=secede,
                    key=f"tile-{task.key}",
                    pure=False,
                )
                running[future] = task
                done.add(future)

        submit()
        for future in done:
            task, error = running.pop(future), future.exception()
            if isinstance(error, UnopenedError):
                raise error  # from a worker that joined later: all its tiles would fail
            if error is None:
                yield future.result()
            else:
                yield TileResult(task, TaskState.FAILED, f"{type(error).__name__}: {error}")
            future.release()
            submit()

    def prepare(self, model: ChosenModel) -> None:
        """Open the model on every worker, and on workers that join later.

        Raises:
            MonitorError: a worker cannot open it.
        """
        if self._client is None:
            self._client = self._connect()
        if model == self._model:
            return
        from monitor.compute.plugin import OpenModel, opened

        try:
            self._client.register_plugin(OpenModel(model))
        except Exception as error:  # the environment of a worker may differ in any way
            raise MonitorError(
                f"the plugin that opens the model cannot be loaded on a worker: {type(error).__name__}: "
                f"{error}; install the same version of this package on all workers"
            ) from error
        states = self._client.run(opened, on_error="return").values()
        failures = [state.failure for state in states if isinstance(state, Opened) and state.failure]
        if failures:
            others = f" (and {len(failures) - 1} more of {len(states)} workers)" if failures[1:] else ""
            raise UnopenedError(failures[0] + others)
        self._model = model

    def _connect(self) -> Any:
        import dask
        from distributed import Client, LocalCluster

        if self._settings.address:
            return self._open.enter_context(_scheduler(self._settings.address))
        self._open.enter_context(dask.config.set({"distributed.worker.memory.terminate": False}))
        options = {
            "threads_per_worker": self._settings.threads,
            # the dashboard is reachable from this machine only, on a free port
            "dashboard_address": "127.0.0.1:0",
        }
        if self._gpu_cluster is not None:
            cluster = self._gpu_cluster(**options)
        else:
            cluster = LocalCluster(n_workers=1, processes=False, **options)
        return self._open.enter_context(Client(self._open.enter_context(cluster)))


@contextmanager
def _scheduler(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`, which has workers; its plugin is removed at the end."""
    from distributed import Client

    try:
        client = Client(address, timeout=SCHEDULER_WAIT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise MonitorError(
            f"cluster.address: no Dask scheduler answers at {address}: {error}; "
            "start one (`dask scheduler`) or leave the address out to use this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_WAIT_S)
        except TimeoutError as error:
            raise MonitorError(
                f"cluster.address: the scheduler at {address} has no worker; "
                f"start one (`dask worker {address}`)"
            ) from error
        try:
            yield client
        finally:
            from monitor.compute.plugin import OpenModel

            # another run may have removed it, or the scheduler may have ended
            with suppress(ValueError, OSError, TimeoutError):
                client.unregister_worker_plugin(OpenModel.name)


def gpu_cluster_class() -> Any:
    """`dask_cuda.LocalCUDACluster`, which starts a worker for each visible GPU of this machine.

    Raises:
        RefusedError: dask-cuda is not installed, or there is no GPU.
    """
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        raise RefusedError(
            f"cluster.gpus: dask-cuda cannot be loaded ({error}); install this package's extra `gpu` "
            "(pip install --constraint constraints.txt '.[gpu]'), or leave gpus out"
        ) from error
    from distributed.diagnostics import nvml

    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or nvml.device_get_count() == 0:
        raise RefusedError(
            "cluster.gpus: there is no CUDA device on this machine; check `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES, or leave gpus out to use the processor"
        )
    return LocalCUDACluster
