"""Find a lake by the beginning of its identity or code, and read its curve."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from monitor.errors import RefusedError
from monitor.report.curve.values import Curve, Event, Point, event_words

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class FoundLake:
    """A lake of current surveys."""

    lake_id: UUID
    code: str
    #: a sentence, if it was found by a former identity or code
    renamed: str | None = None


def find_lake(conn: Connection, like: str) -> FoundLake:
    """The one lake whose identity or code begins with `like`.

    Raises:
        RefusedError: no lake or several lakes match, or no current survey has the lake.
    """
    from storage.history import lakes
    from storage.trends import renamed

    found = lakes(conn, like=like)
    if len(found) == 1:
        return FoundLake(found.lake_id.iloc[0], found.code.iloc[0])
    if len(found) > 1:
        raise _several(like, list(zip(found.lake_id, found.code, strict=True)))
    old = renamed(conn, like)
    if not old:
        raise RefusedError(
            f"no lake's identity or code begins with {like!r}; `monitor lakes list` shows them"
        )
    now = {(one.now_lake_id, one.now_code) for one in old}
    if len(now) > 1:
        raise _several(like, [(one.lake_id, one.code) for one in old])
    ((lake_id, code),) = now
    if lake_id is None or code is None:
        raise RefusedError(
            f"no current survey has {old[0].code} ({old[0].lake_id}), "
            "nor another lake at its place; its superseded observations are in the table lake_observation"
        )
    was = ", ".join(f"{one.code} ({one.lake_id})" for one in old)
    return FoundLake(lake_id, code, f"{was} is now {code} ({lake_id})")


def _several(like: str, found: list[tuple[UUID, str]]) -> RefusedError:
    some = ", ".join(f"{lake_id} ({code})" for lake_id, code in found[:5])
    return RefusedError(f"{like!r} matches {len(found)} lakes; give more characters of one: {some}")


def read_curve(conn: Connection, lake_id: UUID, code: str) -> Curve:
    """Read the curve of a lake from the lake history."""
    from storage.copying import records
    from storage.simulated import lake_is_simulated
    from storage.trends import events_of, points_of, trend_of

    points = tuple(
        Point(
            season=r["season"],
            kind=r["kind"],
            source=r["source"],
            outcome=r["outcome"],
            reason=r["reason"],
            area_m2=0.0 if r["outcome"] == "dry" else r["area_m2"],
            low_m2=r["area_low_m2"],
            high_m2=r["area_high_m2"],
            seen_share=r["seen_share"],
            suspect=r["suspect"],
            shown=r["shown"],
            sensors=r["sensors"],
        )
        for r in records(points_of(conn, lake_id))
    )
    others: dict[tuple[int, str], list[str]] = defaultdict(list)
    for r in records(events_of(conn, lake_id)):
        others[r["season"], event_words(r["event"], mine=r["mine"])] += filter(None, [r["other_code"]])
    events = tuple(Event(season, words, tuple(codes)) for (season, words), codes in others.items())
    return Curve(
        lake_id, code, points, events, trend_of(conn, lake_id), simulated=lake_is_simulated(conn, lake_id)
    )


def trend_record(curve: Curve) -> dict[str, Any] | None:
    """The trend for scripts: slope and interval, square metres per year; None below three seasons."""
    return None if curve.trend is None else asdict(curve.trend)
