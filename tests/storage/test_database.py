"""Migrations, the version of the schema, and errors that a user can cause."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import InternalError

from alembic import command
from storage import alerts, inventories, ledger, nights, reviews
from storage.codes import RunOutcome, SurveyKind, TaskState
from storage.database import Database
from storage.errors import StorageError
from storage.recording import record_survey
from storage.tables import Base, RegionLock

ROOT = Path(__file__).resolve().parents[2]


VIEWS = ("lake_area_history", "lake_latest", "lake_change_yearly", "lake_events", "review_queue")


def alembic_config(conn: Connection) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["connection"] = conn
    return config


def rules(conn: Connection, schema: str) -> set[tuple[str, str, str]]:
    query = text(
        "SELECT r.relname, c.conname, replace(pg_get_constraintdef(c.oid), :schema || '.', '') "
        "FROM pg_constraint c "
        "JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace "
        "WHERE n.nspname = :schema AND r.relname NOT IN ('spatial_ref_sys', 'alembic_version')"
    )
    return {tuple(row) for row in conn.execute(query, {"schema": schema})}  # type: ignore[misc]


def test_migrations_and_tables_have_the_same_schema(database: Database) -> None:
    with database.begin() as conn:
        command.check(alembic_config(conn))


def test_migrations_and_tables_have_the_same_constraints(database: Database) -> None:
    """`alembic check` does not compare CHECK constraints, so their text in the database is compared."""
    with database.begin() as conn:
        migrated = rules(conn, "public")
        conn.execute(text("CREATE SCHEMA declared"))
        conn.execute(text("SET LOCAL search_path = declared, public"))
        Base.metadata.create_all(conn, checkfirst=False)
        assert rules(conn, "declared") == migrated


def fill_every_table(conn: Connection, world) -> None:
    """At least one row in every table of the schema."""
    run = ledger.start_run(conn, "test", {})
    assert nights.begin(conn, world.region, date(2021, 8, 1), 2021, final=False, run_id=run)
    alerts.bring_up_to_date(
        conn, ["demo"], [alerts.Condition("disk", "disk nearly full", "1 GB", "free some")]
    )
    conn.execute(insert(RegionLock).values(region="demo", token=1, run_id=run, machine="here", process=1))
    ledger.plan_tasks(conn, [world.task("a")], run)
    task = world.task("a").key
    ledger.set_state(conn, task, TaskState.WRITTEN, run_id=run)
    survey = replace(world.survey(), drawn_from={world.tiles[0]: str(task)})
    record_survey(
        conn,
        survey,
        world.water(1, 2),
        lakes=world.lakes(1, 2),
        lineage=world.lineage(("new", 1, None)),
        flags=world.flags(0.7),
        done_tasks=[task],
    )
    (flag,) = reviews.queue(conn).flag_id
    reviews.add_verdict(conn, flag, reviews.VerdictKind.AGREE, by="tester")
    inventory = inventories.Inventory(
        world.uuid("inventory"), "hkh", 2020, "lakes.gpkg", "sha256:i", {"label": "id"}, True, 30, 3, 1, 1
    )
    inventories.add(conn, inventory)
    assert inventories.get(conn, inventory.id) == inventory
    published = replace(
        world.survey(2020, kind=SurveyKind.INVENTORY), inventory_id=inventory.id, suspect="half of it is gone"
    )
    rows = world.water(1, 3).assign(label="GL1", attributes=[{"type": "M(e)"}, {}], glacier_m=12.5)
    record_survey(conn, published, rows, lakes=world.lakes(3), lineage=world.lineage(("split", 3, 1)))
    ledger.finish_run(conn, run, RunOutcome.DONE, {})
    for table in Base.metadata.sorted_tables:
        assert conn.execute(select(func.count()).select_from(table)).scalar_one() > 0, table.name


def test_down_and_up_again_with_rows_in_every_table(database: Database, world) -> None:
    with database.begin() as conn:
        fill_every_table(conn, world)
        command.check(alembic_config(conn))
        views = {view: conn.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() for view in VIEWS}
    with database.begin() as conn:
        command.downgrade(alembic_config(conn), "base")
        left = conn.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar_one()
        assert left == 2  # alembic_version and PostGIS's spatial_ref_sys
    with pytest.raises(StorageError, match="monitor db upgrade"):
        database.check_current()
    database.upgrade()
    database.check_current()
    database.upgrade()
    with database.begin() as conn:
        command.check(alembic_config(conn))
        world.store(conn)
        fill_every_table(conn, world)
        again = {view: conn.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() for view in VIEWS}
    assert again == views and min(views.values()) > 0


def test_another_schema_is_named(database: Database) -> None:
    with database.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(
        StorageError, match=r"has schema 0000, this version needs 0005. Run `monitor db upgrade`"
    ):
        database.check_current()


def test_a_reading_connection_refuses_writes(database: Database) -> None:
    with pytest.raises(InternalError, match="read-only transaction"), database.connect() as conn:
        conn.execute(text("INSERT INTO region (name) VALUES ('x')"))


def test_invalid_urls() -> None:
    with pytest.raises(StorageError, match="only postgresql"):
        Database("sqlite:///lakes.db")
    with pytest.raises(StorageError, match="not a URL"):
        Database("somewhere")
    with pytest.raises(StorageError, match=r"cannot be reached.*Check database\.url"):
        Database("postgresql://lake:secret@127.0.0.1:9/lake").check_current()


def test_the_password_is_never_shown() -> None:
    assert "secret" not in Database("postgresql://lake:secret@127.0.0.1:9/lake").shown_url


def test_a_session_killed_in_the_middle_is_an_error_with_advice(database: Database) -> None:
    with pytest.raises(StorageError, match=r"was lost.*run the same command again"), database.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_light_modules_stay_light() -> None:
    """`monitor --help` and `status` must not import tensors, clusters or cubes."""
    script = (
        "import sys, storage.tables, storage.database, storage.history, storage.ledger, storage.status, "
        "storage.embedded, storage.reviews, storage.registry\n"
        "heavy = ('torch', 'dask', 'distributed', 'zarr', 'icechunk', 'terratorch')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
