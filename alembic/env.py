"""Runs migrations on the connection it is given, or on DATABASE_URL."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, create_engine, text

from alembic import context
from storage.tables import Base


def is_ours(_object: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Tables that PostGIS and the scheduler bring along are not the schema's business."""
    theirs = name in ("spatial_ref_sys", "schedule_job")
    return not (kind == "table" and reflected and compare_to is None and theirs)


def migrate(conn: Connection) -> None:
    # Two commands that start at once on an empty database: the second waits, then finds nothing to do.
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('lake migrations'))"))
    context.configure(
        connection=conn, target_metadata=Base.metadata, include_object=is_ours, compare_type=True
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit(
            "Set DATABASE_URL (postgresql+psycopg://user@host/name) or run `monitor db upgrade`."
        )
    with create_engine(url).begin() as connection:
        migrate(connection)
