"""Dumps of the database, for backups: written by pg_dump and read by pg_restore."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sqlalchemy import Connection, text

from storage.database import Database
from storage.embedded_system import client_program
from storage.errors import StorageError
from storage.tables import Base

__all__ = ["dump", "is_empty", "load", "row_counts"]


def dump(database: Database, file: Path) -> dict[str, int]:
    """Write all tables to a file in the custom format of pg_dump; return the rows of each, at that moment.

    Raises:
        StorageError: pg_dump is missing, or fails.
    """
    with database.begin() as conn:
        conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        snapshot = conn.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        _client(database, "pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={file}")
        return row_counts(conn)


def load(database: Database, file: Path) -> None:
    """Fill an empty database from a dump, wholly or not at all.

    Raises:
        StorageError: pg_restore is missing, or fails, as on a database with tables.
    """
    _client(database, "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(file))


def is_empty(database: Database) -> bool:
    """Whether a database has no table of the lake history."""
    with database.connect() as conn:
        found = conn.execute(text("SELECT to_regclass('public.alembic_version')")).scalar_one()
    return found is None


def row_counts(conn: Connection) -> dict[str, int]:
    """Number of rows of each table."""
    names = sorted(table.name for table in Base.metadata.sorted_tables)
    return {name: conn.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}


def _client(database: Database, name: str, *options: str) -> None:
    """Run a program of PostgreSQL on a database."""
    program = client_program(name)
    if program is None:
        raise StorageError(
            f"{name} was not found. Install the client programs of PostgreSQL (on Debian or Ubuntu: "
            "`apt-get install postgresql-client`)."
        )
    address, secrets = database.client_address
    command = [str(program), f"--dbname={address}", *options]
    environment = {**os.environ, **secrets}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StorageError(f"{name} failed on {database.shown_url}: {' '.join(done.stderr.split())}")
