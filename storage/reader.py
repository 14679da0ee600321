"""Who may read what is served, and nothing else: a role, its connections, and what they find.

The role `lake_reader` cannot log in and may read the schema `served` alone. Connections take it as they
begin, by a setting of the session, so that no RESET gives back the rights of the user who logged in; they are
read-only, and a query that takes too long is ended. A role belongs to the whole server and not to one
database: it is made where it is missing, and never dropped.
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
#: who logs in to a workspace's own server to read, so that no superuser stands behind the role
LOGIN = "lake_web"
TIMEOUT_S = 30
CONNECTIONS = 8
#: what a reader asked and the database cannot make sense of: a word for a number, an unknown column
BadQuestion = (asyncpg.DataError, asyncpg.SyntaxOrAccessError)
TooLong = asyncpg.QueryCanceledError

#: what libpq knows, and asyncpg would send to the server as a setting
_LIBPQ_ONLY = (
    "connect_timeout", "gssencmode", "channel_binding", "sslcompression", "tcp_user_timeout",
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
)  # fmt: skip
#: duplicate object, not unique, "tuple concurrently updated": another server prepares the same role
_RACES = ("42710", "23505", "XX000")
_FORBIDDEN = "42501"
_ATTEMPTS = 5


@dataclass(frozen=True)
class ServedColumn:
    """A column with its SQL type; `geometry_type` (MultiPolygon, Polygon) in EPSG:4326 where it is one."""

    name: str
    type: str
    geometry_type: str | None


@dataclass(frozen=True)
class ServedView:
    """A view of the schema, and where and when what it shows lies: None while there is nothing.

    bounds: west, south, east, north in degrees. days: first and last, RFC 3339.
    """

    name: str
    description: str
    columns: tuple[ServedColumn, ...]
    bounds: tuple[float, ...] | None
    days: tuple[str, str] | None


def prepare_reader(database: Database, *, login: bool = False) -> str:
    """Give the role what it lacks; the URL to read by. Several may do it at once, in any databases.

    login: also make the user `lake_web`, who has this role alone and no password, and read as that user: for
    a workspace's own server, whose socket only its owner reaches.

    Raises:
        StorageError: the user of the URL may not do it; the message has the SQL for someone who may.
    """
    for attempt in range(_ATTEMPTS):
        missing: list[str] = []
        try:
            with database.begin() as conn:
                missing = _missing(conn, login)
                for statement in missing:
                    conn.execute(text(statement))
                missing = _missing(conn, login)  # a GRANT that one may not give is only a warning
            break
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == _FORBIDDEN:
                break
            if state not in _RACES or attempt == _ATTEMPTS - 1:
                raise
    if missing:
        raise StorageError(
            f"The user of {database.shown_url} may not prepare the role {ROLE}, who reads what is served. "
            "Have a database administrator run this in that database, then start again: "
            f"{'; '.join(missing)};"
        )
    url = database.engine.url.set(drivername="postgresql").difference_update_query(_LIBPQ_ONLY)
    return (url.set(username=LOGIN) if login else url).render_as_string(hide_password=False)


def _missing(conn: Connection, login: bool) -> list[str]:
    """The statements that give the role what it still lacks, in order."""

    def holds(condition: str) -> bool:
        return bool(conn.execute(text(f"SELECT coalesce({condition}, false)")).scalar_one())

    def granted(privilege: str, has: str, kind: str, namespace: str) -> bool:
        """Whether the role has a privilege on all that the schema has of a kind."""
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
        # so that a login with this role alone can serve
        f"GRANT SELECT ON alembic_version TO {ROLE}": known
        and holds(f"has_table_privilege('{ROLE}', 'alembic_version', 'SELECT')"),
    }
    if login:
        wanted[f"CREATE ROLE {LOGIN} LOGIN IN ROLE {ROLE}"] = holds(f"to_regrole('{LOGIN}') IS NOT NULL")
    return [statement for statement, done in wanted.items() if not done]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections of the role, at most eight; JSON columns come as values.

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
            f"Lakes cannot be read by database.url: {error}. The server must be PostgreSQL itself (a pool in "
            f"between may not pass on settings), and its user a member of {ROLE}."
        ) from error
    try:
        yield pool
    finally:
        await pool.close()


async def served_views(pool: asyncpg.Pool) -> list[ServedView]:
    """All that is served, by name."""
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

# Where the lakes are, for all that is told of them, and where the queue's chips are.
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
