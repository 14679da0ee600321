"""Read access to the schema `served`: a role with minimal rights, its connections, and the views it can read.

The role `lake_reader` cannot log in and can read only the schema `served`. Connections take it at their
start, by a setting of the session, so that RESET does not restore the rights of the user who logged in. They
are read-only, and queries have a time limit. A role belongs to the whole server and not to one database: it
is created where it is missing and never dropped.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.errors import StorageError

__all__ = [
    "LOGIN", "ROLE", "SCHEMA", "TIMEOUT_S", "BadQuestion", "ServedColumn", "ServedView", "TooLong",
    "prepare_reader", "reading", "served_views",
]  # fmt: skip

ROLE = "lake_reader"
SCHEMA = "served"
#: user that logs in to the server of a workspace to read, so that the session's user is no superuser
LOGIN = "lake_web"
TIMEOUT_S = 30
CONNECTIONS = 8
#: errors of an invalid query: text in place of a number, an unknown column
BadQuestion = (asyncpg.DataError, asyncpg.SyntaxOrAccessError)
TooLong = asyncpg.QueryCanceledError

#: parameters of libpq that asyncpg would send to the server as settings
_LIBPQ_ONLY = (
    "connect_timeout", "gssencmode", "channel_binding", "sslcompression", "tcp_user_timeout",
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
)  # fmt: skip
#: duplicate object, unique violation, "tuple concurrently updated": another process prepares the same role
_RACES = ("42710", "23505", "XX000")
_FORBIDDEN = "42501"
_ATTEMPTS = 5


@dataclass(frozen=True)
class ServedColumn:
    """A column with its SQL type; `geometry_type` (such as MultiPolygon) if it is a geometry in EPSG:4326."""

    name: str
    type: str
    geometry_type: str | None


@dataclass(frozen=True)
class ServedView:
    """A view of the schema with its extent in space and time, None while it has no rows.

    bounds: west, south, east, north in degrees. days: first and last, RFC 3339.
    """

    name: str
    description: str
    columns: tuple[ServedColumn, ...]
    bounds: tuple[float, ...] | None
    days: tuple[str, str] | None


def prepare_reader(database: Database, *, login: bool = False) -> str:
    """Create the role and grant its rights where they are missing; return the URL for reading.

    Several processes may call this at once, in any databases of a server.

    Args:
        login: also create the user `lake_web`, which has only this role and no password, and use it in the
            URL. For the server of a workspace, whose socket is accessible only to its owner.

    Raises:
        StorageError: the user of the URL lacks the rights; the message contains the SQL for an administrator.
    """
    for attempt in range(_ATTEMPTS):
        missing: list[str] = []
        try:
            with database.begin() as conn:
                missing = _missing(conn, login)
                for statement in missing:
                    conn.execute(text(statement))
                missing = _missing(conn, login)  # a GRANT without the right to grant gives only a warning
            break
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == _FORBIDDEN:
                break
            if state not in _RACES or attempt == _ATTEMPTS - 1:
                raise
    if missing:
        raise StorageError(
            f"The user of {database.shown_url} may not create the role {ROLE}, which reads the schema "
            f"{SCHEMA}. Have a database administrator run this in that database, then start again: "
            f"{'; '.join(missing)};"
        )
    url = database.engine.url.set(drivername="postgresql").difference_update_query(_LIBPQ_ONLY)
    return (url.set(username=LOGIN) if login else url).render_as_string(hide_password=False)


def _missing(conn: Connection, login: bool) -> list[str]:
    """Statements that create the missing role and grant its missing rights, in order."""

    def holds(condition: str) -> bool:
        return bool(conn.execute(text(f"SELECT coalesce({condition}, false)")).scalar_one())

    def granted(privilege: str, has: str, kind: str, namespace: str) -> bool:
        """Whether the role has a privilege on all objects of a kind in the schema."""
        every = f"SELECT bool_and({has}('{ROLE}', oid, '{privilege}')) FROM {kind}"
        return holds(f"({every} WHERE {namespace} = '{SCHEMA}'::regnamespace)")

    known = holds(f"to_regrole('{ROLE}') IS NOT NULL")
    me, version = conn.execute(
        text("SELECT quote_ident(session_user), current_setting('server_version_num')::int")
    ).one()
    become = "SET" if version >= 160000 else "MEMBER"
    wanted = {
        f"CREATE ROLE {ROLE} NOLOGIN": known,
        f"GRANT {ROLE} TO {me}": known and holds(f"pg_has_role(session_user, '{ROLE}', '{become}')"),
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE}": known
        and holds(f"has_schema_privilege('{ROLE}', '{SCHEMA}', 'USAGE')"),
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {ROLE}": known
        and granted("SELECT", "has_table_privilege", "pg_class", "relnamespace"),
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {ROLE}": known
        and granted("EXECUTE", "has_function_privilege", "pg_proc", "pronamespace"),
        # so that a user with only this role can check the version of the schema
        f"GRANT SELECT ON alembic_version TO {ROLE}": known
        and holds(f"has_table_privilege('{ROLE}', 'alembic_version', 'SELECT')"),
    }
    if login:
        wanted[f"CREATE ROLE {LOGIN} LOGIN IN ROLE {ROLE}"] = holds(f"to_regrole('{LOGIN}') IS NOT NULL")
    return [statement for statement, done in wanted.items() if not done]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool of at most `CONNECTIONS` connections of the role; JSON columns are decoded.

    Raises:
        StorageError: the database cannot be reached by that URL, or refuses the role.
    """
    settings = {
        "role": ROLE,
        "default_transaction_read_only": "on",
        "statement_timeout": f"{TIMEOUT_S}s",
        "work_mem": "64MB",  # views sort all observations; on disk that takes twice as long
        "jit": "off",
        "timezone": "UTC",
        "application_name": "monitor serve",
    }
    try:
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=CONNECTIONS, init=_read_json, server_settings=settings
        )
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StorageError(
            f"Lakes cannot be read by database.url: {error}. The URL must lead to PostgreSQL itself (a "
            f"connection pooler may drop settings of the session), and its user must be a member of {ROLE}."
        ) from error
    try:
        yield pool
    finally:
        await pool.close()


async def served_views(pool: asyncpg.Pool) -> list[ServedView]:
    """All views of the schema `served`, ordered by name."""
    async with pool.acquire() as conn:
        views = await conn.fetch(_VIEWS, SCHEMA)
        extents = {row["of_queue"]: row for row in await conn.fetch(_EXTENTS)}
    return [
        ServedView(
            name=view["name"],
            description=view["description"] or "",
            columns=tuple(ServedColumn(**column) for column in view["columns"]),
            bounds=tuple(extent["bounds"]) if extent["bounds"][0] is not None else None,
            days=(extent["first"], extent["last"]) if extent["first"] is not None else None,
        )
        for view in views
        for extent in (extents[view["name"] == "review_queue"],)
    ]


async def _read_json(conn: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await conn.set_type_codec(kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


_VIEWS = """
SELECT c.relname AS name, obj_description(c.oid, 'pg_class') AS description,
    json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, NULL), 'geometry_type',
        CASE WHEN format_type(a.atttypid, NULL) = 'geometry' THEN postgis_typmod_type(a.atttypmod) END)
        ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'v'
GROUP BY c.oid, c.relname ORDER BY c.relname
"""

# Extent of the observations, used for all views of lakes, and extent of the review queue.
_EXTENTS = """
SELECT of_queue, ARRAY[ST_XMin(extent), ST_YMin(extent), ST_XMax(extent), ST_YMax(extent)] AS bounds,
    to_char(first, 'YYYY-MM-DD"T"HH24:MI:SSZ') AS first, to_char(last, 'YYYY-MM-DD"T"HH24:MI:SSZ') AS last
FROM (
    SELECT false AS of_queue, ST_Extent(geom) AS extent, min(first_day)::timestamptz AS first,
        max(last_day)::timestamptz AS last
    FROM served.lake_area_history
    UNION ALL
    SELECT true, ST_Extent(geom), min(created_at), max(created_at) FROM served.review_queue
) AS found
"""
