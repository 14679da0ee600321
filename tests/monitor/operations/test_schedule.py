"""Scheduled runs: each night once, whatever starts it, and however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor.operations import schedule
from monitor.operations.schedule import keep_running
from monitor.progress import SILENT
from monitor.workspace import Workspace, open_database
from storage import ledger, nights
from storage.codes import RunOutcome
from storage.database import Database
from tests.support.history_content import current_rows
from tests.support.places import MODEL
from tests.support.workspaces import COMMAND, assert_same_layers, make_workspace, monitor, tables

#: seconds in which a command of an idle scheduler ends
SOON = 20.0
ALL_YEAR = {"months": "1-12"}


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_once_does_what_is_due_today(workspace: Path, small_archive: Path) -> None:
    """The simulated archive has no scenes of this year: every tile ends as empty, with the reason."""
    region = {"outline": str(small_archive / "region.geojson"), "season": {"start": "01-01", "end": "12-31"}}
    folder = make_workspace(workspace, small_archive, schedule={"months": "1-12"}, regions={"demo": region})
    answer = monitor("schedule", "--once", "-w", folder)
    assert answer.returncode == 0, answer.stderr
    (task,) = tables(folder)["task"]
    assert task[3] == datetime.now(UTC).year
    assert task[6] == "empty"
    assert "no usable Sentinel-2 scene" in task[7]
    again = monitor("schedule", "--once", "-w", folder)
    assert again.returncode == 0 and "Nothing is due" in again.stderr, "one run a night"
    status = json.loads(monitor("status", "-w", folder, "--json").stdout)
    assert status["running"] == {} and status["free_bytes"] > 0
    assert (status["last_run"]["command"], status["last_run"]["outcome"]) == ("schedule", "done")
    (coming,) = status["next"]
    assert coming["region"] == "demo" and coming["at"] > status["last_run"]["started_at"]
    said = monitor("status", "-w", folder).stdout
    assert "Last run: monitor schedule, " in said and "done after 0 minutes" in said
    assert f"demo {coming['season']}, {coming['at'][:10]}" in said


def test_once_out_of_season_does_nothing(workspace: Path, small_archive: Path) -> None:
    month = datetime.now(UTC).month % 12 + 1
    settings = {"months": f"{month}-{month}", "final": f"{month:02d}-15"}
    folder = make_workspace(workspace, small_archive, schedule=settings)
    answer = monitor("schedule", "--once", "-w", folder)
    assert answer.returncode == 0
    assert "Nothing is due" in answer.stderr


def all_year(folder: Path, archive: Path, **more: Any) -> Path:
    """A workspace whose season is the whole year, so that a night is due on every day."""
    region = {"outline": str(archive / "region.geojson"), "season": {"start": "01-01", "end": "12-31"}}
    return make_workspace(
        folder, archive, model="index-baseline", schedule=ALL_YEAR, regions={"demo": region}, **more
    )


def night_rows(folder: Path) -> list[tuple[str, date, int, str]]:
    query = text("SELECT region, day, season, outcome FROM night ORDER BY day, season")
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return [tuple(row) for row in conn.execute(query)]  # type: ignore[misc]


def test_schedulers_that_start_at_once_run_a_night_once(workspace: Path, small_archive: Path) -> None:
    folder = all_year(workspace, small_archive)
    monitor("status", "-w", folder)  # makes the database
    processes = [
        subprocess.Popen(
            [*COMMAND, "schedule", "--once", "-w", str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    (night,) = night_rows(folder)
    assert night[0] == "demo" and night[3] == "done"
    done = [said for said, _ in answers if "demo" in said]
    assert len(done) == 1, answers


@pytest.mark.prove
def test_two_schedulers_and_a_backfill_that_start_together(workspace: Path, small_archive: Path) -> None:
    """They wait for one another, and leave what one run after the other does."""
    folder, alone = (all_year(workspace / name, small_archive) for name in ("together", "alone"))
    backfill, night = ("backfill", "--years", "2021-2022"), ("schedule", "--once")
    for command in (backfill, night):
        assert monitor(*command, "-w", alone).returncode == 0
    monitor("status", "-w", folder)  # makes the database
    processes = [
        subprocess.Popen(
            [*COMMAND, *command, "-w", str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for command in (backfill, night, night)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert any("waiting for monitor " in said for _, said in answers), answers
    assert [row[2:] for row in night_rows(folder)] == [(datetime.now(UTC).year, "done")]
    assert_same_layers(folder, alone, 2021, 2022)
    with open_database(Workspace.open(folder)) as one, open_database(Workspace.open(alone)) as other:
        assert current_rows(one) == current_rows(other)


def test_a_killed_night_begins_again_and_an_ended_one_does_not(database: Database, tmp_path: Path) -> None:
    day = date(2026, 8, 3)

    def begin(command: str) -> bool:
        with database.begin() as conn:
            run_id = ledger.start_run(conn, command, {})
            return nights.begin(conn, "demo", day, 2026, final=False, run_id=run_id)

    assert begin("killed") and begin("again")
    with database.connect() as conn:
        assert nights.last_nights(conn) == {}
    with database.begin() as conn:
        nights.end(conn, "demo", day, 2026, RunOutcome.FAILED)
    assert not begin("third")
    with database.connect() as conn:
        assert nights.last_nights(conn) == {"demo": nights.LastNight(day, 2026, final=False, done=False)}


def test_a_scheduler_runs_each_night_and_goes_on_after_one_that_fails(
    workspace: Path, small_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is seven hours ahead at each look; the archive is away for some hours of 3 August."""
    archive = shutil.copytree(small_archive, workspace / "archive")
    folder = all_year(workspace / "own", archive)
    coming = [datetime(2022, 8, 1, 12, tzinfo=UTC) + timedelta(hours=7 * number) for number in range(21)]
    last, stop, waited = coming[-1], threading.Event(), list[float]()
    away = [at for at in coming if at.date() == date(2022, 8, 3)][:2]

    def clock() -> datetime:
        if not coming:
            stop.set()
            return last
        now = coming.pop(0)
        if now == away[0]:
            archive.rename(workspace / "away")
        elif now > away[-1] and not archive.exists():
            (workspace / "away").rename(archive)
        return now

    monkeypatch.setattr(stop, "wait", waited.append)
    with open_database(Workspace.open(folder)) as database:
        keep_running(folder, database, lambda _: SILENT, stop, clock)
    assert [row[1:] for row in night_rows(folder)] == [
        (date(2022, 8, day), 2022, "done") for day in range(1, last.day + 1)
    ]
    assert waited.count(schedule.RETRY_SECONDS) == 2
    assert set(waited) == {schedule.RETRY_SECONDS, schedule.LONGEST_SECONDS}


def test_sigterm_ends_a_scheduler_that_waits(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(
        workspace, small_archive, model="index-baseline",
        schedule={"months": f"{datetime.now(UTC).month % 12 + 1}", "final": "02-28"},
    )  # fmt: skip
    process = subprocess.Popen(
        [*COMMAND, "schedule", "-w", str(folder)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "Waiting for the next run" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    assert "demo: next run " in said
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SOON)
    assert time.monotonic() - started < SOON and process.returncode != 0
