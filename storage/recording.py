"""Record a survey in the lake history, by COPY in one transaction; the earlier survey becomes superseded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import UUID, uuid5

import geopandas as gpd
import pandas as pd
from sqlalchemy import Connection, Table, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from storage import ledger
from storage.copying import copy_frame
from storage.errors import StorageError
from storage.history import Survey, lock
from storage.tables import Lake, LakeLineage, LakeObservation, ReviewFlag

__all__ = ["record_survey"]

_NEW_PRIOR = text(
    "UPDATE survey SET prior_digest = :prior_digest WHERE id = :id AND prior_digest <> :prior_digest"
)
_NEW_SURVEY = text(
    """
    INSERT INTO survey (id, region, season, kind, source, digest, run_id, model_digest, inventory_id,
        drawn_from, content_digest, prior_digest, suspect)
    VALUES (:id, :region, :season, :kind, :source, :digest, :run_id,
        CASE WHEN :kind <> 'inventory' THEN (SELECT digest FROM model WHERE digest = :digest) END,
        :inventory_id, :drawn_from, :content_digest, :prior_digest, :suspect)
    """
).bindparams(bindparam("drawn_from", type_=JSONB))


def record_survey(
    conn: Connection,
    survey: Survey,
    observations: gpd.GeoDataFrame,
    *,
    lakes: pd.DataFrame,
    lineage: pd.DataFrame,
    flags: gpd.GeoDataFrame | None = None,
    done_tasks: Sequence[UUID] = (),
) -> bool:
    """Write a survey with its lakes, lineage, flags and tasks in the transaction of the caller.

    observations: lake_id, outcome, reason (required unless water), geometry ((Multi)Polygon, None unless
    water), and any of id, sigma_m2, sigma_shore_m2, sigma_model_m2, perimeter_m, seen_share, first_day,
    last_day, probability, elevation_m, glacier_m, task_key, label, attributes (dict), sensors.
    lakes: id, code of the new ones. lineage: kind, lake_id, other_lake_id.
    flags: kind, explained, score, geometry (Polygon), and any of id, tile, lake_id, detail (dict).
    done_tasks: keys that become done with this survey; finished tasks that they replace become superseded.

    The earlier current survey of this region, season and kind (for inventories: and source) is superseded.
    Returns False, and changes nothing but `prior_digest` and the tasks, when this survey is current already;
    a superseded survey becomes current again. Raises StorageError when the database refuses a row; the
    transaction is then rolled back.
    """
    lock(conn)
    known = conn.execute(
        text("SELECT superseded_by FROM survey WHERE id = :id"), {"id": survey.id}
    ).one_or_none()
    if known is not None and known.superseded_by is None:
        conn.execute(_NEW_PRIOR, {"id": survey.id, "prior_digest": survey.prior_digest})
        ledger.complete(conn, done_tasks, survey.id)
        return False
    _make_current(conn, survey, known_already=known is not None)
    if known is None:
        copy_frame(conn, _table(Lake), _with(lakes, region=survey.region), skip_known=True)
        copy_frame(conn, _table(LakeObservation), _observation_rows(survey, observations))
        copy_frame(conn, _table(LakeLineage), _with(lineage, survey_id=survey.id, season=survey.season))
        if flags is not None:
            copy_frame(conn, _table(ReviewFlag), _flag_rows(survey, flags))
    ledger.complete(conn, done_tasks, survey.id)
    return True


def _table(entity: type[Lake | LakeObservation | LakeLineage | ReviewFlag]) -> Table:
    return cast(Table, entity.__table__)


def _make_current(conn: Connection, survey: Survey, *, known_already: bool) -> None:
    """Supersede the current survey of the same key by this one."""
    row = {
        "id": survey.id,
        "region": survey.region,
        "season": survey.season,
        "kind": survey.kind.value,
        "source": survey.source,
        "digest": survey.digest,
        "run_id": survey.run_id,
        "inventory_id": survey.inventory_id,
        "drawn_from": dict(survey.drawn_from),
        "content_digest": survey.content_digest,
        "prior_digest": survey.prior_digest,
        "suspect": survey.suspect,
    }
    supersede = text(
        "UPDATE survey SET superseded_by = :id WHERE region = :region AND season = :season AND kind = :kind "
        "AND (kind <> 'inventory' OR source = :source) AND superseded_by IS NULL"
    )
    conn.execute(supersede, row)
    if known_already:
        conn.execute(text("UPDATE survey SET superseded_by = NULL WHERE id = :id"), row)
        conn.execute(_NEW_PRIOR, row)
        return
    conn.execute(_NEW_SURVEY, row)


def _observation_rows(survey: Survey, observations: gpd.GeoDataFrame) -> pd.DataFrame:
    rows = _degrees(observations, "observations")
    ids = [uuid5(survey.id, str(lake)) for lake in rows["lake_id"]]
    return _with(rows, survey_id=survey.id, season=survey.season, **({} if "id" in rows else {"id": ids}))


def _flag_rows(survey: Survey, flags: gpd.GeoDataFrame) -> pd.DataFrame:
    rows = _degrees(flags, "flags")
    ids = [uuid5(survey.id, f"flag {number}") for number in range(len(rows))]
    return _with(rows, survey_id=survey.id, **({} if "id" in rows else {"id": ids}))


def _with(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """The frame with added columns: a list has a value per row, any other value is the same in all rows."""
    added = {
        name: pd.Series(value if isinstance(value, list) else [value] * len(frame), frame.index, dtype=object)
        for name, value in columns.items()
    }
    return frame.assign(**added)


def _degrees(frame: gpd.GeoDataFrame, what: str) -> pd.DataFrame:
    """The frame with its geometry as column `geom`. Raises StorageError for a CRS other than EPSG:4326."""
    if len(frame) and (frame.crs is None or frame.crs.to_epsg() != 4326):
        raise StorageError(
            f"The {what} are in {frame.crs or 'no CRS'}; convert them to EPSG:4326 (to_crs(4326))."
        )
    plain = pd.DataFrame(frame)
    return plain.rename(columns={frame.active_geometry_name or "geometry": "geom"})
