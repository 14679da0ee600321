"""Queries for the area curve of one lake: observations, robust trend, events and present identity."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pandas as pd
from sqlalchemy import Connection, text

from storage.copying import read_frame
from storage.history import AREA
from storage.policy import SEEN_WHOLE, Z95

__all__ = ["Renamed", "Trend", "events_of", "points_of", "renamed", "trend_of"]


@dataclass(frozen=True)
class Trend:
    """Row of the view `lake_trend` for one lake, and a point on its line. Areas in square metres."""

    seasons: int
    first_season: int
    last_season: int
    slope_m2_per_year: float
    slope_low_m2_per_year: float | None
    """Lower end of the 95 % interval; None with fewer than four seasons."""
    slope_high_m2_per_year: float | None
    middle_season: float
    """Median of the seasons used."""
    middle_area_m2: float
    """Median of their areas; the line passes through both medians, as in scipy.stats.theilslopes."""

    @property
    def span(self) -> range:
        """Seasons after the first one used, up to the last."""
        return range(self.first_season + 1, self.last_season + 1)

    def area_m2(self, season: float, slope_m2_per_year: float | None = None) -> float:
        """Area of the line at a season; `slope_m2_per_year` replaces the slope, about the same point."""
        slope = self.slope_m2_per_year if slope_m2_per_year is None else slope_m2_per_year
        return self.middle_area_m2 + slope * (season - self.middle_season)


@dataclass(frozen=True)
class Renamed:
    """An identity without current observations, and the lake that is now at its place, if there is one."""

    lake_id: UUID
    code: str
    now_lake_id: UUID | None
    now_code: str | None


def trend_of(conn: Connection, lake_id: UUID) -> Trend | None:
    """Theil-Sen trend of the lake's area; None with fewer than three seasons seen whole."""
    query = text(
        """
        SELECT t.seasons, t.first_season, t.last_season, t.slope_m2_per_year, t.slope_low_m2_per_year,
            t.slope_high_m2_per_year, p.middle_season, p.middle_area_m2
        FROM lake_trend t
        CROSS JOIN (
            SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY season) AS middle_season,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN outcome = 'dry' THEN 0 ELSE area_m2 END)
                    AS middle_area_m2
            FROM lake_area_history
            WHERE lake_id = :lake AND suspect IS NULL
                AND (outcome = 'dry' OR outcome = 'water' AND seen_share >= :seen_whole)
        ) AS p
        WHERE t.lake_id = :lake
        """
    )
    row = conn.execute(query, {"lake": lake_id, "seen_whole": SEEN_WHOLE}).one_or_none()
    return None if row is None else Trend(**row._mapping)


def points_of(conn: Connection, lake_id: UUID) -> pd.DataFrame:
    """All current observations of one lake by season, several where surveys of a season observed it.

    Columns: season, kind, source, outcome, reason, area_m2, area_low_m2, area_high_m2 (95 %), seen_share,
    suspect (why the survey's losses are not trusted), sensors, shown (whether it is the row of
    `lake_area_history`).
    """
    query = text(
        f"""
        SELECT o.season, s.kind, s.source, o.outcome, o.reason, {AREA}, o.seen_share, s.suspect,
            o.sensors, coalesce(o.id = h.observation_id, false) AS shown
        FROM lake_observation o
        JOIN survey s ON s.id = o.survey_id
        LEFT JOIN (SELECT observation_id, season FROM lake_area_history WHERE lake_id = :lake) AS h
            ON h.season = o.season
        WHERE o.lake_id = :lake AND s.superseded_by IS NULL
        ORDER BY o.season, s.kind DESC, s.source
        """
    )
    return read_frame(conn, query, lake=lake_id, z95=Z95)


def events_of(conn: Connection, lake_id: UUID) -> pd.DataFrame:
    """Lineage events of the lake in current surveys.

    Columns: season, event, mine (whether the lake is the event's `lake_id`, not its `other_lake_id`),
    other_code (code of the other lake, if any).
    """
    query = text(
        """
        SELECT DISTINCT season, event, lake_id = :lake AS mine,
            CASE WHEN lake_id = :lake THEN other_code ELSE code END AS other_code
        FROM lake_events
        WHERE lake_id = :lake OR other_lake_id = :lake
        ORDER BY season, event, mine, other_code
        """
    )
    return read_frame(conn, query, lake=lake_id)


def renamed(conn: Connection, like: str) -> list[Renamed]:
    """Identities without current observations whose id or code begins with `like`."""
    query = text(
        """
        SELECT old.id AS lake_id, old.code, r.now_lake_id, now.code AS now_code
        FROM lake old
        LEFT JOIN lake_renamed r ON r.lake_id = old.id
        LEFT JOIN lake now ON now.id = r.now_lake_id
        WHERE (starts_with(old.id::text, lower(:like)) OR starts_with(old.code, upper(:like)))
            AND NOT EXISTS (
                SELECT FROM lake_observation o JOIN survey s ON s.id = o.survey_id
                WHERE o.lake_id = old.id AND s.superseded_by IS NULL
            )
        ORDER BY old.code, old.id
        """
    )
    return [Renamed(**row._mapping) for row in conn.execute(query, {"like": like})]
