"""Scheduled runs: one for each region and day of its schedule, whichever scheduler starts it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, func, text, update
from sqlalchemy.dialects.postgresql import insert

from storage.codes import RunOutcome
from storage.tables import Night

__all__ = ["LastNight", "begin", "end", "last_nights"]


@dataclass(frozen=True)
class LastNight:
    """The last scheduled run of a region that has ended."""

    day: date
    season: int
    final: bool
    """It was the last one of its season."""
    done: bool


def last_nights(conn: Connection) -> dict[str, LastNight]:
    """The last scheduled run of each region that has ended; one that was killed has not."""
    query = text(
        "SELECT DISTINCT ON (region) region, day, season, final, outcome FROM night "
        "WHERE finished_at IS NOT NULL ORDER BY region, day DESC, season DESC"
    )
    return {
        row.region: LastNight(row.day, row.season, row.final, row.outcome == RunOutcome.DONE)
        for row in conn.execute(query)
    }


def begin(conn: Connection, region: str, day: date, season: int, *, final: bool, run_id: UUID) -> bool:
    """Record the start of a scheduled run; False if it has been done. One that was killed begins again.

    Only the holder of the region's lock may call this.
    """
    statement = insert(Night).values(region=region, day=day, season=season, final=final, run_id=run_id)
    again = statement.on_conflict_do_update(
        index_elements=["region", "day", "season"],
        set_={"run_id": run_id, "final": final, "started_at": func.clock_timestamp()},
        where=text("night.finished_at IS NULL"),
    )
    return conn.execute(again.returning(Night.region)).one_or_none() is not None


def end(conn: Connection, region: str, day: date, season: int, outcome: RunOutcome) -> None:
    """Record the outcome of a scheduled run."""
    mine = update(Night).where(Night.region == region, Night.day == day, Night.season == season)
    conn.execute(mine.values(outcome=outcome.value, finished_at=func.clock_timestamp()))
