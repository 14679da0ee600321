"""The review queue: flags of current surveys, the latest verdict, append-only verdicts."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage import reviews
from storage.codes import VerdictKind
from storage.database import Database
from storage.errors import StorageError
from storage.recording import record_survey


def record(conn, world, name, *scores, season=2021):
    record_survey(
        conn,
        world.survey(season, name),
        world.water(1),
        lakes=world.lakes(1),
        lineage=world.lineage(),
        flags=world.flags(*scores),
    )


def test_unexplained_first_then_by_score(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, "a", 0.4, 0.6, 0.9, 0.2)
        queue = reviews.queue(conn, "demo", 2021)
        assert len(reviews.queue(conn, "elsewhere")) == len(reviews.queue(conn, season=2022)) == 0
    assert queue["score"].tolist() == [0.9, 0.6, 0.4, 0.2]
    assert queue["explained"].tolist() == [False, False, True, True]
    assert queue["detail"][0] == {"pixels": 90}
    assert queue.geometry[0].equals(world.square(2, 0.02))


def test_the_latest_verdict_applies_and_all_are_kept(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, "a", 0.9)
        flag = reviews.queue(conn)["flag_id"][0]
        reviews.add_verdict(conn, flag, VerdictKind.UNSURE, by="ana")
        reviews.add_verdict(conn, flag, VerdictKind.DISAGREE, by="ben", note="shadow")
        assert len(reviews.queue(conn)) == 0
        answered = reviews.queue(conn, open_only=False)
        assert reviews.verdicts(conn, flag)["verdict"].tolist() == ["unsure", "disagree"]
    assert answered[["verdict", "by", "note"]].values.tolist() == [["disagree", "ben", "shadow"]]
    for statement in (
        "UPDATE review_verdict SET verdict = 'agree'",
        "DELETE FROM review_verdict",
        "TRUNCATE review_verdict",
    ):
        with (
            pytest.raises(IntegrityError, match="are append-only"),
            database.begin() as conn,
        ):
            conn.execute(text(statement))


def test_flags_of_superseded_surveys_are_kept_but_not_queued(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, "a", 0.9)
        record(conn, world, "b", 0.8, 0.7)
        assert reviews.queue(conn)["score"].tolist() == [0.8, 0.7]
        assert conn.execute(text("SELECT count(*) FROM review_flag")).scalar_one() == 3


def test_verdicts_need_a_flag_and_a_name(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, "a", 0.9)
        flag = reviews.queue(conn)["flag_id"][0]
        with pytest.raises(StorageError, match="no review flag"):
            reviews.add_verdict(conn, uuid4(), VerdictKind.AGREE, by="ana")
        with pytest.raises(StorageError, match="name the person who judges"):
            reviews.add_verdict(conn, flag, VerdictKind.AGREE, by="")
