"""Changes between two seasons of the lake history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.errors import RefusedError
from monitor.lakes.change import compare
from storage.codes import TRUSTED, SurveyKind
from storage.history import lineage, observations_of, surveys

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection


def changes_between(conn: Connection, region: str, start: int, end: int) -> pd.DataFrame:
    """`monitor.lakes.change.compare` of two seasons of a region, with the code of each lake.

    Raises:
        RefusedError: a season has no survey, or one season was surveyed by an index only and the other by a
            model or an inventory.
    """
    seasons = seasons_of(conn, region)
    if missing := [season for season in (start, end) if season not in seasons]:
        known = ", ".join(str(season) for season in sorted(seasons)) or "none"
        raise RefusedError(f"{region} has no survey of {', '.join(map(str, missing))}; it has {known}")
    if seasons[start] != seasons[end]:
        index, other = sorted((start, end), key=lambda season: seasons[season], reverse=True)
        raise RefusedError(
            f"{region}: {index} was surveyed by an index only, {other} by a model or an inventory; "
            f"these are not compared. Run {index} with a model"
        )
    before, after = (observations_of(conn, region, season).set_index("lake_id") for season in (start, end))
    events = lineage(conn, region, kinds=[SurveyKind.INDEX] if seasons[start] else TRUSTED)
    between = events[(events.season > start) & (events.season <= end)]
    changes = compare(before, after, between)
    changes.insert(0, "code", before.code.reindex(changes.index).fillna(after.code.reindex(changes.index)))
    return changes


def seasons_of(conn: Connection, region: str) -> dict[int, bool]:
    """Seasons with a current survey, and whether all their current surveys are by an index."""
    known = surveys(conn, region)
    by_index = known[known.current].kind == SurveyKind.INDEX
    return {int(str(season)): bool(only) for season, only in by_index.groupby(known.season).all().items()}


def suspect_seasons(conn: Connection, region: str, *seasons: int) -> dict[int, str]:
    """The suspect ones of `seasons`, with the reason."""
    known = surveys(conn, region)
    suspect = known[known.current & known.season.isin(seasons) & known.suspect.notna()]
    return dict(zip(suspect.season, suspect.suspect, strict=True))
