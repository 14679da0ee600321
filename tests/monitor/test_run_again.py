"""Runs that are repeated, killed or in another order, with the index as the model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import geopandas
import pytest
import yaml
from sqlalchemy import text

from monitor.workspace import Workspace, open_database
from storage.codes import SurveyKind
from tests.support.history_content import current_rows
from tests.support.places import ROOT
from tests.support.workspaces import COMMAND, assert_same_layers, make_workspace, monitor, run_here, tables


def made(folder: Path, archive: Path) -> Path:
    """A workspace with tiles of 256 px."""
    return make_workspace(folder, archive, tile_size=256, model="index-baseline")


@pytest.fixture(scope="module")
def finished(small_archive: Path, module_workspace: Path) -> Path:
    """Two seasons, finished without interruption, tiles of 256 px. Tests must not change it."""
    folder = make_workspace(
        module_workspace / "finished", small_archive, tile_size=256, model="index-baseline"
    )
    reports = run_here(folder, 2021, 2022)
    assert [report.tiles for report in reports] == [{"done": 4}, {"done": 4}]
    return folder


def test_a_second_backfill_does_nothing_and_reports_it(finished: Path) -> None:
    before = tables(finished)
    again = monitor("backfill", "--years", "2021-2022", "-w", finished)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("nothing to do") == 2
    assert tables(finished) == before


def test_a_backfill_in_reverse_order_gives_the_same_history(finished: Path, workspace: Path) -> None:
    """2022 is recorded before 2021, and replayed when 2021 arrives. The cube is copied from `finished`."""
    folder = workspace / "backwards"
    folder.mkdir()
    shutil.copy(finished / "monitor.yaml", folder)
    shutil.copytree(finished / "cube-index", folder / "cube-index")
    (alone,) = run_here(folder, 2022)
    with open_database(Workspace.open(folder)) as database:
        first = current_rows(database)
    (later,) = run_here(folder, 2021)
    assert alone.tiles == later.tiles == {"done": 4}
    with open_database(Workspace.open(folder)) as database, open_database(Workspace.open(finished)) as other:
        now, expected = current_rows(database), current_rows(other)
    assert now == expected
    assert {row[1] for row in first["observations"]} != {row[1] for row in now["observations"]}
    with open_database(Workspace.open(folder)) as database, database.begin() as conn:
        # simulate a change of every prior survey
        conn.execute(text("UPDATE survey SET prior_digest = ''"))
    run_here(folder, 2021, 2022)
    with open_database(Workspace.open(folder)) as database:
        assert current_rows(database) == now, "the replay gives identical rows"
    assert not any(report.nothing_new is False for report in run_here(folder, 2021, 2022))


def test_a_season_without_layers_is_not_replayed(finished: Path, workspace: Path) -> None:
    """An earlier season arrives after the cube was lost: the later one is kept, and a message is shown."""
    folder = workspace / "lost"
    folder.mkdir()
    shutil.copy(finished / "monitor.yaml", folder)
    shutil.copytree(finished / "cube-index", folder / "cube-index")
    run_here(folder, 2022)
    with open_database(Workspace.open(folder)) as database:
        before = current_rows(database)
    shutil.rmtree(folder / "cube-index")
    settings = yaml.safe_load((folder / "monitor.yaml").read_text())
    lake = geopandas.read_file(settings["regions"]["demo"]["outline"])
    lake.geometry = lake.to_crs(32643).geometry.centroid.buffer(200).to_crs(lake.crs)
    lake.to_file(workspace / "old.gpkg")
    answer = monitor("inventory", "import", workspace / "old.gpkg", "--year", "2000", "-w", folder)
    assert answer.returncode == 0, answer.stderr
    assert "demo 2022 was recorded before an earlier season arrived" in answer.stderr
    with open_database(Workspace.open(folder)) as database:
        after = current_rows(database)
    assert set(before["observations"]) < set(after["observations"])
    assert len(after["surveys"]) == 2


@pytest.mark.parametrize("after", ["tile", pytest.param("season", marks=pytest.mark.prove)])
def test_kill_and_run_again(finished: Path, small_archive: Path, workspace: Path, after: str) -> None:
    """Killed after the first committed tile, or in the second season: the same tables and the same cube."""
    folder = made(workspace / "killed", small_archive)
    command = [*COMMAND, "backfill", "--years", "2021-2022", "-w", str(folder)]
    with (workspace / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        _wait_for(folder, process, tiles=1 if after == "tile" else 5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, (workspace / "log").read_text()
    assert len(tables(folder)["survey"]) < 2
    run_here(folder, 2021, 2022)
    assert tables(folder) == tables(finished)
    assert_same_layers(folder, finished, 2021, 2022)


def _wait_for(folder: Path, process: subprocess.Popen[bytes], tiles: int) -> None:
    """Wait until the cube holds that many tiles."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        if (folder / "cube-index").exists():
            cube = Workspace.open(folder).cube_of(SurveyKind.INDEX, "demo")
            if sum(len(cube.written(32643, season)) for season in (2021, 2022)) >= tiles:
                return
        time.sleep(0.2)
    raise AssertionError("no tile was committed in time")
