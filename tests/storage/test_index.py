"""Surveys of an index are stored beside a model's: they never replace one, and are shown only without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from storage import history, ledger, reviews
from storage.codes import TRUSTED, SurveyKind, TaskState
from storage.database import Database
from storage.prior import prior_surveys
from storage.recording import record_survey
from storage.status import status

ROOT = Path(__file__).resolve().parents[2]
INDEX, MODEL = SurveyKind.INDEX, SurveyKind.MODEL


def record(
    conn: Connection, world, survey: history.Survey, *lakes: int, lineage=(), flags=None, tasks=()
) -> bool:
    return record_survey(
        conn,
        survey,
        world.water(*lakes),
        lakes=world.lakes(*lakes),
        lineage=world.lineage(*lineage),
        flags=flags,
        done_tasks=tasks,
    )


def done(conn: Connection, world, kind: SurveyKind, name: str) -> UUID:
    """A finished task of a survey of that kind."""
    task = replace(world.task(f"{name} {kind}"), kind=kind)
    ledger.plan_tasks(conn, [task])
    record(conn, world, world.survey(kind=kind, name=name), 1, 2, tasks=[task.key])
    return task.key


def test_a_survey_supersedes_only_surveys_of_its_kind(database: Database, world) -> None:
    with database.begin() as conn:
        keys = [done(conn, world, kind, name) for name in "ab" for kind in (MODEL, INDEX)]
        standing = history.surveys(conn, "demo").set_index("id").current
        states = ledger.task_states(conn, keys)
        assert [row.key for row in ledger.tasks(conn, kind=INDEX)] == [keys[1], keys[3]]
        for kind in (MODEL, INDEX):
            scenes, _ = ledger.frozen(conn, "demo", 2021, kind)
            assert [scene.item_id for scene in scenes] == [f"S2A_b {kind}"]
    expected = {
        world.survey(kind=kind, name=name).id: name == "b" for name in "ab" for kind in (MODEL, INDEX)
    }
    assert standing.to_dict() == expected
    assert [states[key] for key in keys] == [TaskState.SUPERSEDED] * 2 + [TaskState.DONE] * 2


def test_an_index_survey_is_shown_only_without_a_better_one(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, world.survey(2021, kind=INDEX), 1, 2, flags=world.flags(0.7))
        record(conn, world, world.survey(2022, kind=INDEX), 1, 3, flags=world.flags(0.8))
        assert {row.season: row.open_flags for row in status(conn)} == {2021: 1, 2022: 1}
        record(conn, world, world.survey(2022), 1)
        shown = conn.execute(
            text("SELECT season, kind, count(*) FROM lake_area_history GROUP BY 1, 2 ORDER BY 1")
        )
        assert [tuple(row) for row in shown] == [(2021, "index", 2), (2022, "model", 1)]
        assert len(history.observations_of(conn, "demo", 2022)) == 1
        assert len(history.observations_of(conn, "demo", 2022, INDEX)) == 2
        (flag,) = reviews.queue(conn).itertuples()
        rows = {(row.season, row.kind): row for row in status(conn)}
        latest = history.lakes(conn).set_index("lake_id").kind
    assert (flag.season, flag.survey_kind) == (2021, "index")
    assert {place: row.open_flags for place, row in rows.items()} == {
        (2021, INDEX): 1, (2022, MODEL): 0, (2022, INDEX): 0,
    }  # fmt: skip
    assert rows[2022, INDEX].lakes == 2 and rows[2022, INDEX].source == "source index"
    assert latest.to_dict() == {world.uuid("lake", 1): "model", world.uuid("lake", 2): "index"}


def test_index_surveys_are_prior_to_index_surveys_only(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, world.survey(2020, kind=SurveyKind.INVENTORY), 1)
        record(conn, world, world.survey(2021, kind=INDEX), 1, 2, lineage=[("new", 2, None)])
        prior = prior_surveys(conn, world.survey(2022).key)
        assert set(prior.observations.kind) == {"inventory"} and prior.lineage.empty
        assert set(prior.observations.lake_id) == {world.uuid("lake", 1)}
        prior = prior_surveys(conn, world.survey(2022, kind=INDEX).key)
        rows = prior.observations.set_index(["lake_id", "kind"])
        one, two = world.uuid("lake", 1), world.uuid("lake", 2)
        assert set(rows.index) == {(one, "index"), (two, "index")} and rows.earlier.all()
        assert prior.lineage.kind.tolist() == ["new"]
        assert len(history.lineage(conn, "demo")) == 0
        assert history.lineage(conn, "demo", kinds=[INDEX]).survey_kind.tolist() == ["index"]
        assert history.history(conn, world.uuid("lake", 1)).kind.tolist() == ["inventory", "index"]
        assert history.history(conn, world.uuid("lake", 1), TRUSTED).kind.tolist() == ["inventory"]


def test_a_task_is_done_only_by_a_survey_of_its_kind(database: Database, world) -> None:
    task = world.task("a")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [task])
    with pytest.raises(IntegrityError, match="fk_task_survey"), database.begin() as conn:
        record(conn, world, world.survey(kind=INDEX), 1, tasks=[task.key])
    with pytest.raises(IntegrityError, match="are append-only"), database.begin() as conn:
        conn.execute(text("UPDATE task SET kind = 'index'"))
