"""The reader role of the server: it reads all served views as the owner does, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import asyncpg
import pandas as pd
import pytest
from alembic.config import Config
from sqlalchemy import make_url, text

from alembic import command
from storage import reader
from storage.database import Database
from storage.errors import StorageError
from storage.recording import record_survey
from storage.tables import Base

VIEWS = (
    "lake_area_history", "lake_change_yearly", "lake_drainage", "lake_latest", "lake_trend", "review_queue",
)  # fmt: skip


@pytest.fixture
def four_seasons(database: Database, world) -> Database:
    """Three lakes: one stays, one shrinks and grows again, one drains; one open flag per season."""
    with database.begin() as conn:
        for season, small, gone in (
            (2020, 1.0, False),
            (2021, 0.3, False),
            (2022, 1.0, True),
            (2023, 1, True),
        ):
            rows = world.water(1, 2) if gone else world.water(1, 2, 3)
            rows["seen_share"] = 1.0
            rows.loc[1, "geometry"] = world.square(2, 0.002 * small)
            for column, day in (("first_day", "07-20"), ("last_day", "08-30")):
                rows[column] = pd.Timestamp(f"{season}-{day}")
            if gone:
                dry = rows.iloc[:1].assign(lake_id=[world.uuid("lake", 3)], outcome="dry", reason="dry bed")
                dry.geometry = [None]
                measures = ["sigma_m2", "sigma_shore_m2", "sigma_model_m2", "perimeter_m", "probability"]
                dry[measures] = None
                rows = pd.concat([rows, dry], ignore_index=True)
            new = world.lakes(1, 2, 3) if season == 2020 else world.lakes()
            lineage, flags = world.lineage(), world.flags(0.7)
            record_survey(conn, world.survey(season), rows, lakes=new, lineage=lineage, flags=flags)
    return database


def run_as_reader(url: str, *statements: str) -> list[list[tuple[object, ...]] | Exception]:
    """Run each statement through the server's connections and return the results."""

    async def run_all() -> list[list[tuple[object, ...]] | Exception]:
        answers: list[list[tuple[object, ...]] | Exception] = []
        async with reader.reading(url) as pool:
            for statement in statements:
                try:
                    answers.append([tuple(row) for row in await pool.fetch(statement)])
                except asyncpg.PostgresError as error:
                    answers.append(error)
        return answers

    return asyncio.run(run_all())


@pytest.mark.parametrize("login", [False, True])
def test_the_reader_reads_the_same_rows_as_the_owner(four_seasons: Database, login: bool) -> None:
    url = reader.prepare_reader(four_seasons, login=login)
    columns, expected = {}, {}
    with four_seasons.begin() as conn:
        for view in VIEWS:
            keys = conn.execute(text(f"SELECT * FROM public.{view} LIMIT 0")).keys()
            columns[view] = ", ".join(f'"{key}"::text' for key in keys)
            rows = conn.execute(text(f"SELECT {columns[view]} FROM public.{view}"))
            expected[view] = sorted(map(tuple, rows), key=repr)
    assert all(expected.values()), "every view has rows"
    answers = run_as_reader(url, *(f"SELECT {columns[view]} FROM served.{view}" for view in VIEWS))
    for view, rows in zip(VIEWS, answers, strict=True):
        assert isinstance(rows, list), rows
        assert sorted(rows, key=repr) == expected[view], view


def test_identities_are_unique_and_drained_lakes_keep_their_last_outline(four_seasons: Database) -> None:
    with four_seasons.connect() as conn:
        for view, key in (("lake_change_yearly", "change_id"), ("lake_drainage", "drainage_id")):
            ids = conn.execute(text(f"SELECT {key} FROM served.{view}")).scalars().all()
            assert len(set(ids)) == len(ids) > 1 and None not in ids
        drained = text("SELECT DISTINCT geom IS NULL FROM served.lake_drainage WHERE verdict = 'drained'")
        assert conn.execute(drained).scalars().all() == [False]


@pytest.mark.parametrize("login", [False, True])
def test_the_database_refuses_the_reader_everything_else(four_seasons: Database, login: bool) -> None:
    url = reader.prepare_reader(four_seasons, login=login)
    raw = [name for name in Base.metadata.tables if name != "alembic_version"]
    hidden = ["lake_change_any", "lake_events", "survey_shown", "lake_latest", "lake_change_yearly"]
    changes = [
        "INSERT INTO served.lake_latest (lake_id) VALUES (gen_random_uuid())",
        "INSERT INTO region (name) VALUES ('x')",
        "UPDATE lake SET code = 'x'",
        "UPDATE served.review_queue SET note = 'x'",
        "DELETE FROM lake_observation",
        "DELETE FROM served.lake_trend",
        "TRUNCATE lake CASCADE",
        "CREATE TABLE mine (i int)",
        "SELECT * FROM lake_change('demo', 2020, 2021)",
    ]
    statements = [*changes, *(f"SELECT * FROM public.{name}" for name in (*raw, *hidden))]
    for statement, answer in zip(statements, run_as_reader(url, *statements), strict=True):
        kinds = {asyncpg.InsufficientPrivilegeError}
        if not statement.startswith("SELECT"):
            kinds |= {asyncpg.ReadOnlySQLTransactionError}
        if "served." in statement:  # a view with joins, which cannot be written
            kinds |= {asyncpg.ObjectNotInPrerequisiteStateError}
        assert type(answer) in kinds, (statement, answer)


def test_privileges_alone_refuse_writes(database: Database) -> None:
    """The role's privileges on every relation of the schema, without read-only connections."""
    reader.prepare_reader(database)
    rights = text(
        "SELECT relnamespace::regnamespace::text || '.' || relname, "
        "has_table_privilege('lake_reader', oid, 'SELECT'), "
        "has_table_privilege('lake_reader', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') "
        "FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'served'::regnamespace) "
        "AND relkind IN ('r', 'v', 'm', 'p', 'S') AND relname NOT LIKE '%_columns' "
        "AND relname <> 'spatial_ref_sys'"
    )
    with database.connect() as conn:
        rows = conn.execute(rights).all()
    assert {name for name, reads, _ in rows if reads} == {
        "public.alembic_version",
        *(f"served.{view}" for view in VIEWS),
    }
    assert not any(writes for *_, writes in rows)


def test_returned_connections_keep_the_readers_role(four_seasons: Database) -> None:
    url = reader.prepare_reader(four_seasons, login=True)
    who = (
        "SELECT current_user, session_user, current_setting('default_transaction_read_only'), "
        "current_setting('statement_timeout')"
    )
    before, _, _, after, owner, admin = run_as_reader(
        url, who, "RESET ROLE", "RESET ALL", who, "SET ROLE lake", "SET SESSION AUTHORIZATION lake"
    )
    assert before == after == [("lake_reader", "lake_web", "on", "30s")]
    assert isinstance(owner, asyncpg.InsufficientPrivilegeError)
    assert isinstance(admin, asyncpg.InsufficientPrivilegeError)


@pytest.fixture
def new_role(monkeypatch: pytest.MonkeyPatch, database: Database) -> Iterator[str]:
    """A role name that does not exist on this server yet; dropped after the test."""
    name = f"reader_{uuid4().hex}"
    monkeypatch.setattr(reader, "ROLE", name)
    yield name
    with database.begin() as conn:
        if conn.execute(text(f"SELECT to_regrole('{name}') IS NOT NULL")).scalar_one():
            conn.execute(text(f"DROP OWNED BY {name}"))
            conn.execute(text(f"DROP ROLE {name}"))


def test_concurrent_preparation_of_the_role(database: Database, new_role: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        urls = set(pool.map(lambda _: reader.prepare_reader(database), range(12)))
    assert len(urls) == 1
    with database.connect() as conn:
        assert reader._missing(conn, login=False) == []


def test_without_createrole_the_message_gives_the_statements(database: Database, new_role: str) -> None:
    """Another account creates the role; then a user without privileges can serve."""
    plain = f"plain_{uuid4().hex}"
    with database.begin() as conn:
        conn.execute(text(f"CREATE ROLE {plain} LOGIN"))
    url = make_url(database.url).set(username=plain).render_as_string(hide_password=False)
    source = Database(url)
    try:
        with pytest.raises(StorageError, match="database administrator run this") as refused:
            reader.prepare_reader(source)
        statements = str(refused.value).partition("then start again: ")[2]
        assert f"CREATE ROLE {new_role} NOLOGIN; GRANT {new_role} TO {plain}; GRANT USAGE" in statements
        with database.begin() as conn:
            for statement in statements.removesuffix(";").split("; "):
                conn.execute(text(statement))
        source.check_current()
        read = reader.prepare_reader(source)
        assert run_as_reader(read, "SELECT count(*) FROM served.lake_change_yearly") == [[(0,)]]
    finally:
        source.dispose()
        with database.begin() as conn:
            conn.execute(text(f"DROP ROLE {plain}"))


def test_the_role_does_not_depend_on_the_schema_of_one_database(database: Database) -> None:
    reader.prepare_reader(database)
    config = Config("alembic.ini")
    with database.begin() as conn:
        config.attributes["connection"] = conn
        command.downgrade(config, "base")
        assert conn.execute(text("SELECT to_regnamespace('served') IS NULL")).scalar_one()
        assert conn.execute(text("SELECT to_regrole('lake_reader') IS NOT NULL")).scalar_one()
    database.upgrade()
    assert reader.prepare_reader(database)


def test_an_unreachable_database_is_named() -> None:
    async def read() -> None:
        async with reader.reading("postgresql://lake@127.0.0.1:9/lake"):
            pass

    with pytest.raises(StorageError, match=r"cannot be read by database\.url"):
        asyncio.run(read())
