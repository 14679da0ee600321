"""Tiles on a Dask scheduler in other processes give what threads of this one give."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workspaces import MODEL, ROOT, layers, make_workspace, monitor, run_here, tables

from monitor.errors import MonitorError
from monitor.run import plan_season
from monitor.settings import Workspace
from monitor.system import open_system
from monitor.tiles import work


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Address of a real scheduler with one worker process of two threads."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    loopback = ["--scheduler-file", str(file), "--no-dashboard"]
    with (tmp_path / "log").open("w") as log:
        commands = [
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *loopback],
            [*dask, "worker", "--nthreads", "2", "--host", "127.0.0.1", *loopback],
        ]
        processes = [subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) for command in commands]
        try:
            yield _address(file)
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)


def _address(file: Path) -> str:
    for _ in range(300):
        if file.exists() and file.read_text().strip():
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise AssertionError("the scheduler did not start")


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_a_scheduler_elsewhere_gives_the_same(workspace: Path, small_archive: Path, scheduler: str) -> None:
    here = make_workspace(workspace / "threads", small_archive)
    there = make_workspace(workspace / "cluster", small_archive, cluster={"address": scheduler})
    for folder in (here, there):
        (report,) = run_here(folder, 2021)
        assert report.tiles == {"done": 1}, report.reasons
    ours, theirs = tables(here), tables(there)
    # another number of threads adds floats in another order: mean probabilities may differ in their last bits
    means = [[row[-1] for row in rows.pop("lake_observation")] for rows in (ours, theirs)]
    assert means[0] == pytest.approx(means[1], abs=1e-4)
    assert theirs == ours
    kept = layers(there, 2021)
    for name, values in layers(here, 2021).items():
        np.testing.assert_allclose(kept[name], values, atol=1e-4, err_msg=name)


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_a_worker_with_another_model_refuses(workspace: Path, small_archive: Path) -> None:
    place = Workspace.open(make_workspace(workspace, small_archive))
    with open_system(place) as system:
        (planned,) = plan_season(system, place.region("demo"), 2021)
        slot = system.cube.slot()
    other = replace(planned.task, model_digest="sha256:other")
    with pytest.raises(MonitorError, match="not the one this run was planned with"):
        work(other, place.profile.serving("rtc"), MODEL, slot)


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_no_scheduler_at_the_address(workspace: Path) -> None:
    (workspace / "archive").mkdir()
    folder = make_workspace(
        workspace,
        workspace / "archive",
        regions={"demo": {"bounds": [77, 42, 77.01, 42.01]}},
        cluster={"address": "tcp://127.0.0.1:9"},
    )
    answer = monitor("run", "--season", "2021", "-w", folder)
    assert answer.returncode == 1
    assert "cluster.address: no Dask scheduler answers at tcp://127.0.0.1:9" in answer.stderr
