"""Current content of the lake history, to compare histories that were built in different orders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from storage.database import Database

CURRENT = {
    "lakes": "SELECT DISTINCT lake_id, code FROM lake_area_history",
    "surveys": "SELECT id, region, season, kind, source, content_digest, suspect FROM survey "
    "WHERE superseded_by IS NULL",
    "observations": "SELECT o.id, o.lake_id, s.region, o.season, s.kind, o.outcome, o.reason, "
    "md5(ST_AsBinary(o.geom)), o.area_m2, o.sigma_m2, o.seen_share, o.elevation_m, o.glacier_m, o.label, "
    "o.attributes::text FROM lake_observation o JOIN survey s ON s.id = o.survey_id "
    "WHERE s.superseded_by IS NULL",
    "lineage": "SELECT region, season, event, lake_id, other_lake_id, survey_kind FROM lake_events",
    "changes": "SELECT region, season_from, season_to, lake_id, verdict, change_m2, detection_limit_m2, "
    "suspect FROM lake_change_yearly",
    "flags": "SELECT f.id, f.kind, f.lake_id, f.score FROM review_flag f JOIN survey s ON s.id = f.survey_id "
    "WHERE s.superseded_by IS NULL",
}


def current_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return all current rows of each table, sorted."""
    with database.connect() as conn:
        return {
            name: sorted((tuple(row) for row in conn.execute(text(query))), key=repr)
            for name, query in CURRENT.items()
        }
