"""Run migrations on the connection of the caller, or on DATABASE_URL."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, create_engine, text

from alembic import context
from storage.tables import Base


def is_compared(_object: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Exclude the tables of PostGIS and of the scheduler from the comparison with the models."""
    foreign = name in ("spatial_ref_sys", "schedule_job")
    return not (kind == "table" and reflected and compare_to is None and foreign)


def migrate(conn: Connection) -> None:
    # When two commands start at once on an empty database, the second waits and then has nothing to do.
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('lake migrations'))"))
    context.configure(
        connection=conn, target_metadata=Base.metadata, include_object=is_compared, compare_type=True
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
