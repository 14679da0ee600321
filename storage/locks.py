"""Locks of regions: one run of a region at a time, on any machine that uses the database.

A run holds a session lock of PostgreSQL, which the server releases when the process or its machine has ended.
A process that lost its connection does not notice it at once, so each holder also has a token, a number that
grows with every new holder (fencing; Kleppmann 2017, chapter 8). Every transaction of a run checks its token,
and the late write of a process that has lost its lock is refused.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.errors import StorageError

__all__ = ["Holder", "LockLostError", "RegionLock", "holder_of", "region_lock", "running"]

POLL_SECONDS = 1.0

#: A machine that was switched off does not end its connections. The server asks after 30 s of silence, and
#: gives the connection up after three questions without an answer.
_ALIVE = (
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
    "SET idle_session_timeout = 0",
)


class LockLostError(StorageError):
    """Another run has the region; nothing of this transaction was written."""


@dataclass(frozen=True)
class Holder:
    """The last run that took the lock of a region."""

    run_id: UUID
    command: str
    machine: str
    process: int
    since: datetime

    def __str__(self) -> str:
        return (
            f"monitor {self.command} (process {self.process} on {self.machine}, since "
            f"{self.since:%Y-%m-%d %H:%M} UTC)"
        )


@dataclass(frozen=True)
class RegionLock:
    """The lock of a region, as long as `region_lock` holds it."""

    region: str
    run_id: UUID
    token: int
    database: Database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction during which no other run can take the region.

        Raises:
            LockLostError: another run has taken it; nothing is written.
        """
        with self.database.begin() as conn:
            query = text("SELECT token FROM region_lock WHERE region = :region FOR SHARE")
            if conn.execute(query, {"region": self.region}).scalar_one() != self.token:
                raise LockLostError(
                    f"Region {self.region} was taken over by {holder_of(conn, self.region)}, because this "
                    "process had lost its connection to the database. Nothing more of this run is recorded; "
                    "what it had recorded is complete, and the other run continues from there."
                )
            yield conn


@contextmanager
def region_lock(
    database: Database,
    region: str,
    run_id: UUID,
    *,
    urgent: bool = True,
    waiting: Callable[[Holder | None], None] = lambda _: None,
) -> Iterator[RegionLock]:
    """Wait until no other run has the region, and hold it.

    Args:
        run_id: a run of the ledger.
        urgent: wait in front of runs that are not.
        waiting: called once, with the holder, if the region is not free at once.
    """
    with database.session() as conn:
        for statement in _ALIVE:
            conn.execute(text(statement))
        _wait(conn, region, urgent, waiting)
        try:
            with database.begin() as writing:
                token = _take(writing, region, run_id)
            yield RegionLock(region, run_id, token, database)
        finally:
            # a connection that is lost has released it
            with suppress(DBAPIError):
                _unlock(conn, _own(region))


def holder_of(conn: Connection, region: str) -> Holder | None:
    """The run that took the region last, whether or not it still has it; None if none ever did."""
    query = text(
        "SELECT run_id, command, machine, process, taken_at FROM region_lock JOIN run ON run.id = run_id "
        "WHERE region = :region"
    )
    row = conn.execute(query, {"region": region}).one_or_none()
    return None if row is None else Holder(*row)


def running(conn: Connection) -> dict[str, Holder]:
    """The runs that have a region at this moment, by region."""
    query = text(
        "SELECT region, run_id, command, machine, process, taken_at FROM region_lock "
        "JOIN run ON run.id = run_id WHERE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "
        "AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = "
        "hashtextextended('lake region ' || region, 0)) ORDER BY region"
    )
    return {row.region: Holder(*row[1:]) for row in conn.execute(query)}


def _wait(conn: Connection, region: str, urgent: bool, waiting: Callable[[Holder | None], None]) -> None:
    """Take the session lock. An urgent run that waits holds the queue, which the others need to be free."""
    queued = False
    said = False
    try:
        while True:
            if urgent or _try(conn, _queue(region)):
                taken = _try(conn, _own(region))
                if not urgent:
                    _unlock(conn, _queue(region))
                if taken:
                    return
            if urgent and not queued:
                queued = _try(conn, _queue(region), shared=True)
            if not said:
                waiting(holder_of(conn, region))
                said = True
            time.sleep(POLL_SECONDS)
    finally:
        if queued:
            with suppress(DBAPIError):
                _unlock(conn, _queue(region), shared=True)


def _take(conn: Connection, region: str, run_id: UUID) -> int:
    """Record the holder, and return its token. Waits for a transaction of the last holder to end."""
    query = text(
        "INSERT INTO region_lock AS known (region, token, run_id, machine, process) "
        "VALUES (:region, 1, :run, :machine, :process) "
        "ON CONFLICT (region) DO UPDATE SET token = known.token + 1, run_id = excluded.run_id, "
        "machine = excluded.machine, process = excluded.process, taken_at = now() RETURNING token"
    )
    values = {"region": region, "run": run_id, "machine": socket.gethostname(), "process": os.getpid()}
    return int(conn.execute(query, values).scalar_one())


def _own(region: str) -> str:
    return f"lake region {region}"


def _queue(region: str) -> str:
    return f"lake queue {region}"


def _try(conn: Connection, name: str, *, shared: bool = False) -> bool:
    kind = "_shared" if shared else ""
    query = text(f"SELECT pg_try_advisory_lock{kind}(hashtextextended(:name, 0))")
    return bool(conn.execute(query, {"name": name}).scalar_one())


def _unlock(conn: Connection, name: str, *, shared: bool = False) -> None:
    kind = "_shared" if shared else ""
    conn.execute(text(f"SELECT pg_advisory_unlock{kind}(hashtextextended(:name, 0))"), {"name": name})
