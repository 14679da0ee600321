"""Worker processes: each opens the model once, before its first tile, and results equal those of threads."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from distributed import Client, LocalCluster
from shapely import MultiPoint

from monitor.compute.cluster import Workers
from monitor.compute.plugin import OpenModel, opened
from monitor.compute.predictor import ChosenModel, Opened, UnopenedError
from monitor.compute.tile import TileResult
from monitor.grid import tiles_of
from monitor.plan import TileTask
from monitor.progress import SilentProgress
from monitor.run import plan_season, run_season
from monitor.settings import ClusterSettings
from monitor.vectors.polygons import read_polygons
from monitor.workspace import System, Workspace, open_system
from segmenter.opening import read_manifests
from storage import ledger
from storage.codes import TaskState
from storage.locks import region_lock
from tests.support.places import MODEL, ROOT
from tests.support.workspaces import layers, make_workspace, run_here, tables

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
#: opens at once, and without torch
INDEX = ROOT / "models/index-baseline"
#: size in bytes of a task sent to a worker; almost all of it are the items of its five scenes
TASK_BYTES = 50_000


def local(workers: int, threads: int = 2) -> LocalCluster:
    """A local scheduler and worker processes."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local(2) as cluster:
        yield cluster


@pytest.fixture
def by_index(workspace: Path, small_archive: Path) -> Iterator[System]:
    """A workspace of two tiles whose model is the index, which no earlier test has opened on the workers."""
    content = json.loads((INDEX / "manifest.json").read_text())
    (workspace / "index").mkdir()
    (workspace / "index" / "manifest.json").write_text(json.dumps({**content, "version": workspace.name}))
    folder = make_workspace(workspace, small_archive, **two_tiles(small_archive), model="index")
    with open_system(Workspace.open(folder)) as system:
        yield system


def two_tiles(archive: Path) -> dict[str, Any]:
    """Settings of a region from the centre of a tile of 256 px to the centre of its neighbour."""
    outline = read_polygons(archive / "region.geojson", "region").geometry.union_all()
    first, second = tiles_of(outline, 256)[:2]
    ends = MultiPoint([first.footprint().centroid, second.footprint().centroid])
    return {"tile_size": 256, "regions": {"demo": {"bounds": list(ends.buffer(0.001).bounds)}}}


def tiles(system: System, season: int) -> list[TileTask]:
    """The season's tile tasks. The cube is prepared for them."""
    region = system.workspace.region("demo")
    tasks = [planned.task for planned in plan_season(system, region, season)]
    system.cube("demo").prepare(tasks[0].tile.epsg, season)
    return tasks


def predicted(workers: Workers, system: System, tasks: list[TileTask]) -> list[TileResult]:
    return list(
        workers.predict(tasks, system.workspace.profile, system.workspace.model_folders, system.cube("demo"))
    )


def opened_models(cluster: LocalCluster) -> list[Opened]:
    """The open model of each worker."""
    with Client(cluster, set_as_default=False) as client:
        return list(client.run(opened).values())


def assert_same(folder: Path, other: Path) -> None:
    """Compare histories and cubes, up to the last digits of floats, because sums may be in another order."""
    computed, expected = (
        {
            name: [[round(x, 5) if isinstance(x, float) else x for x in row] for row in rows]
            for name, rows in tables(place).items()
        }
        for place in (folder, other)
    )
    for name, rows in expected.items():
        assert computed[name] == rows, name
    kept = layers(folder, 2021)
    for name, values in layers(other, 2021).items():
        np.testing.assert_allclose(kept[name], values, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.prove
def test_processes_and_threads_give_equal_results(
    workspace: Path, small_archive: Path, cluster: LocalCluster, by_index: System
) -> None:
    here = make_workspace(workspace / "threads", small_archive, **two_tiles(small_archive))
    address = {"address": cluster.scheduler_address}
    there = make_workspace(
        workspace / "processes", small_archive, **two_tiles(small_archive), cluster=address
    )
    for folder in (here, there):
        (report,) = run_here(folder, 2021)
        assert report.tiles == {"done": 2}, report.reasons
    assert_same(there, here)

    model = read_manifests([MODEL]).fingerprint
    assert opened_models(cluster) == [Opened(model, openings=1, failure=None)] * 2, "once per worker"
    with Client(cluster, set_as_default=False) as client:
        assert set(client.run(os.getenv, "MKL_NUM_THREADS").values()) == {"2"}, "as many as threads"
    with Workers(ClusterSettings(**address)) as workers:
        tasks = tiles(by_index, 2021)
        workers.prepare(ChosenModel((MODEL,), model))
        assert opened_models(cluster) == [Opened(model, 1, None)] * 2, "reused by another run"
        results = predicted(workers, by_index, tasks)
        assert [result.state for result in results] == [TaskState.WRITTEN] * 2
        assert opened_models(cluster) == [Opened(by_index.workspace.manifest.fingerprint, 2, None)] * 2, (
            "another model replaces it"
        )
        assert OpenModel.name in cluster.scheduler.worker_plugins
    assert OpenModel.name not in cluster.scheduler.worker_plugins, "no plugin remains for later workers"


def test_a_model_that_cannot_be_opened_is_one_error(cluster: LocalCluster, by_index: System) -> None:
    """The error names a worker and the folder, and no tile is started."""
    tasks = tiles(by_index, 2021)
    folder = by_index.workspace.folder
    (folder / "index").rename(folder / "away")
    with Workers(ClusterSettings(address=cluster.scheduler_address)) as workers:
        place = by_index.workspace
        results = workers.predict(tasks, place.profile, place.model_folders, by_index.cube("demo"))
        with pytest.raises(UnopenedError) as caught:
            next(results)
        message = str(caught.value)
        for words in ("the worker at tcp://127.0.0.1:", str(place.model_folders[0]), "and 1 more of 2"):
            assert words in message
        other = [replace(task, model_digest="sha256:other") for task in tasks]
        (folder / "away").rename(folder / "index")
        with pytest.raises(UnopenedError, match="is not the model with which this run was planned"):
            predicted(workers, by_index, other)
        assert len(predicted(workers, by_index, tasks[:1])) == 1, "repaired, the run continues"


def test_a_worker_that_joins_later(by_index: System) -> None:
    """A new worker opens the model before its first tile. A failure is reported and ends the run."""
    with local(1) as cluster, Workers(ClusterSettings(address=cluster.scheduler_address)) as workers:
        predicted(workers, by_index, tiles(by_index, 2021)[:1])
        _replaced(cluster)
        (late,) = opened_models(cluster)
        assert late == Opened(by_index.workspace.manifest.fingerprint, openings=1, failure=None)
        (result,) = predicted(workers, by_index, tiles(by_index, 2022)[:1])
        assert result.state == TaskState.WRITTEN
        assert opened_models(cluster) == [late]

        tasks = tiles(by_index, 2023)
        shutil.rmtree(by_index.workspace.folder / "index")
        _replaced(cluster)
        with pytest.raises(UnopenedError, match=r"the worker at tcp://127.0.0.1:\d+ on .*/index"):
            predicted(workers, by_index, tasks)


def _replaced(cluster: LocalCluster) -> None:
    """Replace the worker process by another one."""
    with Client(cluster, set_as_default=False) as client:
        before = list(client.scheduler_info()["workers"])
        client.restart_workers(before)


def test_tasks_are_small(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive, tile_size=256)
    with open_system(Workspace.open(folder)) as system:
        for task in tiles(system, 2021):
            model = ChosenModel(system.workspace.model_folders, task.model_digest)
            sizes = {
                name: len(cloudpickle.dumps(part))
                for name, part in (("task", task), ("profile", system.workspace.profile), ("model", model))
            }
            sizes["slot"] = len(cloudpickle.dumps(system.cube("demo").slot()))
            assert sum(sizes.values()) < TASK_BYTES, sizes
            assert sum(sizes.values()) - sizes["task"] < 5_000, sizes


class WorkerKiller(SilentProgress):
    """Kill a worker during a tile, as soon as the first tile is done."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster, self.killed, self.tiles = cluster, 0, 0

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        yield self._tile if name == "tiles" else lambda: None

    def _tile(self) -> None:
        self.tiles += 1
        if self.killed:
            return
        with Client(self.cluster, set_as_default=False) as client:
            busy = [address for address, keys in client.processing().items() if keys]
            pids = client.run(os.getpid, workers=busy)
        os.kill(pids[busy[0]], signal.SIGKILL)
        self.killed += 1


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_a_killed_worker_neither_loses_nor_repeats_tiles(workspace: Path, small_archive: Path) -> None:
    never = make_workspace(workspace / "never", small_archive, tile_size=256)
    run_here(never, 2021)
    folder = make_workspace(workspace / "killed", small_archive, tile_size=256)
    with local(2) as cluster, open_system(Workspace.open(folder)) as system:
        killer = WorkerKiller(cluster)
        with system.database.begin() as conn:
            run_id = ledger.start_run(conn, "test", {})
        settings = ClusterSettings(address=cluster.scheduler_address)
        with Workers(settings) as workers, region_lock(system.database, "demo", run_id) as lock:
            report = run_season(system, workers, lock, 2021, killer)
        assert killer.killed == 1 and killer.tiles == 4
        assert report.tiles == {"done": 4} and not report.failed
        cluster.wait_for_workers(2)
        assert sorted(worker.openings for worker in opened_models(cluster)) == [1, 1], "one per worker"
    assert_same(folder, never)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_an_ensemble_on_processes(workspace: Path, small_archive: Path) -> None:
    """Two seeds of one model: one name, one digest, and an uncertainty that includes their spread."""
    other = workspace / "other"
    _another_seed(other)
    alone = make_workspace(workspace / "alone", small_archive)
    both = [str(MODEL), str(other)]
    here = make_workspace(workspace / "here", small_archive, model=both)
    with local(1) as cluster:
        address = {"address": cluster.scheduler_address}
        there = make_workspace(workspace / "there", small_archive, model=both, cluster=address)
        for folder in (alone, here, there):
            (report,) = run_here(folder, 2021)
            assert report.tiles == {"done": 1}, report.reasons
    assert_same(there, here)
    (survey,) = tables(here)["survey"]
    name = json.loads((MODEL / "manifest.json").read_text())["name"]
    assert any(f"{name} + {name}-other" in str(value) for value in survey)
    assert {row[4] for row in tables(here)["task"]} != {row[4] for row in tables(alone)["task"]}
    one, two = layers(alone, 2021), layers(here, 2021)
    assert np.nanmean(two["uncertainty"].astype(float)) > np.nanmean(one["uncertainty"].astype(float))


def _another_seed(folder: Path) -> None:
    """Copy the model with slightly changed weights, in place of another seed."""
    import torch
    from safetensors.torch import load_file, save_file

    from segmenter.manifest import digest_of

    folder.mkdir()
    weights = load_file(MODEL / "model.safetensors")
    random = torch.Generator().manual_seed(1)
    for name, value in weights.items():
        if value.is_floating_point() and "decoder" in name:
            weights[name] = value * (1 + 0.05 * torch.randn(value.shape, generator=random)).to(value.dtype)
    save_file(weights, folder / "model.safetensors")
    content = json.loads((MODEL / "manifest.json").read_text())
    content |= {"name": f"{content['name']}-other", "digest": digest_of(folder / "model.safetensors")}
    (folder / "manifest.json").write_text(json.dumps(content))
