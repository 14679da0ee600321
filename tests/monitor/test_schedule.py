"""What is due when, and that jobs outlive the scheduler in the same database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from workspaces import make_workspace

from monitor.schedule import due, make_scheduler
from monitor.settings import ScheduleSettings, Workspace
from storage.database import Database


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


def test_jobs_stand_in_the_lake_historys_database(database: Database, tmp_path: Path) -> None:
    workspace = Workspace.open(make_workspace(tmp_path, tmp_path))
    for _ in range(2):  # a second scheduler finds the first one's jobs and adds none
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
