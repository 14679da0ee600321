"""Where tiles are computed: threads of this process, or any Dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.catalog import CatalogProfile
from monitor.errors import MonitorError
from monitor.plan import TileTask
from monitor.settings import ClusterSettings
from monitor.tiles import TileResult, work
from storage.codes import TaskState

if TYPE_CHECKING:
    from storage.cube import Cube


class Workers:
    """Runs tile tasks on a Dask client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def predict(
        self, tasks: Sequence[TileTask], profile: CatalogProfile, model: Path, cube: Cube
    ) -> Iterator[TileResult]:
        """Results in the order in which tiles finish; a tile that breaks is `failed`, the others go on."""
        from distributed import as_completed

        futures = {
            self._client.submit(
                work, task, profile, model, cube.slot(), key=f"tile-{task.key}", pure=False
            ): task
            for task in tasks
        }
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                yield future.result()
            else:
                reason = f"{type(error).__name__}: {error}"
                yield TileResult(futures[future], TaskState.FAILED, reason)
            future.release()


@contextmanager
def workers(settings: ClusterSettings) -> Iterator[Workers]:
    """Connect to `settings.address`, or start threads in this process.

    Raises:
        MonitorError: no scheduler answers at the address.
    """
    import dask
    from distributed import Client, LocalCluster

    if settings.address:
        try:
            client = Client(settings.address, timeout="10s")
        except (OSError, TimeoutError) as error:
            raise MonitorError(
                f"cluster.address: no Dask scheduler answers at {settings.address}: {error}; "
                "start one (`dask scheduler`) or leave the address out to use this machine"
            ) from error
        with client:
            yield Workers(client)
        return
    quiet: dict[str, Any] = {
        "distributed.worker.memory.terminate": False,
        "distributed.logging.distributed": "error",
    }
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=1, threads_per_worker=settings.threads, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Workers(client)
