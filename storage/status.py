"""Status of all seasons for `monitor status`: one row per region, season and kind (index or other)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, text

from storage.codes import SurveyKind

__all__ = ["ReasonCount", "SeasonStatus", "seen_by", "status"]


@dataclass(frozen=True)
class ReasonCount:
    """Number of tasks that ended in a state for a reason."""

    state: str
    reason: str
    tasks: int


@dataclass(frozen=True)
class SeasonStatus:
    """A season of a region: its tasks, and its current survey if there is one.

    Tasks and survey of an index have a row of their own.
    """

    region: str
    season: int
    kind: SurveyKind
    """Kind of the survey, or of the tasks where there is no survey yet."""
    tasks: Mapping[str, int]
    """Number of tasks by state."""
    reasons: tuple[ReasonCount, ...]
    """Reasons of empty and failed tasks, most frequent first."""
    survey_id: UUID | None
    """Current survey of the model, else of an inventory; in the row of an index that of the index."""
    source: str | None
    surveyed_at: datetime | None
    lakes: int
    """Number of lakes with water in that survey."""
    not_observed: int
    """Number of known lakes that it did not observe."""
    last_seen: date | None
    """Last day on which any of its lakes was observed."""
    suspect: str | None
    """Why the losses of the season are not trusted; None if they are."""
    open_flags: int
    """Number of unexplained flags without a verdict."""


def status(conn: Connection, region: str | None = None) -> list[SeasonStatus]:
    """All seasons of all regions, or of one, that have tasks or a survey, ordered by region and season."""
    tasks: dict[tuple[str, int, bool], dict[str, int]] = {}
    reasons: dict[tuple[str, int, bool], list[ReasonCount]] = {}
    for row in conn.execute(_TASKS, {"region": region}):
        place = (row.region, row.season, row.by_index)
        counts = tasks.setdefault(place, {})
        counts[row.state] = counts.get(row.state, 0) + row.tasks
        if row.reason is not None and row.state in ("empty", "failed"):
            reasons.setdefault(place, []).append(ReasonCount(row.state, row.reason, row.tasks))
    surveys = {
        (row.region, row.season, row.by_index): row for row in conn.execute(_SURVEYS, {"region": region})
    }
    found = []
    for place in sorted(tasks.keys() | surveys.keys()):
        survey = surveys.get(place)
        found.append(
            SeasonStatus(
                region=place[0],
                season=place[1],
                kind=SurveyKind(survey.kind) if survey else _UNSURVEYED[place[2]],
                tasks=tasks.get(place, {}),
                reasons=tuple(reasons.get(place, ())),
                survey_id=survey.id if survey else None,
                source=survey.source if survey else None,
                surveyed_at=survey.created_at if survey else None,
                lakes=survey.lakes if survey else 0,
                not_observed=survey.not_observed if survey else 0,
                last_seen=survey.last_seen if survey else None,
                suspect=survey.suspect if survey else None,
                open_flags=survey.open_flags if survey else 0,
            )
        )
    return found


def seen_by(conn: Connection, region: str, season: int, kind: SurveyKind) -> dict[str, int]:
    """Number of lakes with water in the current survey, by the sensors from which they were mapped; lakes
    without a name of sensors are left out."""
    query = text(
        """
        SELECT o.sensors, count(*) FROM survey s JOIN lake_observation o ON o.survey_id = s.id
        WHERE s.superseded_by IS NULL AND s.region = :region AND s.season = :season AND s.kind = :kind
            AND o.outcome = 'water' AND o.sensors IS NOT NULL
        GROUP BY o.sensors ORDER BY count(*) DESC, o.sensors
        """
    )
    rows = conn.execute(query, {"region": region, "season": season, "kind": kind.value})
    return dict(map(tuple, rows))


_UNSURVEYED = {False: SurveyKind.MODEL, True: SurveyKind.INDEX}

_TASKS = text(
    """
    SELECT region, season, kind = 'index' AS by_index, state, reason, count(*) AS tasks FROM task
    WHERE region = coalesce(CAST(:region AS text), region)
    GROUP BY region, season, kind, state, reason ORDER BY tasks DESC, reason
    """
)

_SURVEYS = text(
    """
    SELECT DISTINCT ON (s.region, s.season, by_index) s.region, s.season, s.kind = 'index' AS by_index,
        s.kind, s.id, s.source, s.created_at, s.suspect, seen.lakes, seen.not_observed, seen.last_seen,
        flags.open_flags
    FROM survey s
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE outcome = 'water') AS lakes,
            count(*) FILTER (WHERE outcome = 'not observed') AS not_observed, max(last_day) AS last_seen
        FROM lake_observation WHERE survey_id = s.id
    ) AS seen
    CROSS JOIN LATERAL (
        SELECT count(*) AS open_flags FROM review_queue
        WHERE survey_id = s.id AND verdict IS NULL AND NOT explained
    ) AS flags
    WHERE s.superseded_by IS NULL AND s.region = coalesce(CAST(:region AS text), s.region)
    ORDER BY s.region, s.season, by_index, s.kind = 'inventory', s.source
    """
)
