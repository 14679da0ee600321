"""Where tiles are computed: refusals and their messages, and the one model of each process."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster

from monitor.compute.cluster import Workers, gpu_cluster_class
from monitor.compute.plugin import OpenModel, opened
from monitor.compute.predictor import ChosenModel, Opened, Predictor, UnopenedError, predictor
from monitor.errors import MonitorError, RefusedError
from monitor.settings import ClusterSettings
from segmenter.errors import SegmenterError
from segmenter.opening import read_manifests
from segmenter.protocol import Answer, Predicts, TileArrays
from tests.support.places import MODEL, ROOT
from tests.support.workspaces import make_workspace, monitor, run_here

pytestmark = pytest.mark.slow

#: opens at once, and without torch
INDEX = ROOT / "models/index-baseline"
NO_SCHEDULER = {"address": "tcp://127.0.0.1:9"}


def chosen(*folders: Path) -> ChosenModel:
    return ChosenModel(folders, read_manifests(folders).fingerprint)


def without_scenes(folder: Path, **settings: Any) -> Path:
    """A workspace of one tile, over an archive without scenes."""
    (folder / "archive").mkdir()
    regions = {"demo": {"bounds": [77, 42, 77.01, 42.01]}}
    return make_workspace(folder, folder / "archive", regions=regions, model=str(INDEX), **settings)


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.compute.cluster.SCHEDULER_WAIT_S", 0.5)
    message = r"cluster\.address: no Dask scheduler answers at tcp://127\.0\.0\.1:9: .*`dask scheduler`"
    with Workers(ClusterSettings(**NO_SCHEDULER)) as workers, pytest.raises(MonitorError, match=message):
        workers.prepare(chosen(INDEX))


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.compute.cluster.WORKER_WAIT_S", 0.2)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Workers(ClusterSettings(address=cluster.scheduler_address)) as workers,
        pytest.raises(
            MonitorError, match=r"cluster\.address: the scheduler at .* has no worker; .*`dask worker"
        ),
    ):
        workers.prepare(chosen(INDEX))


def test_a_season_without_scenes_needs_no_scheduler(workspace: Path) -> None:
    (report,) = run_here(without_scenes(workspace, cluster=NO_SCHEDULER), 2021)
    assert report.tiles == {"empty": 1} and "no usable Sentinel-2 scene" in report.reasons


def test_gpus_without_dask_cuda(workspace: Path) -> None:
    if find_spec("dask_cuda"):
        pytest.skip("dask-cuda is installed")
    answer = monitor("run", "--season", "2021", "-w", without_scenes(workspace, cluster={"gpus": True}))
    assert answer.returncode == 2
    assert "cluster.gpus: dask-cuda cannot be loaded" in answer.stderr and "'.[gpu]'" in answer.stderr


def test_gpus_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `dask_cuda` without content is importable; the missing device is detected by the real check."""
    (tmp_path / "dask_cuda.py").write_text("LocalCUDACluster = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(RefusedError, match=r"cluster\.gpus: there is no CUDA device.*nvidia-smi"):
        gpu_cluster_class()
    if not shutil.which("nvidia-smi"):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with pytest.raises(RefusedError, match=r"cluster\.gpus: there is no CUDA device"):
            Workers(ClusterSettings(gpus=True))


def test_the_event_loop_runs_while_a_model_is_opened() -> None:
    """Heartbeats run on the event loop; slow work runs on the prediction thread."""

    async def beats() -> tuple[int, Opened]:
        predictor.submit(time.sleep, 0.5)
        worker: Any = SimpleNamespace(address="inproc://")
        OpenModel(chosen(INDEX)).setup(worker)
        pending = asyncio.create_task(opened())
        count = 0
        while not pending.done():
            await asyncio.sleep(0.01)
            count += 1
        return count, pending.result()

    count, state = asyncio.run(beats())
    assert count > 10
    assert (state.digest, state.failure) == (chosen(INDEX).digest, None), "it is usable once it is open"


def test_another_model_replaces_the_open_one(tmp_path: Path) -> None:
    copy, other = (shutil.copytree(INDEX, tmp_path / name) for name in ("copy", "other"))
    content = json.loads((INDEX / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**content, "threshold": 0.6}))
    predictor = Predictor()
    held = weakref.ref(predictor.segmenter(chosen(INDEX)))
    assert predictor.segmenter(chosen(copy)) is held() and predictor.opened().openings == 1, "the same model"
    assert predictor.manifest(chosen(other)).threshold == 0.6 and predictor.opened().openings == 2
    assert held() is None, "its memory is released"


def test_reading_does_not_wait_for_the_previous_tile() -> None:
    """The reach around a tile is available while another tile is predicted."""
    predictor = Predictor()
    predictor.manifest(chosen(INDEX))
    busy = predictor.submit(time.sleep, 0.5)
    assert predictor.manifest(chosen(INDEX)).name == "index-baseline" and not busy.done()
    busy.result()


def test_of_scenes_that_share_a_batch_only_the_one_at_fault_fails() -> None:
    class Batches(Predicts):
        """Fails as a whole if one of its scenes is at fault, as a batch on a GPU does."""

        def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
            batch = list(scenes)
            if any(scene.row == 1 for scene in batch):
                raise SegmenterError("a row is at fault")
            yield from (Answer(scene.dem, scene.dem, np.uint8(scene.dem)) for scene in batch)

    predictor, wanted = Predictor(), chosen(INDEX)
    predictor._open = wanted, Batches()  # type: ignore[assignment]
    nothing = np.zeros((12, 1, 1), np.float32)
    busy = predictor.submit(time.sleep, 0.2)
    answers = [
        predictor.predict(wanted, TileArrays(nothing, nothing[:2], np.full((1, 1), row), row, 0, 0))
        for row in range(3)
    ]
    busy.result()
    for row in (0, 2):
        assert answers[row].result().probability == row
    with pytest.raises(SegmenterError, match="at fault"):
        answers[1].result()


def test_a_process_that_cannot_open_the_model(tmp_path: Path) -> None:
    predictor = Predictor()
    with pytest.raises(UnopenedError, match=r"this process cannot open the model: .*nowhere"):
        predictor.manifest(ChosenModel((tmp_path / "nowhere",), "sha256:1"))
    assert predictor.opened().digest is None and "nowhere" in str(predictor.opened().failure)
    with pytest.raises(UnopenedError, match="is not the model with which this run was planned"):
        predictor.manifest(ChosenModel((INDEX,), "sha256:other"))
    assert predictor.manifest(chosen(INDEX)).name == "index-baseline" and predictor.opened().failure is None


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_a_gpu_unavailable_to_torch() -> None:
    """A GPU worker never falls back to the processor silently."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    predictor = Predictor(name="the worker at tcp://gpu:1 on gpu")
    with pytest.raises(UnopenedError, match=r"the worker at tcp://gpu:1 .*: device: 'cuda' cannot be used"):
        predictor.manifest(replace(chosen(MODEL), device="cuda"))
