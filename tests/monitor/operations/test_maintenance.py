"""A cube after many nights: maintenance removes what nothing refers to, and nothing else."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid4, uuid5

import numpy as np
import pandas as pd
import pytest

from monitor.operations.maintenance import maintain, replaced
from monitor.operations.runs import run_seasons, seasons_of
from monitor.plan import Redo
from monitor.progress import SILENT
from monitor.workspace import Workspace, open_system
from storage import ledger
from storage.codes import SurveyKind
from storage.cube import LAYERS, Cube
from storage.locks import region_lock
from tests.support.workspaces import assert_same_layers, layers, make_workspace, monitor, run_here, tables

pytestmark = pytest.mark.slow


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "cube-index").rglob("*") if path.is_file())


@pytest.mark.prove
def test_many_nights_take_the_space_of_one(small_archive: Path, workspace: Path) -> None:
    folder, once = (
        make_workspace(workspace / name, small_archive, model="index-baseline") for name in ("many", "once")
    )
    run_here(once, 2022)
    run_here(folder, 2022)
    with open_system(Workspace.open(folder)) as system:
        system.cube("demo").tag("first")
        tagged = system.cube("demo").view("first").snapshot
        for _ in range(3):
            run_seasons(system, seasons_of(["demo"], [2022]), "test", lambda _: SILENT, Redo())
        cube = system.cube("demo")
        killed = cube.slot()  # of a run that is killed before its commit
        (tile,) = cube.written(32643, 2022)
        here = layers(folder, 2022)
        edge = Workspace.open(folder).settings.tile_size
        part = {name: here[name][:edge, :edge] for name in LAYERS}
        killed.write(
            32643, 2022, tile[0] * edge, tile[1] * edge, part, next(iter(cube.written(32643, 2022).values()))
        )
        before, rows = size(folder), tables(folder)
        assert before > 2.5 * size(once)
        (kept,) = maintain(system, timedelta(days=7), SILENT)
        assert kept.versions_removed == 0 and kept.bytes_after == kept.bytes_before == before
        (cleaned,) = maintain(system, timedelta(0), SILENT)
    assert cleaned.versions_removed > 3 and cleaned.bytes_before == before
    assert size(folder) == cleaned.bytes_after <= 1.3 * 2 * size(once), "of the tag, and of now"
    assert tables(folder) == rows
    assert_same_layers(folder, once, 2022)
    with open_system(Workspace.open(folder)) as system:
        tags = system.cube("demo").tags()
        assert len(tags) == 2 and "first" in tags, "that of the person, and that of the survey"
        view = system.cube("demo").view("first")
        assert view.snapshot == tagged
        rows_of_tile = (
            slice(tile[0] * edge, (tile[0] + 1) * edge),
            slice(tile[1] * edge, (tile[1] + 1) * edge),
        )
        for name in LAYERS:
            np.testing.assert_array_equal(view.read(32643, 2022, *rows_of_tile, name), part[name])
    assert monitor("doctor", "--deep", "-w", folder).returncode == 0
    (report,) = run_here(folder, 2021)
    assert not report.failed, "the next run writes"


def test_tags_of_surveys_that_were_replaced() -> None:
    ids = [str(uuid5(NAMESPACE_DNS, str(number))) for number in range(5)]
    made = pd.DataFrame(
        {
            "id": ids,
            "region": "demo",
            "season": [2021, 2021, 2021, 2021, 2022],
            "kind": "model",
            "source": ["a 1", "a 1", "a 2", "a 2", "a 2"],
            "created_at": pd.date_range("2026-08-01", periods=5),
            "current": [False, False, True, False, True],
        }
    )
    tags = {number: f"demo-{made.season[number]}-{ids[number]}" for number in range(5)}
    every = [
        *tags.values(),
        f"{tags[2]}-2",
        f"{tags[2]}-10",
        f"{tags[0]}-2",
        "before the flood",
        f"x-{uuid4()}",
    ]
    gone = {tags[0], f"{tags[0]}-2", tags[2], f"{tags[2]}-2", tags[3]}
    assert set(replaced(every, made)) == gone, "kept: the last of each model, the current ones, others"


def test_a_survey_whose_tag_was_removed_gets_another_one(small_archive: Path, workspace: Path) -> None:
    cube = Cube(workspace / "cube", 256)
    cube.tag_again("a")
    cube.clean(datetime.now(UTC), ["a"])
    assert cube.tags() == []
    cube.tag_again("a")
    assert cube.tags() == ["a-2"] == [cube.latest_tag("a")]


def test_it_waits_for_a_run(small_archive: Path, workspace: Path) -> None:
    folder = make_workspace(workspace, small_archive, model="index-baseline")
    run_here(folder, 2022)
    done = threading.Event()
    with open_system(Workspace.open(folder)) as system:
        with system.database.begin() as conn:
            run_id = ledger.start_run(conn, "run", {})

        def clean() -> None:
            maintain(system, timedelta(0), SILENT)
            done.set()

        thread = threading.Thread(target=clean)
        with region_lock(system.database, "demo", run_id):
            thread.start()
            time.sleep(2)
            assert not done.is_set()
        thread.join()
    answer = monitor("maintain", "--keep-days", "0", "--json", "-w", folder)
    (row,) = json.loads(answer.stdout)
    assert row["cube"] == "cube-index" and row["bytes_after"] <= row["bytes_before"]
    assert Workspace.open(folder).cube_of(SurveyKind.INDEX, "demo").written(32643, 2022)
