"""Review queue: flags to be inspected by people, and their verdicts. Verdicts are append-only."""

from __future__ import annotations

from uuid import UUID

import geopandas as gpd
import pandas as pd
from sqlalchemy import Connection, text

from storage.codes import VerdictKind
from storage.copying import read_frame, read_geoframe
from storage.errors import StorageError

__all__ = ["add_verdict", "queue", "verdicts"]


def queue(
    conn: Connection, region: str | None = None, season: int | None = None, *, open_only: bool = True
) -> gpd.GeoDataFrame:
    """Flags of current surveys, unexplained ones first, then by score; with `open_only` those without
    verdict.

    Columns: flag_id, survey_id, region, season, survey_kind, tile, lake_id, lake_code, kind, explained,
    score, detail, created_at, verdict, by, note, at (None while open), geometry (chip footprint, EPSG:4326).
    """
    query = text(
        """
        SELECT flag_id, survey_id, region, season, survey_kind, tile, lake_id, lake_code, kind, explained,
            score, detail, created_at, verdict, "by", note, at, ST_AsBinary(geom) AS geometry
        FROM review_queue
        WHERE region = coalesce(CAST(:region AS text), region) AND season = coalesce(:season, season)
            AND (NOT :open_only OR verdict IS NULL)
        ORDER BY explained, score DESC, flag_id
        """
    )
    return read_geoframe(conn, query, region=region, season=season, open_only=open_only)


def add_verdict(conn: Connection, flag_id: UUID, verdict: VerdictKind, *, by: str, note: str = "") -> None:
    """Add a person's verdict; the latest one counts.

    Raises StorageError for an unknown flag or an empty `by`.
    """
    if not by:
        raise StorageError(f"The verdict on flag {flag_id} has no author; name the person who judges.")
    added = conn.execute(
        text(
            "INSERT INTO review_verdict (flag_id, verdict, by, note) "
            "SELECT id, :verdict, :by, :note FROM review_flag WHERE id = :flag"
        ),
        {"flag": flag_id, "verdict": verdict.value, "by": by, "note": note},
    )
    if added.rowcount == 0:
        raise StorageError(f"There is no review flag {flag_id}. `monitor review list` shows the open ones.")


def verdicts(conn: Connection, flag_id: UUID) -> pd.DataFrame:
    """All verdicts on a flag, in order: verdict, by, note, at."""
    query = text('SELECT verdict, "by", note, at FROM review_verdict WHERE flag_id = :flag ORDER BY id')
    return read_frame(conn, query, flag=flag_id)
