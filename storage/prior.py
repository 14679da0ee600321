"""The one order of surveys, and what is prior to each of them.

Which lake is which is decided from prior surveys only: earlier seasons, and of the same season inventories
before the system's own, then regions and sources by name. An index's surveys come last and are prior only to
those of an index. The order does not depend on when a survey arrived, so neither do identities.
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
from storage.policy import SEEN_WHOLE

__all__ = ["PriorSurveys", "SurveyKey", "prior_digest", "prior_surveys"]


@dataclass(frozen=True)
class SurveyKey:
    """What a survey is of; the history has one current survey for each key."""

    region: str
    season: int
    kind: SurveyKind
    source: str
    """Of an inventory; a region and season have one model's and one index's survey, whatever the source."""

    @property
    def parameters(self) -> dict[str, object]:
        """For queries."""
        source = self.source if self.kind == SurveyKind.INVENTORY else ""
        return {"region": self.region, "season": self.season, "kind": self.kind.value, "source": source}


@dataclass(frozen=True)
class PriorSurveys:
    """Surveys prior to one, as far as they concern its region. Outlines in EPSG:4326."""

    observations: gpd.GeoDataFrame
    """What identities and changes are decided from: of each lake the latest outline, the latest outline of an
    earlier season, the latest answer of an earlier season, and all of the season it is compared with.
    Columns: lake_id, survey_id, season, kind, outcome, seen_share, area_m2, sigma_m2, earlier (of an earlier
    season, by a survey that decides what happened), reliable (seen whole, in a season that is not suspect),
    geometry (None unless water)."""
    lineage: pd.DataFrame
    """season, kind, lake_id, other_lake_id."""
    superseded: gpd.GeoDataFrame
    """lake_id, season, geometry: outlines of superseded surveys, of lakes that no prior survey has. They only
    give identities: a lake that a late scene draws a little differently keeps its own."""
    older: Callable[[gpd.GeoSeries], gpd.GeoDataFrame]
    """Every prior outline that may touch one of those given: lake_id, season, geometry. Read when called."""


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

# An index takes identities from all prior surveys, but decides what happened to lakes from its own only. An
# outline is reliable that was seen whole in a season that is not suspect; it says more of a lake than a later
# fragment.
_OBSERVATIONS = text(
    f"""
    WITH {_PRIOR}, dated AS (
        SELECT prior.*, (prior.kind = 'index') = (:kind = 'index') AND prior.season < :season AS earlier
        FROM prior
    ), here AS (
        SELECT o.lake_id FROM dated JOIN lake_observation o ON o.survey_id = dated.id
        WHERE dated.region = :region
        UNION
        SELECT o.lake_id FROM dated JOIN lake_observation o ON o.survey_id = dated.id
        JOIN region r ON r.name = :region AND o.geom && r.geom
    ), observed AS (
        SELECT o.id, o.lake_id, o.survey_id, o.season, dated.kind, o.outcome, o.seen_share, o.area_m2,
            o.sigma_m2, dated.earlier,
            dated.suspect IS NULL AND coalesce(o.seen_share, 1) >= :seen_whole AS reliable
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
            min(place) FILTER (WHERE outcome <> 'not observed' AND earlier) OVER lake AS answer
        FROM ordered WINDOW lake AS (PARTITION BY lake_id)
    )
    SELECT ranked.lake_id, survey_id, season, kind, outcome, seen_share, ranked.area_m2, sigma_m2, earlier,
        reliable, ST_AsBinary(o.geom) AS geometry
    FROM ranked JOIN (SELECT id, geom FROM lake_observation) o USING (id)
    WHERE place IN (latest, before, answer) OR season = :compared
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

# Identities come from where a lake was first seen, and only from a survey that was superseded by one of other
# inputs: one that was replayed after other surveys has nothing to add.
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
        OFFSET 0 -- a look into the index for each box, whatever the planner assumes of the table
    ) AS o
    WHERE o.survey_id IN (SELECT id FROM prior)
    ORDER BY o.season DESC, o.lake_id, o.id
    """
)


def prior_digest(conn: Connection, key: SurveyKey) -> str:
    """Digest of the contents of all surveys prior to `key`, in its region and those that touch it.

    A survey that was recorded with another digest is stale: it was matched with other surveys than these.
    """
    return str(conn.execute(_DIGEST, key.parameters).scalar_one())


def prior_surveys(
    conn: Connection, key: SurveyKey, compared: int | None = None, replaced: UUID | None = None
) -> PriorSurveys:
    """The surveys prior to `key`.

    Lakes of a neighbouring region's surveys are included where they reach into this region, so that a lake
    across the border stays one.

    Args:
        compared: a season all of whose observations are wanted.
        replaced: the current survey of `key`, if the new one is drawn from other inputs.
    """
    parameters = key.parameters
    observations = read_geoframe(
        conn,
        _OBSERVATIONS,
        **parameters,
        compared=-1 if compared is None else compared,
        seen_whole=SEEN_WHOLE,
    )

    def older(outlines: gpd.GeoSeries) -> gpd.GeoDataFrame:
        boxes = list(shapely.to_wkb(shapely.envelope(outlines.to_numpy()))) if len(observations) else []
        return read_geoframe(conn, _OLDER, **parameters, boxes=boxes)

    return PriorSurveys(
        observations,
        read_frame(conn, _LINEAGE, **parameters),
        read_geoframe(conn, _SUPERSEDED, **parameters, replaced=replaced),
        older,
    )
