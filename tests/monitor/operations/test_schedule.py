"""Seasons due on a date, and jobs that are stored in the database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.operations.schedule import due, make_scheduler
from monitor.settings import ScheduleSettings
from monitor.workspace import Workspace
from storage.database import Database
from tests.support.places import MODEL
from tests.support.workspaces import make_workspace, monitor, tables


@pytest.mark.parametrize(
    ("today", "seasons"),
    [
        (date(2026, 7, 1), [2026]),
        (date(2026, 10, 31), [2026]),
        (date(2026, 11, 1), []),
        (date(2026, 11, 15), [2026]),
        (date(2026, 3, 3), []),
    ],
)
def test_due(today: date, seasons: list[int]) -> None:
    assert due(ScheduleSettings(), today) == seasons


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_once_does_what_is_due_today(workspace: Path, small_archive: Path) -> None:
    """The simulated archive has no scenes of this year: every tile ends as empty, with the reason."""
    folder = make_workspace(workspace, small_archive, schedule={"months": "1-12"})
    answer = monitor("schedule", "--once", "-w", folder)
    assert answer.returncode == 0, answer.stderr
    (task,) = tables(folder)["task"]
    assert task[3] == date.today().year
    assert task[6] == "empty"
    assert "no usable Sentinel-2 scene" in task[7]


def test_once_out_of_season_does_nothing(workspace: Path, small_archive: Path) -> None:
    month = date.today().month % 12 + 1
    settings = {"months": f"{month}-{month}", "final": f"{month:02d}-15"}
    folder = make_workspace(workspace, small_archive, schedule=settings)
    answer = monitor("schedule", "--once", "-w", folder)
    assert answer.returncode == 0
    assert "Nothing is due" in answer.stderr
    assert not (folder / "postgis").exists()


def test_jobs_are_stored_in_the_database_of_the_history(database: Database, tmp_path: Path) -> None:
    workspace = Workspace.open(make_workspace(tmp_path, tmp_path))
    for _ in range(2):  # a second scheduler uses the first one's jobs and adds none
        scheduler = make_scheduler(workspace, database.engine)
        scheduler.start(paused=True)
        assert {job.id for job in scheduler.get_jobs()} == {"nightly", "final"}
        scheduler.shutdown()
    with database.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM schedule_job")).scalar_one() == 2


def test_nights_of_the_season_and_one_final_run(database: Database, tmp_path: Path) -> None:
    scheduler = make_scheduler(Workspace.open(make_workspace(tmp_path, tmp_path)), database.engine)
    jobs = {job.id: job.trigger for job in scheduler.get_jobs()}
    winter = datetime(2026, 1, 10, tzinfo=UTC)
    first = jobs["nightly"].get_next_fire_time(None, winter)
    assert (first.month, first.day, first.hour) == (7, 1, 2)
    assert jobs["nightly"].get_next_fire_time(first, first).day == 2
    final = jobs["final"].get_next_fire_time(None, winter)
    assert (final.month, final.day) == (11, 15)
