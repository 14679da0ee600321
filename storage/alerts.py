"""Alerts: conditions that need a person. Each is sent once, and ends when its cause has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from storage.errors import StorageError
from storage.redaction import redacted
from storage.tables import Alert

__all__ = ["AlertRow", "Condition", "acknowledge", "alerts", "bring_up_to_date", "mark_sent", "unsent"]


@dataclass(frozen=True)
class Condition:
    """Something that needs a person."""

    key: str
    """The same for the same condition, however often it is found."""
    kind: str
    """Such as "season incomplete"."""
    message: str
    remedy: str
    """What to do, or where the evidence is."""


@dataclass(frozen=True)
class AlertRow:
    """An alert in the database."""

    id: UUID
    kind: str
    message: str
    remedy: str
    raised_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ended_at: datetime | None

    @property
    def short_id(self) -> str:
        """The first characters of the id, which commands take."""
        return str(self.id)[:8]

    @property
    def state(self) -> str:
        """Whether it stands, and who has acknowledged it."""
        if self.ended_at is not None:
            return "ended"
        return "open" if self.acknowledged_by is None else f"acknowledged by {self.acknowledged_by}"


def bring_up_to_date(conn: Connection, regions: Collection[str], found: Sequence[Condition]) -> None:
    """Raise new conditions, and end the alerts of a workspace (by its regions) that are no longer found."""
    names = sorted(regions)
    end = text(
        "UPDATE alert SET ended_at = now() WHERE ended_at IS NULL AND regions = CAST(:regions AS text[]) "
        "AND key <> ALL(CAST(:keys AS text[]))"
    )
    conn.execute(end, {"regions": names, "keys": [condition.key for condition in found]})
    for condition in found:
        statement = insert(Alert).values(
            id=uuid4(),
            key=condition.key,
            regions=names,
            kind=condition.kind,
            message=redacted(condition.message),
            remedy=condition.remedy,
        )
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=["key"],
                index_where=text("ended_at IS NULL"),
                set_={"message": statement.excluded.message, "remedy": statement.excluded.remedy},
            )
        )


def alerts(conn: Connection, *, ended: bool = False) -> list[AlertRow]:
    """The standing alerts, or all of them, the latest first."""
    columns = [getattr(Alert, name) for name in AlertRow.__dataclass_fields__]
    query = select(*columns).order_by(Alert.raised_at.desc(), Alert.kind, Alert.message)
    if not ended:
        query = query.where(Alert.ended_at.is_(None))
    return [AlertRow(*row) for row in conn.execute(query)]


def unsent(conn: Connection, regions: Collection[str]) -> list[AlertRow]:
    """The standing alerts of a workspace that were neither sent nor acknowledged."""
    query = text("SELECT id FROM alert WHERE regions = CAST(:regions AS text[])")
    own = set(conn.execute(query, {"regions": sorted(regions)}).scalars())
    return [row for row in alerts(conn) if row.id in own and not (row.sent_at or row.acknowledged_at)]


def mark_sent(conn: Connection, ids: Collection[UUID]) -> None:
    """Record that alerts were sent."""
    conn.execute(text("UPDATE alert SET sent_at = now() WHERE id = ANY(:ids)"), {"ids": list(ids)})


def acknowledge(conn: Connection, start: str, by: str) -> AlertRow:
    """Record that a person has seen the standing alert whose id begins with `start`.

    Raises:
        StorageError: no alert or several begin so, or it was acknowledged already.
    """
    found = [row for row in alerts(conn) if start and str(row.id).startswith(start.lower())]
    if len(found) != 1:
        many = "No standing alert begins" if not found else f"{len(found)} standing alerts begin"
        raise StorageError(f"{many} with {start!r}; `monitor alerts list` shows them.")
    (row,) = found
    if row.acknowledged_by is not None:
        raise StorageError(f"Alert {row.short_id} was acknowledged by {row.acknowledged_by} already.")
    values = {"acknowledged_at": text("now()"), "acknowledged_by": by}
    conn.execute(update(Alert).where(Alert.id == row.id).values(values))
    return row
