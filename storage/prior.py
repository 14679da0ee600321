"""The order of surveys, and the surveys prior to each of them.

Identities of lakes are decided from prior surveys only. Surveys are ordered by season; within a season
inventories come before models, then by region and source. Surveys of an index come last and are prior only to
those of an index. The order does not depend on the time of arrival, so identities do not depend on it either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import geopandas as gpd
import pandas as pd
import shapely
from sqlalchemy import Connection, text

from storage.codes import SurveyKind
from storage.copying import read_frame, read_geoframe
from storage.policy import OPTICAL, SEEN_WHOLE

__all__ = ["PriorSurveys", "SurveyKey", "prior_digest", "prior_surveys"]


@dataclass(frozen=True)
class SurveyKey:
    """Key of a survey; the history has one current survey per key."""

    region: str
    season: int
    kind: SurveyKind
    source: str
    """Distinguishes inventories; a region and season have one survey of a model and one of an index."""

    @property
    def parameters(self) -> dict[str, object]:
        """The key as parameters of queries."""
        source = self.source if self.kind == SurveyKind.INVENTORY else ""
        return {"region": self.region, "season": self.season, "kind": self.kind.value, "source": source}


@dataclass(frozen=True)
class PriorSurveys:
    """Surveys prior to a survey, limited to its region. Outlines are in EPSG:4326."""

    observations: gpd.GeoDataFrame
    """Observations from which identities and changes are decided: for each lake the latest outline; of
    earlier seasons the latest outline, the latest observation as water or dry, and the latest that can be
    compared (`monitor.lakes.change.last_observations`); and all of the same season.
    Columns: lake_id, survey_id, season, kind, outcome, seen_share, area_m2, sigma_m2, first_day, last_day,
    counts (by a survey that counts for events), earlier (counts, and is of an earlier season), suspect (of a
    suspect season), reliable (seen whole, in a season that is not suspect), confirmed (of the lake: some
    prior survey saw its water by more than radar), geometry (None unless water)."""
    lineage: pd.DataFrame
    """Columns: season, kind, lake_id, other_lake_id."""
    superseded: gpd.GeoDataFrame
    """Outlines of superseded surveys, of lakes without a prior observation: lake_id, season, geometry. Used
    only for identities: a lake whose outline changes a little with a late scene keeps its identity."""
    older: Callable[[gpd.GeoSeries], gpd.GeoDataFrame]
    """Query for all prior outlines that may touch the given ones. Columns: lake_id, season, geometry."""


# `s` is prior to :region, :season, :kind, :source
_IS_PRIOR = """(
    s.superseded_by IS NULL AND s.region IN (SELECT name FROM near) AND CASE WHEN :kind = 'index'
    THEN (s.kind <> 'index' AND s.season <= :season)
        OR (s.kind = 'index' AND (s.season, s.region COLLATE "C") < (:season, :region))
    ELSE s.kind <> 'index' AND (s.season, s.kind COLLATE "C", s.region COLLATE "C",
        CASE WHEN s.kind = 'inventory' THEN s.source ELSE '' END COLLATE "C")
        < (:season, :kind, :region, :source) END
)"""
_NEAR = """near AS (
    SELECT CAST(:region AS text) AS name
    UNION
    SELECT b.name FROM region a JOIN region b ON ST_Intersects(a.geom, b.geom) WHERE a.name = :region
)"""
_PRIOR = f"""{_NEAR}, prior AS (
    SELECT s.id, s.region, s.season, s.kind, s.suspect FROM survey s WHERE {_IS_PRIOR}
)"""

_DIGEST = text(
    f"""
    WITH {_NEAR}
    SELECT coalesce(md5(string_agg(concat_ws('|', s.season, s.kind, s.region, s.source, s.inventory_id,
        coalesce(nullif(s.content_digest, ''), s.id::text)), E'\\n'
        ORDER BY s.season, s.kind, s.region COLLATE "C", s.source COLLATE "C")), 'nothing')
    FROM survey s WHERE {_IS_PRIOR}
    """
)

# A survey of an index takes identities from all prior surveys, but events only from those of an index. An
# outline is reliable if the lake was seen whole in a season that is not suspect; a reliable outline is
# preferred to a later fragment.
_OBSERVATIONS = text(
    f"""
    WITH {_PRIOR}, dated AS (
        SELECT prior.*, (prior.kind = 'index') = (:kind = 'index') AS counts,
            (prior.kind = 'index') = (:kind = 'index') AND prior.season < :season AS earlier
        FROM prior
    ), here AS (
        SELECT o.lake_id FROM dated JOIN lake_observation o ON o.survey_id = dated.id
        WHERE dated.region = :region
        UNION
        SELECT o.lake_id FROM dated JOIN lake_observation o ON o.survey_id = dated.id
        JOIN region r ON r.name = :region AND o.geom && r.geom
    ), observed AS (
        SELECT o.id, o.lake_id, o.survey_id, o.season, dated.kind, o.outcome, o.seen_share, o.area_m2,
            o.sigma_m2, o.first_day, o.last_day, dated.counts, dated.earlier,
            dated.suspect IS NOT NULL AS suspect,
            dated.suspect IS NULL AND coalesce(o.seen_share, 1) >= :seen_whole AS reliable,
            dated.earlier AND (o.outcome = 'dry' OR o.outcome = 'water' AND dated.suspect IS NULL
                AND coalesce(o.seen_share, 0) >= :seen_whole) AS comparable,
            o.outcome = 'water' AND coalesce(starts_with(o.sensors, :optical), true) AS optical
        FROM dated JOIN lake_observation o ON o.survey_id = dated.id
        WHERE dated.region = :region OR o.lake_id IN (SELECT lake_id FROM here)
    ), ordered AS (
        SELECT observed.*, row_number() OVER (PARTITION BY lake_id
            ORDER BY season DESC, outcome = 'dry', kind DESC, area_m2 DESC, survey_id) AS place
        FROM observed
    ), ranked AS (
        SELECT ordered.*,
            coalesce(min(place) FILTER (WHERE outcome = 'water' AND reliable) OVER lake,
                min(place) FILTER (WHERE outcome = 'water') OVER lake) AS latest,
            coalesce(min(place) FILTER (WHERE outcome = 'water' AND earlier AND reliable) OVER lake,
                min(place) FILTER (WHERE outcome = 'water' AND earlier) OVER lake) AS before,
            min(place) FILTER (WHERE outcome <> 'not observed' AND earlier) OVER lake AS answer,
            max(season) FILTER (WHERE comparable) OVER lake AS compared,
            bool_or(optical) OVER lake AS confirmed
        FROM ordered WINDOW lake AS (PARTITION BY lake_id)
    )
    SELECT ranked.lake_id, survey_id, season, kind, outcome, seen_share, ranked.area_m2, sigma_m2, first_day,
        last_day, counts, earlier, suspect, reliable, confirmed, ST_AsBinary(o.geom) AS geometry
    FROM ranked JOIN (SELECT id, geom FROM lake_observation) o USING (id)
    WHERE place IN (latest, before, answer) OR comparable AND season = compared OR season = :season
    """
)

_LINEAGE = text(
    f"""
    WITH {_PRIOR}
    SELECT e.season, e.kind, e.lake_id, e.other_lake_id
    FROM prior JOIN lake_lineage e ON e.survey_id = prior.id
    WHERE (prior.kind = 'index') = (:kind = 'index')
    ORDER BY e.season, e.kind, e.lake_id, e.other_lake_id
    """
)

# Identities come from the season in which a lake was first seen, and only from a survey that was superseded
# by one with other inputs; a survey that was replayed from the same inputs adds nothing.
_SUPERSEDED = text(
    f"""
    WITH {_PRIOR}
    SELECT DISTINCT ON (l.id) l.id AS lake_id, d.season, ST_AsBinary(o.geom) AS geometry
    FROM lake l
    JOIN lake_observation o ON o.lake_id = l.id AND o.geom IS NOT NULL
    JOIN survey d ON d.id = o.survey_id AND d.region = :region AND d.season <= :season
        AND (d.kind = 'index') = (:kind = 'index')
    LEFT JOIN survey n ON n.id = d.superseded_by
    WHERE l.region = :region AND d.id NOT IN (SELECT id FROM prior)
        AND (d.id = :replaced
            OR (n.digest, n.drawn_from, n.inventory_id) IS DISTINCT FROM (d.digest, d.drawn_from,
            d.inventory_id) AND n.id IS NOT NULL)
        AND NOT EXISTS (SELECT FROM lake_observation e WHERE e.lake_id = l.id AND e.season < d.season)
        AND NOT EXISTS (
            SELECT FROM lake_observation t JOIN prior ON prior.id = t.survey_id WHERE t.lake_id = l.id
        )
    ORDER BY l.id, d.season DESC, d.created_at DESC, d.id
    """
)

_OLDER = text(
    f"""
    WITH {_PRIOR}, box AS MATERIALIZED (SELECT ST_GeomFromWKB(unnest(CAST(:boxes AS bytea[])), 4326) AS geom)
    SELECT DISTINCT ON (o.season, o.lake_id, o.id) o.lake_id, o.season, ST_AsBinary(o.geom) AS geometry
    FROM box CROSS JOIN LATERAL (
        SELECT c.id, c.survey_id, c.lake_id, c.season, c.geom FROM lake_observation c WHERE c.geom && box.geom
        OFFSET 0 -- forces an index scan per box, independent of the planner's statistics
    ) AS o
    WHERE o.survey_id IN (SELECT id FROM prior)
    ORDER BY o.season DESC, o.lake_id, o.id
    """
)


def prior_digest(conn: Connection, key: SurveyKey) -> str:
    """Digest of the contents of all surveys prior to `key`, in its region and the regions that touch it.

    A survey that was recorded with another digest is stale, since its prior surveys have changed.
    """
    return str(conn.execute(_DIGEST, key.parameters).scalar_one())


def prior_surveys(conn: Connection, key: SurveyKey, replaced: UUID | None = None) -> PriorSurveys:
    """Return the surveys prior to `key`.

    Lakes of a neighbouring region's surveys are included where they reach into this region, so that a lake
    across the border has one identity.

    Args:
        replaced: the current survey of `key`, if the new one has other inputs.
    """
    parameters = key.parameters
    observations = read_geoframe(conn, _OBSERVATIONS, **parameters, seen_whole=SEEN_WHOLE, optical=OPTICAL)

    def older(outlines: gpd.GeoSeries) -> gpd.GeoDataFrame:
        boxes = list(shapely.to_wkb(shapely.envelope(outlines.to_numpy()))) if len(observations) else []
        return read_geoframe(conn, _OLDER, **parameters, boxes=boxes)

    return PriorSurveys(
        observations,
        read_frame(conn, _LINEAGE, **parameters),
        read_geoframe(conn, _SUPERSEDED, **parameters, replaced=replaced),
        older,
    )
