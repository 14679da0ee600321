"""What `monitor lakes history` shows of one lake: who it is, its values from the history, its curve."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from monitor.console import out, records
from monitor.curve.values import Curve, Event, Point, event_words
from monitor.errors import RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection


def find_lake(conn: Connection, like: str) -> tuple[UUID, str, str | None]:
    """Identity and code of the one lake that `like` begins, and a sentence if it was called otherwise.

    Raises:
        RefusedError: none or several begin so, or the one has left no trace in any current survey.
    """
    from storage.history import lakes
    from storage.trends import renamed

    found = lakes(conn, like=like)
    if len(found) == 1:
        return found.lake_id.iloc[0], found.code.iloc[0], None
    if len(found) > 1:
        raise _several(like, [(r["lake_id"], r["code"]) for r in records(found)])
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
            f"no current survey knows {old[0].code} ({old[0].lake_id}) any more, "
            "nor any lake on its place; its superseded observations are in the table lake_observation"
        )
    was = ", ".join(f"{one.code} ({one.lake_id})" for one in old)
    return lake_id, code, f"{was} is now {code} ({lake_id})"


def _several(like: str, found: list[tuple[UUID, str]]) -> RefusedError:
    some = ", ".join(f"{lake_id} ({code})" for lake_id, code in found[:5])
    return RefusedError(f"{like!r} fits {len(found)} lakes; write more of one: {some}")


def read_curve(conn: Connection, lake_id: UUID, code: str) -> Curve:
    """The curve of a lake as the lake history holds it."""
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
        )
        for r in records(points_of(conn, lake_id))
    )
    told: dict[tuple[int, str], list[str]] = defaultdict(list)
    for r in records(events_of(conn, lake_id)):
        told[r["season"], event_words(r["event"], mine=r["mine"])] += filter(None, [r["other_code"]])
    events = tuple(Event(season, words, tuple(codes)) for (season, words), codes in told.items())
    return Curve(lake_id, code, points, events, trend_of(conn, lake_id))


def say_trend(curve: Curve) -> dict[str, Any] | None:
    """The trend for scripts: slope and its interval in square metres a year; None below three seasons."""
    return None if curve.trend is None else asdict(curve.trend)


def show_curve(curve: Curve, renamed: str | None) -> None:
    """The curve on the output stream, as wide as that is, in letters it has."""
    from monitor.curve.terminal import draw_curve

    if renamed is not None:
        out.print(renamed, style="yellow", highlight=False)
    out.print(draw_curve(curve, out.width, ascii_only=out.options.ascii_only), soft_wrap=True)
    out.print()


def write_picture(curve: Curve, path: Path) -> None:
    """The curve as a file for a report.

    Raises:
        RefusedError: neither .png nor .svg, or no place to write it.
    """
    from monitor.curve.picture import SUFFIXES, save_curve

    if path.suffix.lower() not in SUFFIXES:
        raise RefusedError(f"--picture {path}: a picture is a {' or a '.join(SUFFIXES)}")
    try:
        save_curve(curve, path)
    except OSError as error:
        raise RefusedError(f"--picture {path} cannot be written: {error.strerror or error}") from error
