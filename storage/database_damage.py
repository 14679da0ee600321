"""Damage of the database: the reading of all pages of the embedded server, and of all rows and indexes."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.embedded import EmbeddedPostgis

__all__ = ["damaged_pages", "damaged_relations", "has_checksums"]

#: a warning of the server while it sends its files (pg_basebackup)
_WARNING = re.compile(r'checksum verification failed in file "(?:\./)?(?P<file>[^"]+)", block (?P<block>\d+)')
_FILE = re.compile(r"base/(?P<database>\d+)/(?P<node>\d+)")


def has_checksums(database: Database) -> bool:
    """Whether the server's pages have checksums. Those of servers that earlier versions made have none."""
    with database.connect() as conn:
        return str(conn.execute(text("SHOW data_checksums")).scalar_one()) == "on"


def damaged_pages(server: EmbeddedPostgis, database: Database) -> list[str]:
    """The pages of a server on disk with a wrong checksum, each as "table or index, block"."""
    pages = []
    for warning in _WARNING.finditer(server.read_all_files()):
        name, block = warning["file"], warning["block"]
        if found := _FILE.match(name):
            name = _relation(database, int(found["database"]), int(found["node"])) or name
        pages.append(f"{name}, block {block}")
    return pages


def damaged_relations(database: Database) -> list[str]:
    """The tables with a row that cannot be read and the indexes that contradict their table, with reasons."""
    relations = text(
        "SELECT c.oid, c.oid::regclass::text AS name, c.relkind = 'i' AS is_index FROM pg_class c "
        "LEFT JOIN pg_am a ON a.oid = c.relam "
        "WHERE c.relnamespace = 'public'::regnamespace "
        "AND (c.relkind IN ('r', 'm') OR c.relkind = 'i' AND a.amname = 'btree') ORDER BY c.relkind, name"
    )
    with database.connect() as conn:
        known = [(row.oid, row.name, row.is_index) for row in conn.execute(relations)]
    damaged = []
    try:
        with database.begin() as conn:
            checks_indexes = _amcheck(conn)
            for oid, name, is_index in known:
                if is_index and not checks_indexes:
                    continue
                query = (
                    text("SELECT bt_index_check(CAST(:oid AS oid)::regclass, true)")
                    if is_index
                    else text(f"SELECT sum(hashtext(t::text)::bigint) FROM {name} t")
                )
                try:
                    with conn.begin_nested():
                        conn.execute(query, {"oid": oid} if is_index else {})
                except DBAPIError as error:
                    damaged.append(f"{name}: {str(error.orig).splitlines()[0]}")
            raise _Undo
    except _Undo:
        return damaged


class _Undo(Exception):
    """Rolls the transaction back, in which amcheck was installed."""


def _amcheck(conn: Connection) -> bool:
    """Whether PostgreSQL's amcheck can be used; it is installed until the transaction ends."""
    try:
        with conn.begin_nested():
            conn.execute(text("CREATE EXTENSION IF NOT EXISTS amcheck"))
    except DBAPIError:  # not on the server, or no right to install it
        return False
    return True


def _relation(database: Database, number: int, node: int) -> str | None:
    """Name of a table or index by the number of its database and of its file; None if it is another's."""
    query = text(
        "SELECT coalesce(t.oid, c.oid)::regclass::text FROM pg_class c "
        "LEFT JOIN pg_class t ON t.reltoastrelid = c.oid "
        "WHERE pg_relation_filenode(c.oid) = :node "
        "AND :number = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with database.connect() as conn:
        name: str | None = conn.execute(query, {"node": node, "number": number}).scalar_one_or_none()
    return name
