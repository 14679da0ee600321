"""Queries of the lake history: surveys, lakes, observations and lineage.

Frames are in EPSG:4326, areas in geodesic square metres. Rows are never rewritten: a later survey of the same
region, season and kind supersedes the earlier one, whose rows stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import geopandas as gpd
import pandas as pd
from sqlalchemy import Connection, text

from storage.codes import TRUSTED, SurveyKind
from storage.copying import read_frame, read_geoframe
from storage.policy import PREFERENCE, Z95
from storage.prior import SurveyKey

__all__ = [
    "AREA",
    "Survey",
    "current_survey",
    "history",
    "lakes",
    "last_outlines",
    "lineage",
    "lineage_of",
    "lock",
    "make_stale",
    "observations_of",
    "outlines_of",
    "seasons_before",
    "survey_keys",
    "surveys",
]

#: a digest that no prior surveys have
_WRITTEN_AGAIN = "layers written again"
# columns of an area, its standard deviation with both parts, and its 95 % interval, not below 0; :z95 is Z95
# of `storage.policy`
AREA = """o.area_m2, o.sigma_m2, o.sigma_shore_m2, o.sigma_model_m2,
    CASE WHEN o.area_m2 < :z95 * o.sigma_m2 THEN 0 ELSE o.area_m2 - :z95 * o.sigma_m2 END AS area_low_m2,
    o.area_m2 + :z95 * o.sigma_m2 AS area_high_m2"""


@dataclass(frozen=True)
class Survey:
    """A map of a region's lakes in one season, made by this system or imported from an inventory."""

    id: UUID
    """Derived from the inputs and the rows, so that repeating a survey gives the same id."""
    region: str
    season: int
    kind: SurveyKind
    source: str
    """Model name and version, or the inventory's name."""
    digest: str
    """Digest of the model or the inventory's file."""
    run_id: UUID | None = None
    drawn_from: Mapping[str, str | None] = field(default_factory=dict)
    """Key of each tile's task, None where it was not done; empty for an inventory."""
    inventory_id: UUID | None = None
    content_digest: str = ""
    """Digest of all its rows."""
    prior_digest: str = ""
    """Digest of the surveys that it was matched with (`storage.prior.prior_digest`)."""
    suspect: str | None = None
    """Why its losses are not trusted; None if they are."""

    @property
    def written_again(self) -> bool:
        """Whether layers that it was drawn from were written again (`make_stale`)."""
        return self.prior_digest == _WRITTEN_AGAIN

    @property
    def key(self) -> SurveyKey:
        return SurveyKey(self.region, self.season, self.kind, self.source)


def lock(conn: Connection) -> None:
    """Exclude other transactions from matching and recording until this one ends.

    Call it before `storage.prior.prior_surveys`.
    """
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('lake history'))"))


def survey_keys(conn: Connection) -> list[SurveyKey]:
    """Keys of all current surveys, in the order of `storage.prior`."""
    query = text(
        """
        SELECT region, season, kind, source FROM survey WHERE superseded_by IS NULL
        ORDER BY kind = 'index', season, kind, region COLLATE "C", source COLLATE "C"
        """
    )
    rows = conn.execute(query)
    return [SurveyKey(row.region, row.season, SurveyKind(row.kind), row.source) for row in rows]


def current_survey(conn: Connection, key: SurveyKey) -> Survey | None:
    """The current survey of a key, None if there is none."""
    query = text(
        """
        SELECT id, region, season, kind, source, digest, run_id, drawn_from, inventory_id, content_digest,
            prior_digest, suspect
        FROM survey
        WHERE superseded_by IS NULL AND region = :region AND season = :season AND kind = :kind
            AND (kind <> 'inventory' OR source = :source)
        """
    )
    row = conn.execute(query, key.parameters).mappings().one_or_none()
    return None if row is None else Survey(**{**row, "kind": SurveyKind(row["kind"])})


def make_stale(conn: Connection, tile: str, task: UUID) -> None:
    """Make the current surveys stale that used this tile of a task, since its layers were written again.

    These are the survey that was drawn from it, and the later ones of its region and kind, which are compared
    with it. A stale survey is drafted again, and superseded only if it differs.
    """
    query = text(
        """
        UPDATE survey AS stale SET prior_digest = :again FROM survey AS drawn
        WHERE drawn.superseded_by IS NULL AND stale.superseded_by IS NULL
            AND drawn.drawn_from ->> :tile = :task
            AND (stale.region, stale.kind) = (drawn.region, drawn.kind)
            AND (stale.id = drawn.id OR stale.season > drawn.season)
        """
    )
    conn.execute(query, {"tile": tile, "task": str(task), "again": _WRITTEN_AGAIN})


def seasons_before(conn: Connection, key: SurveyKey) -> list[int]:
    """The seasons before that of `key` with a current survey of its region and kind that is not suspect,
    the latest first."""
    query = text(
        "SELECT DISTINCT season FROM survey WHERE superseded_by IS NULL AND suspect IS NULL "
        "AND region = :region AND kind = :kind AND season < :season ORDER BY season DESC"
    )
    return list(conn.execute(query, key.parameters).scalars())


def outlines_of(conn: Connection, survey_id: UUID) -> gpd.GeoDataFrame:
    """The outlines of a survey with all columns that `record_survey` takes."""
    query = text(
        """
        SELECT lake_id, outcome, reason, sigma_m2, sigma_shore_m2, sigma_model_m2, perimeter_m, seen_share,
            first_day, last_day, probability, elevation_m, glacier_m, task_key, label, attributes, sensors,
            ST_AsBinary(geom) AS geometry
        FROM lake_observation WHERE survey_id = :survey AND outcome = 'water'
        """
    )
    return read_geoframe(conn, query, survey=survey_id)


def tag_of(region: str, season: int, survey_id: UUID | str) -> str:
    """The tag of a survey's layers in the cube; `Cube.tag_again` numbers layers that are written again."""
    return f"{region}-{season}-{survey_id}"


def surveys(conn: Connection, region: str | None = None) -> pd.DataFrame:
    """All surveys, superseded ones included.

    Columns: id, region, season, kind, source, digest, run_id, superseded_by, created_at, suspect, current.
    """
    query = text(
        "SELECT id, region, season, kind, source, digest, run_id, superseded_by, created_at, suspect, "
        "superseded_by IS NULL AS current FROM survey "
        "WHERE region = coalesce(CAST(:region AS text), region) ORDER BY region, season, kind, "
        "source, created_at"
    )
    return read_frame(conn, query, region=region)


def observations_of(
    conn: Connection, region: str, season: int, kind: SurveyKind | None = None
) -> gpd.GeoDataFrame:
    """Current observations of a region and season, one row per lake; a model's before an inventory's.

    Those of an index are included only where the region and season have no other survey, or with `kind`
    INDEX.
    Columns: those of the view `lake_area_history`, with `geometry` in place of geom.
    """
    query = text(
        f"""
        SELECT DISTINCT ON (o.lake_id) o.id AS observation_id, o.lake_id, l.code, o.survey_id, s.region,
            o.season, s.kind, s.source, o.outcome, o.reason, {AREA}, o.perimeter_m,
            o.seen_share, o.first_day, o.last_day, o.probability, o.elevation_m, o.sensors,
            ST_AsBinary(o.geom) AS geometry
        FROM survey s JOIN lake_observation o ON o.survey_id = s.id JOIN lake l ON l.id = o.lake_id
        WHERE s.region = :region AND s.season = :season AND s.superseded_by IS NULL
            AND CASE WHEN CAST(:kind AS text) IS NULL THEN s.id IN (SELECT id FROM survey_shown)
                ELSE s.kind = CAST(:kind AS text) END
        ORDER BY o.lake_id, {PREFERENCE}
        """
    )
    return read_geoframe(conn, query, region=region, season=season, kind=kind and kind.value, z95=Z95)


def history(
    conn: Connection, lake_id: UUID, kinds: Collection[SurveyKind] = tuple(SurveyKind)
) -> pd.DataFrame:
    """All current observations of a lake by surveys of these kinds, ordered by season, one row per survey.

    Columns: season, kind, source, region, outcome, reason, area_m2, sigma_m2, sigma_shore_m2, sigma_model_m2,
    area_low_m2, area_high_m2 (95 %), seen_share, first_day, last_day, probability, elevation_m, sensors,
    survey_id.
    """
    query = text(
        f"""
        SELECT o.season, s.kind, s.source, s.region, o.outcome, o.reason, {AREA}, o.seen_share,
            o.first_day, o.last_day, o.probability, o.elevation_m, o.sensors, o.survey_id
        FROM lake_observation o JOIN survey s ON s.id = o.survey_id
        WHERE o.lake_id = :lake AND s.superseded_by IS NULL AND s.kind = ANY(:kinds)
        ORDER BY o.season, s.kind DESC, s.source
        """
    )
    return read_frame(conn, query, lake=lake_id, kinds=[kind.value for kind in kinds], z95=Z95)


def lakes(conn: Connection, region: str | None = None, like: str | None = None) -> pd.DataFrame:
    """Lakes with a current observation, largest first; `like` is the beginning of an id or of a code.

    Columns: lake_id, code, region, first_season, last_season, seasons (number with water), outcome and
    outcome_season (the latest answer, water or dry), and of the latest season with water (area_season)
    area_m2, area_low_m2, area_high_m2 (95 %), sensors and kind of the survey.
    """
    latest = ", ".join(
        f"(array_agg(c.{column} ORDER BY c.season DESC) FILTER (WHERE c.outcome {which}))[1] AS {name}"
        for column, name, which in (
            ("outcome", "outcome", "<> 'not observed'"),
            ("season", "outcome_season", "<> 'not observed'"),
            ("season", "area_season", "= 'water'"),
            *(
                (name, name, "= 'water'")
                for name in ("area_m2", "area_low_m2", "area_high_m2", "sensors", "kind")
            ),
        )
    )
    query = text(
        f"""
        SELECT l.id AS lake_id, l.code, l.region, min(c.season) AS first_season, max(c.season) AS last_season,
            count(*) FILTER (WHERE c.outcome = 'water') AS seasons, {latest}
        FROM lake l JOIN lake_area_history c ON c.lake_id = l.id
        WHERE l.region = coalesce(CAST(:region AS text), l.region)
            AND (CAST(:like AS text) IS NULL OR starts_with(l.id::text, lower(:like))
                OR starts_with(l.code, upper(:like)))
        GROUP BY l.id ORDER BY area_m2 DESC NULLS LAST, l.id
        """
    )
    return read_frame(conn, query, region=region, like=like)


def last_outlines(conn: Connection, region: str, kinds: Collection[SurveyKind] = TRUSTED) -> gpd.GeoDataFrame:
    """The last outline of each lake in current surveys of a region and these kinds.

    Columns: lake_id, code, season, sensors, geometry.
    """
    query = text(
        """
        SELECT DISTINCT ON (o.lake_id) o.lake_id, l.code, o.season, o.sensors, ST_AsBinary(o.geom) AS geometry
        FROM survey s JOIN lake_observation o ON o.survey_id = s.id JOIN lake l ON l.id = o.lake_id
        WHERE s.region = :region AND s.superseded_by IS NULL AND s.kind = ANY(:kinds) AND o.outcome = 'water'
        ORDER BY o.lake_id, o.season DESC, s.kind DESC, o.area_m2 DESC, s.id
        """
    )
    return read_geoframe(conn, query, region=region, kinds=[kind.value for kind in kinds])


def lineage(
    conn: Connection, region: str, season: int | None = None, kinds: Collection[SurveyKind] = TRUSTED
) -> pd.DataFrame:
    """Lineage events of current surveys of these kinds.

    Columns: season, kind, lake_id, code, other_lake_id, survey_id, survey_kind, source.
    """
    query = text(
        """
        SELECT e.season, e.kind, e.lake_id, l.code, e.other_lake_id, e.survey_id, s.kind AS survey_kind,
            s.source
        FROM lake_lineage e JOIN survey s ON s.id = e.survey_id JOIN lake l ON l.id = e.lake_id
        WHERE s.region = :region AND s.superseded_by IS NULL AND e.season = coalesce(:season, e.season)
            AND s.kind = ANY(:kinds)
        ORDER BY e.season, e.kind, e.lake_id, e.other_lake_id
        """
    )
    return read_frame(conn, query, region=region, season=season, kinds=[kind.value for kind in kinds])


def lineage_of(conn: Connection, lake_id: UUID) -> pd.DataFrame:
    """Lineage events of current surveys with this lake as `lake_id` or `other_lake_id`."""
    query = text(
        """
        SELECT e.season, e.kind, e.lake_id, e.other_lake_id, e.survey_id, s.kind AS survey_kind, s.source
        FROM lake_lineage e JOIN survey s ON s.id = e.survey_id
        WHERE s.superseded_by IS NULL AND (e.lake_id = :lake OR e.other_lake_id = :lake)
        ORDER BY e.season, e.kind, e.lake_id
        """
    )
    return read_frame(conn, query, lake=lake_id)
