"""Seasons due on a date, and the jobs of schedulers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from monitor.operations.schedule import due, due_regions, make_scheduler
from monitor.settings import ScheduleSettings, Settings
from monitor.workspace import Workspace
from storage import ledger
from storage.database import Database
from storage.tables import Run
from tests.support.places import MODEL
from tests.support.workspaces import make_workspace, monitor, tables, uuid_of


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


@pytest.mark.parametrize(
    ("months", "final", "today", "seasons"),
    [
        ("11-3", "04-15", date(2027, 1, 15), [2027]),
        ("11-3", "04-15", date(2026, 12, 15), [2026]),
        ("11-3", "04-15", date(2027, 4, 15), [2027]),
        ("11-3", "04-15", date(2027, 4, 14), []),
        ("1-4", "05-15", date(2027, 7, 1), []),
        ("10-12", "01-15", date(2027, 1, 15), [2026]),
        ("1-4,7-10", ["05-15", "11-15"], date(2027, 5, 15), [2027]),
        ("8", "11-15", date(2027, 8, 31), [2027]),
    ],
)
def test_due_anywhere_on_earth(months: str, final: str | list[str], today: date, seasons: list[int]) -> None:
    assert due(ScheduleSettings(months=months, final=final), today) == seasons


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_once_does_what_is_due_today(workspace: Path, small_archive: Path) -> None:
    """The simulated archive has no scenes of this year: every tile ends as empty, with the reason."""
    region = {"outline": str(small_archive / "region.geojson"), "season": {"start": "01-01", "end": "12-31"}}
    folder = make_workspace(workspace, small_archive, schedule={"months": "1-12"}, regions={"demo": region})
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


def new_scheduler(workspace: Workspace, database: Database) -> Any:
    return make_scheduler(workspace, database.engine)


def test_regions_of_both_hemispheres_are_due_in_their_own_seasons() -> None:
    south = {"bounds": [-73, -50, -72, -49], "season": {"start": "01-01", "end": "03-31"}}
    regions = {"north": {"bounds": [76, 42, 77, 43]}, "south": south}

    def due_on(day: date, **schedule: Any) -> dict[int, list[str]]:
        settings = {"catalog": {"profile": "plain"}, "model": "m", "regions": regions, "schedule": schedule}
        return due_regions(Settings.model_validate(settings), day)

    assert due_on(date(2027, 2, 1)) == {2027: ["south"]}
    assert due_on(date(2027, 8, 1)) == {2027: ["north"]}
    assert due_on(date(2027, 5, 15)) == {2027: ["south"]}
    assert due_on(date(2027, 11, 15)) == {2027: ["north"]}
    assert due_on(date(2027, 6, 1)) == {}
    # months for all regions: the season of the north has not begun in January
    assert due_on(date(2027, 1, 15), months="1-12") == {2027: ["south"]}
    assert due_on(date(2027, 12, 15), months="1-12") == {2027: ["north", "south"]}


def test_two_workspaces_on_one_database_keep_their_own_nights(database: Database, tmp_path: Path) -> None:
    found = {}
    for name, hour in (("a", 1), ("b", 4)):
        folder = make_workspace(tmp_path / name, tmp_path, schedule={"nightly_hour": hour})
        scheduler = new_scheduler(Workspace.open(folder), database)
        scheduler.start(paused=True)
        found[name] = {(job.id, job.args[0]) for job in scheduler.get_jobs()}
        assert f"hour='{hour}'" in str(scheduler.get_job("nightly").trigger)
        scheduler.shutdown()
    assert found == {
        name: {(job, str((tmp_path / name).resolve())) for job in ("nightly", "final")} for name in ("a", "b")
    }


def test_a_missed_night_is_run_at_the_next_start(database: Database, tmp_path: Path) -> None:
    settings = {"months": "1-12", "nightly_hour": 2}
    workspace = Workspace.open(make_workspace(tmp_path, tmp_path, schedule=settings))

    def jobs() -> set[str]:
        return {job.id for job in new_scheduler(workspace, database).get_jobs()}

    assert jobs() == {"nightly", "final"}, "nothing was missed before the first run"
    with database.begin() as conn:
        conn.execute(
            insert(Run).values(
                id=uuid_of("run"),
                command="schedule",
                settings=workspace.settings.model_dump(mode="json"),
                started_at=datetime.now(UTC) - timedelta(days=2),
            )
        )
        ledger.start_run(conn, "schedule", {"regions": {"elsewhere": {}}})  # of another workspace
    assert jobs() == {"nightly", "final", "missed"}
    with database.begin() as conn:
        ledger.start_run(conn, "schedule", workspace.settings.model_dump(mode="json"))
    assert jobs() == {"nightly", "final"}


def test_nights_of_the_season_and_one_final_run(database: Database, tmp_path: Path) -> None:
    scheduler = new_scheduler(Workspace.open(make_workspace(tmp_path, tmp_path)), database)
    jobs = {job.id: job.trigger for job in scheduler.get_jobs()}
    winter = datetime(2026, 1, 10, tzinfo=UTC)
    first = jobs["nightly"].get_next_fire_time(None, winter)
    assert (first.month, first.day, first.hour) == (7, 1, 2)
    assert jobs["nightly"].get_next_fire_time(first, first).day == 2
    final = jobs["final"].get_next_fire_time(None, winter)
    assert (final.month, final.day) == (11, 15)


def test_nights_over_new_year_and_in_the_southern_summer(database: Database, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path, tmp_path, schedule={"months": "11-3", "final": ["04-15", "05-01"]})
    jobs = {job.id: job.trigger for job in new_scheduler(Workspace.open(folder), database).get_jobs()}
    for month, expected in ((4, (11, 1)), (12, (12, 10)), (1, (1, 10)), (10, (11, 1))):
        first = jobs["nightly"].get_next_fire_time(None, datetime(2026, month, 10, tzinfo=UTC))
        assert (first.month, first.day) == expected
    final = jobs["final"].get_next_fire_time(None, datetime(2026, 4, 20, tzinfo=UTC))
    assert (final.month, final.day) == (5, 1)
