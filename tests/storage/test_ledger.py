"""Runs and tasks: planned once, ended with a reason, superseded and never deleted."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage import ledger, registry
from storage.codes import ModelState, RunOutcome, TaskState
from storage.database import Database
from storage.errors import StorageError
from storage.recording import record_survey


def record(conn, world, survey, *tasks):
    return record_survey(
        conn,
        survey,
        world.water(1),
        lakes=world.lakes(1),
        lineage=world.lineage(),
        done_tasks=[task.key for task in tasks],
    )


def test_a_run_that_is_killed_stays_running(database: Database) -> None:
    with database.begin() as conn:
        killed = ledger.start_run(conn, "monitor run", {"region": "demo"})
        ended = ledger.start_run(conn, "monitor run", {})
        ledger.finish_run(conn, ended, RunOutcome.DONE, {"tasks": 4})
    with database.connect() as conn:
        rows = {row.id: row for row in conn.execute(text("SELECT * FROM run"))}
    assert (rows[killed].outcome, rows[killed].finished_at, rows[killed].settings) == (
        "running",
        None,
        {"region": "demo"},
    )
    assert (rows[ended].outcome, rows[ended].counts) == ("done", {"tasks": 4})
    assert rows[ended].finished_at >= rows[ended].started_at


def test_planning_twice_changes_nothing_and_keeps_the_frozen_scenes(database: Database, world) -> None:
    planned = [world.task("a", 0), world.task("a", 1)]
    with database.begin() as conn:
        assert ledger.plan_tasks(conn, planned) == 2
        ledger.set_state(conn, planned[0].key, TaskState.WRITTEN)
    with database.begin() as conn:
        assert ledger.plan_tasks(conn, planned) == 0
        keys = [task.key for task in planned]
        unknown = uuid4()
        assert ledger.task_states(conn, [*keys, unknown]) == dict(
            zip(keys, (TaskState.WRITTEN, TaskState.PLANNED), strict=True)
        )
        assert ledger.scenes_of(conn, keys[0]) == list(planned[0].scenes)
        assert conn.execute(text("SELECT count(*) FROM scene")).scalar_one() == 1


def test_metadata_and_order_of_scenes_are_kept(database: Database, world) -> None:
    facts = {"platform": "sentinel-1a", "relative_orbit": 107, "orbit_state": "descending"}
    scene = ledger.FrozenScene("sentinel-1-rtc", "S1A_x", **facts)
    choices = {"32643_1024_0516_0064": {"optical": ["b", "a"], "radar": ["S1A_x"]}}
    planned = replace(world.task("a"), scenes=(scene,), choices=choices)
    with database.begin() as conn:
        ledger.plan_tasks(conn, [planned])
        assert ledger.scenes_of(conn, planned.key) == [scene]
        kept = conn.execute(text("SELECT choices FROM task")).scalar_one()
    assert kept == choices
    with pytest.raises(IntegrityError, match="are append-only"), database.begin() as conn:
        conn.execute(text("UPDATE task SET choices = '{}'"))


def test_tasks_by_region_season_and_state(database: Database, world) -> None:
    with database.begin() as conn:
        ledger.plan_tasks(conn, [world.task("a", 0), world.task("a", 1), world.task("a", 0, season=2022)])
        fault = ledger.Fault("S2A_x", "B03", "https://example.org/B03.tif")
        ledger.set_state(conn, world.task("a", 1).key, TaskState.FAILED, reason="truncated", fault=fault)
        assert [row.season for row in ledger.tasks(conn, "demo")] == [2021, 2021, 2022]
        assert ledger.tasks(conn, "elsewhere") == []
        (failed,) = ledger.tasks(conn, "demo", 2021, [TaskState.FAILED])
    assert (failed.tile, failed.reason, failed.fault) == (world.tiles[1], "truncated", fault)


def test_empty_and_failed_need_a_reason_and_a_reason_goes_with_its_state(database: Database, world) -> None:
    task = world.task("a")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [task])
    for state in (TaskState.EMPTY, TaskState.FAILED):
        with pytest.raises(IntegrityError, match="ck_task_reason"), database.begin() as conn:
            ledger.set_state(conn, task.key, state)
    with database.begin() as conn:
        ledger.set_state(conn, task.key, TaskState.EMPTY, reason="all cloud")
        ledger.reopen(conn, [task.key])
        (row,) = ledger.tasks(conn)
    assert (row.state, row.reason) == (TaskState.PLANNED, None)


def test_only_a_survey_makes_a_task_done_and_done_stays_done(database: Database, world) -> None:
    task, survey = world.task("a"), world.survey()
    with database.begin() as conn:
        ledger.plan_tasks(conn, [task])
        with pytest.raises(StorageError, match="record its survey"):
            ledger.set_state(conn, task.key, TaskState.DONE)
        with pytest.raises(StorageError, match="not in the ledger"):
            ledger.set_state(conn, uuid4(), TaskState.WRITTEN)
        record(conn, world, survey, task)
        with pytest.raises(StorageError, match="done already"):
            ledger.set_state(conn, task.key, TaskState.WRITTEN)
        (row,) = ledger.tasks(conn)
    assert (row.state, row.survey_id) == (TaskState.DONE, survey.id)


def test_a_late_scene_supersedes_only_once_its_task_is_done(database: Database, world) -> None:
    old, late = world.task("a"), world.task("b")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [old])
        record(conn, world, world.survey(name="first"), old)
        ledger.plan_tasks(conn, [late])
        ledger.set_state(conn, late.key, TaskState.FAILED, reason="catalogue down")
        assert ledger.task_states(conn, [old.key]) == {old.key: TaskState.DONE}
        ledger.reopen(conn, [late.key])
        record(conn, world, world.survey(name="second"), late)
        rows = {row.key: row for row in ledger.tasks(conn)}
    assert (rows[old.key].state, rows[old.key].superseded_by) == (TaskState.SUPERSEDED, late.key)
    assert rows[old.key].survey_id == world.survey(name="first").id
    assert rows[late.key].state == TaskState.DONE


def test_a_superseded_task_can_be_planned_again(database: Database, world) -> None:
    old, new = world.task("a"), world.task("b")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [old, new])
        record(conn, world, world.survey(name="first"), old)
        record(conn, world, world.survey(name="second"), new)
        assert ledger.task_states(conn, [old.key]) == {old.key: TaskState.SUPERSEDED}
        assert ledger.plan_tasks(conn, [old]) == 1
        (row,) = [row for row in ledger.tasks(conn) if row.key == old.key]
    assert (row.state, row.superseded_by) == (TaskState.PLANNED, None)


def test_ledger_rows_cannot_be_deleted_or_renamed(database: Database, world) -> None:
    with database.begin() as conn:
        ledger.plan_tasks(conn, [world.task("a")])
        ledger.start_run(conn, "monitor run", {})
    for statement in (
        "DELETE FROM task",
        "UPDATE task SET season = 2020",
        "TRUNCATE task CASCADE",
        "DELETE FROM run",
        "UPDATE model SET manifest = '{}'",
    ):
        with (
            pytest.raises(IntegrityError, match="are append-only"),
            database.begin() as conn,
        ):
            conn.execute(text(statement))


def test_one_active_model_of_a_name(database: Database, world) -> None:
    with database.begin() as conn:
        registry.register_model(conn, "sha256:new", "tiny", "2", {"chip": 224}, state=ModelState.ACTIVE)
        earlier, later = registry.model(conn, world.model), registry.model(conn, "sha256:new")
        assert registry.model(conn, "sha256:none") is None
    assert earlier is not None and earlier.state == ModelState.RETIRED
    assert later is not None and (later.state, later.manifest) == (ModelState.ACTIVE, {"chip": 224})


def test_a_tile_off_the_grid_is_refused(database: Database, world) -> None:
    off = registry.TileRow("off", 32643, 1024, 1000, 1024, world.square(1))
    with pytest.raises(IntegrityError, match="ck_tile_grid"), database.begin() as conn:
        registry.upsert_tiles(conn, [off])
