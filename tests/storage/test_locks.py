"""Locks of regions, taken by real processes that wait, are killed, or lose their connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from storage import ledger
from storage.database import Database
from storage.locks import Holder, LockLostError, holder_of, region_lock, running

SOON = 20.0
HOLD = """
import sys
from uuid import UUID
from storage.database import Database
from storage.locks import region_lock
with region_lock(Database(sys.argv[1]), sys.argv[2], UUID(sys.argv[3])) as lock:
    print(lock.token, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run_of(database: Database) -> Callable[[str], UUID]:
    def start(command: str) -> UUID:
        with database.begin() as conn:
            return ledger.start_run(conn, command, {})

    return start


@contextmanager
def held(database: Database, region: str, run_id: UUID) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds a region, and its token."""
    command = [sys.executable, "-c", HOLD, database.url, region, str(run_id)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def end_sessions(database: Database, pid: int) -> None:
    """End the connections of the process that holds a region, as a broken network does."""
    with database.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def holding(database: Database) -> list[int]:
    """Server processes with a session lock."""
    query = text(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with database.connect() as conn:
        return list(conn.execute(query).scalars())


def test_a_second_run_waits_and_learns_who_has_the_region(
    database: Database, run_of: Callable[[str], UUID]
) -> None:
    first, second = run_of("backfill --years 2017-2023"), run_of("run --season 2024")
    told: list[Holder | None] = []
    taken = threading.Event()

    def wait() -> None:
        with region_lock(database, "pamir", second, waiting=told.append) as lock:
            assert lock.token == token + 1
            taken.set()

    with held(database, "pamir", first) as (process, token):
        waiter = threading.Thread(target=wait)
        waiter.start()
        with region_lock(database, "karakoram", second) as other:
            assert other.token == 1, "another region is free"
        time.sleep(1)
        assert not taken.is_set()
        with database.connect() as conn:
            assert {name: one.run_id for name, one in running(conn).items()} == {"pamir": first}
        process.communicate("", timeout=SOON)
        assert taken.wait(SOON)
        waiter.join()
    (holder,) = told
    assert holder is not None and holder.process == process.pid
    assert str(holder).startswith("monitor backfill --years 2017-2023 (process ")
    with database.connect() as conn:
        last = holder_of(conn, "pamir")
        assert running(conn) == {}
    assert last is not None and last.run_id == second and last.process == os.getpid()


def test_the_region_of_a_killed_run_is_free(database: Database, run_of: Callable[[str], UUID]) -> None:
    with held(database, "pamir", run_of("run")) as (process, token):
        process.send_signal(signal.SIGKILL)
        process.wait()
        with region_lock(database, "pamir", run_of("run")) as lock, lock.begin() as conn:
            assert lock.token == token + 1
            assert conn.execute(text("SELECT count(*) FROM region_lock")).scalar_one() == 1


def test_the_late_write_of_a_run_that_lost_its_lock_is_refused(
    database: Database, run_of: Callable[[str], UUID]
) -> None:
    slow, fast = run_of("backfill --years 2017"), run_of("run --season 2024")
    write = text("UPDATE run SET counts = '{\"late\": 1}' WHERE id = :id")
    with region_lock(database, "pamir", slow) as lost:
        with lost.begin() as conn:
            conn.execute(write, {"id": slow})
        (session,) = holding(database)
        end_sessions(database, session)
        with lost.begin() as conn:  # nobody has the region yet, so the run goes on
            conn.execute(text("SELECT 1"))
        refused = pytest.raises(LockLostError, match="taken over by monitor run --season 2024")
        with region_lock(database, "pamir", fast), refused, lost.begin() as conn:
            conn.execute(write, {"id": fast})
    with database.connect() as conn:
        counts = conn.execute(text("SELECT counts FROM run WHERE id = :id"), {"id": fast}).scalar_one()
    assert counts == {}


def test_a_transaction_that_has_begun_ends_before_another_run_takes_the_region(
    database: Database, run_of: Callable[[str], UUID]
) -> None:
    slow, fast = run_of("backfill --years 2017"), run_of("run")
    taken = threading.Event()

    def take() -> None:
        with region_lock(database, "pamir", fast):
            taken.set()

    with region_lock(database, "pamir", slow) as lost:
        with lost.begin():
            (session,) = (pid for pid in holding(database))
            end_sessions(database, session)
            thread = threading.Thread(target=take)
            thread.start()
            assert not taken.wait(2)
        assert taken.wait(SOON)
        thread.join()


def test_an_urgent_run_goes_before_one_that_is_not(database: Database, run_of: Callable[[str], UUID]) -> None:
    """A backfill of several seasons leaves the region to a night between two of them."""
    order: list[str] = []
    waits = threading.Event()

    def night() -> None:
        with region_lock(database, "pamir", run_of("schedule"), waiting=lambda _: waits.set()):
            order.append("night")

    def backfill() -> None:
        run = run_of("backfill --years 2017-2019")
        for year in (2017, 2018, 2019):
            with region_lock(database, "pamir", run, urgent=False):
                order.append(str(year))
                if year == 2017:
                    thread.start()
                    assert waits.wait(SOON)
                    time.sleep(0.5)  # it is in the queue

    thread = threading.Thread(target=night)
    backfill()
    thread.join()
    assert order == ["2017", "night", "2018", "2019"]


def test_commits_are_made_by_one_process_at_a_time(database: Database) -> None:
    inside: list[int] = []
    most: list[int] = []

    def commit() -> None:
        with database.alone("lake cube"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
