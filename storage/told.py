"""The one order in which surveys are told, and what was told before each of them.

Who is who in a survey is decided from those told before it: earlier seasons, and of the same season
inventories before the system's own, then regions and sources by name. An index's surveys come last and are
told to nobody but an index. The order does not depend on when a survey arrived, so neither do identities.
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

#: share of a lake's place from which on it counts as seen whole
SEEN_WHOLE = 0.9

__all__ = ["SEEN_WHOLE", "Place", "Told", "basis_of", "told_before"]


@dataclass(frozen=True)
class Place:
    """Where a survey stands in the history; one survey stands there at a time."""

    region: str
    season: int
    kind: SurveyKind
    source: str
    """Of an inventory; there is one model's and one index's survey of a region and season."""

    @property
    def parameters(self) -> dict[str, object]:
        source = self.source if self.kind == SurveyKind.INVENTORY else ""
        return {"region": self.region, "season": self.season, "kind": self.kind.value, "source": source}


@dataclass(frozen=True)
class Told:
    """What was told before a survey, as far as it concerns the survey's region. Outlines in EPSG:4326."""

    observations: gpd.GeoDataFrame
    """What says who is who and what became of it: of each lake the latest outline, the latest outline of an
    earlier season, the latest answer of an earlier season, and all that the survey compares itself with.
    Columns: lake_id, survey_id, season, kind, outcome, seen_share, area_m2, sigma_m2, earlier (of an earlier
    season, by a survey whose word on what happened counts), sound (seen whole, in a season that is not
    suspect), geometry (None unless water)."""
    lineage: pd.DataFrame
    """season, kind, lake_id, other_lake_id."""
    forgotten: gpd.GeoDataFrame
    """lake_id, season, geometry: outlines that superseded surveys named, of lakes that no survey told before
    names. They only give names: a lake drawn a little differently by a late scene keeps its own."""
    older: Callable[[gpd.GeoSeries], gpd.GeoDataFrame]
    """Every outline told before that may touch one of those given: lake_id, season, geometry."""


# `s` is told before :region, :season, :kind, :source
_BEFORE = """(
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
_TOLD = f"""{_NEAR}, told AS (
    SELECT s.id, s.region, s.season, s.kind, s.suspect FROM survey s WHERE {_BEFORE}
)"""

_BASIS = text(
    f"""
    WITH {_NEAR}
    SELECT coalesce(md5(string_agg(concat_ws('|', s.season, s.kind, s.region, s.source, s.inventory_id,
        coalesce(nullif(s.content, ''), s.id::text)), E'\\n'
        ORDER BY s.season, s.kind, s.region COLLATE "C", s.source COLLATE "C")), 'nothing')
    FROM survey s WHERE {_BEFORE}
    """
)

# An index learns from all who is who, but tells what became of lakes from its own surveys only. An outline is
# sound that was seen whole in a season that can be believed; such a one says more of a lake than a later
# scrap.
_OBSERVATIONS = text(
    f"""
    WITH {_TOLD}, heard AS (
        SELECT told.*, (told.kind = 'index') = (:kind = 'index') AND told.season < :season AS earlier
        FROM told
    ), here AS (
        SELECT o.lake_id FROM heard JOIN lake_observation o ON o.survey_id = heard.id
        WHERE heard.region = :region
        UNION
        SELECT o.lake_id FROM heard JOIN lake_observation o ON o.survey_id = heard.id
        JOIN region r ON r.name = :region AND o.geom && r.geom
    ), said AS (
        SELECT o.id, o.lake_id, o.survey_id, o.season, heard.kind, o.outcome, o.seen_share, o.area_m2,
            o.sigma_m2, heard.earlier,
            heard.suspect IS NULL AND coalesce(o.seen_share, 1) >= {SEEN_WHOLE} AS sound
        FROM heard JOIN lake_observation o ON o.survey_id = heard.id
        WHERE heard.region = :region OR o.lake_id IN (SELECT lake_id FROM here)
    ), ordered AS (
        SELECT said.*, row_number() OVER (PARTITION BY lake_id
            ORDER BY season DESC, outcome = 'dry', kind DESC, area_m2 DESC, survey_id) AS place
        FROM said
    ), ranked AS (
        SELECT ordered.*,
            coalesce(min(place) FILTER (WHERE outcome = 'water' AND sound) OVER lake,
                min(place) FILTER (WHERE outcome = 'water') OVER lake) AS latest,
            coalesce(min(place) FILTER (WHERE outcome = 'water' AND earlier AND sound) OVER lake,
                min(place) FILTER (WHERE outcome = 'water' AND earlier) OVER lake) AS before,
            min(place) FILTER (WHERE outcome <> 'not observed' AND earlier) OVER lake AS answer
        FROM ordered WINDOW lake AS (PARTITION BY lake_id)
    )
    SELECT ranked.lake_id, survey_id, season, kind, outcome, seen_share, ranked.area_m2, sigma_m2, earlier,
        sound, ST_AsBinary(o.geom) AS geometry
    FROM ranked JOIN (SELECT id, geom FROM lake_observation) o USING (id)
    WHERE place IN (latest, before, answer) OR season = :compared
    """
)

_LINEAGE = text(
    f"""
    WITH {_TOLD}
    SELECT e.season, e.kind, e.lake_id, e.other_lake_id
    FROM told JOIN lake_lineage e ON e.survey_id = told.id
    WHERE (told.kind = 'index') = (:kind = 'index')
    ORDER BY e.season, e.kind, e.lake_id, e.other_lake_id
    """
)

# Names come from where a lake was first seen, and only from a drawing that another one replaced: one that was
# told again after other surveys has nothing to say any more.
_FORGOTTEN = text(
    f"""
    WITH {_TOLD}
    SELECT DISTINCT ON (l.id) l.id AS lake_id, d.season, ST_AsBinary(o.geom) AS geometry
    FROM lake l
    JOIN lake_observation o ON o.lake_id = l.id AND o.geom IS NOT NULL
    JOIN survey d ON d.id = o.survey_id AND d.region = :region AND d.season <= :season
        AND (d.kind = 'index') = (:kind = 'index')
    LEFT JOIN survey n ON n.id = d.superseded_by
    WHERE l.region = :region AND d.id NOT IN (SELECT id FROM told)
        AND (d.id = :replaced
            OR (n.digest, n.drawn_from, n.inventory_id) IS DISTINCT FROM (d.digest, d.drawn_from,
            d.inventory_id) AND n.id IS NOT NULL)
        AND NOT EXISTS (SELECT FROM lake_observation e WHERE e.lake_id = l.id AND e.season < d.season)
        AND NOT EXISTS (
            SELECT FROM lake_observation t JOIN told ON told.id = t.survey_id WHERE t.lake_id = l.id
        )
    ORDER BY l.id, d.season DESC, d.created_at DESC, d.id
    """
)

_OLDER = text(
    f"""
    WITH {_TOLD}, box AS MATERIALIZED (SELECT ST_GeomFromWKB(unnest(CAST(:boxes AS bytea[])), 4326) AS geom)
    SELECT DISTINCT ON (o.season, o.lake_id, o.id) o.lake_id, o.season, ST_AsBinary(o.geom) AS geometry
    FROM box CROSS JOIN LATERAL (
        SELECT c.id, c.survey_id, c.lake_id, c.season, c.geom FROM lake_observation c WHERE c.geom && box.geom
        OFFSET 0 -- a look into the index for each box, whatever the planner knows of the table
    ) AS o
    WHERE o.survey_id IN (SELECT id FROM told)
    ORDER BY o.season DESC, o.lake_id, o.id
    """
)


def basis_of(conn: Connection, place: Place) -> str:
    """Digest of the contents of all surveys told before `place` in its region and those that touch it.

    A survey whose own `basis` is another was told from something else and has to be told again.
    """
    return str(conn.execute(_BASIS, place.parameters).scalar_one())


def told_before(
    conn: Connection, place: Place, compared: int | None = None, replaced: UUID | None = None
) -> Told:
    """What was told before `place`.

    Lakes of a neighbouring region's surveys are included where they reach into this region, so that a lake
    across the border stays one. `compared`: a season all of whose observations are wanted. `replaced`: the
    survey that stands there now, if what is to be told was drawn from something else.
    """
    parameters = place.parameters
    observations = read_geoframe(
        conn, _OBSERVATIONS, **parameters, compared=-1 if compared is None else compared
    )

    def older(outlines: gpd.GeoSeries) -> gpd.GeoDataFrame:
        boxes = list(shapely.to_wkb(shapely.envelope(outlines.to_numpy()))) if len(observations) else []
        return read_geoframe(conn, _OLDER, **parameters, boxes=boxes)

    return Told(
        observations,
        read_frame(conn, _LINEAGE, **parameters),
        read_geoframe(conn, _FORGOTTEN, **parameters, replaced=replaced),
        older,
    )
