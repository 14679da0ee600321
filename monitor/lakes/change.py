"""Change of a lake's area since an earlier observation, and its significance.

The same rules in SQL are in `alembic/sql/since/lake_change.sql`; a test verifies that both agree.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from storage.codes import LineageKind, Outcome, SurveyKind
from storage.policy import DRAINAGE_LOSS, SEEN_WHOLE, Z95


class Verdict(StrEnum):
    """Verdict on a change of area. "Not observed" is not a change."""

    GROWN = "grown"
    SHRUNK = "shrunk"
    SAME = "no significant change"
    NEW = "new"
    DRAINED = "drained"
    #: split from a larger lake since
    SPLIT = "split off"
    #: merged into a larger lake since
    MERGED = "merged"
    NOT_OBSERVED = "not observed"


def last_observations(observations: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """The observation of each lake with which the next one is compared, however long ago it was.

    This is the latest observation of the lake as dry, or as seen whole in a season that is not suspect; if
    there is none, the latest as water. Lakes that have merged into another since are left out.

    Args:
        observations: of earlier seasons: lake_id, survey_id, season, kind, outcome, seen_share, suspect.
        lineage: season, kind and lake_id of the lineage events before the compared season.

    Returns:
        The rows of `observations`, indexed by lake_id, at most one per lake.
    """
    seen = observations[observations.outcome.isin([Outcome.WATER, Outcome.DRY])]
    whole = (seen.seen_share.astype(float) >= SEEN_WHOLE) & ~seen.suspect.astype(bool)
    ranked = seen.assign(
        comparable=(seen.outcome == Outcome.DRY) | whole,
        published=seen.kind == SurveyKind.INVENTORY,
        share=seen.seen_share.astype(float),
        survey=seen.survey_id.astype(str),
    ).sort_values(
        ["comparable", "season", "published", "share", "survey"], ascending=[False, False, True, False, True]
    )
    rows = ranked.drop_duplicates("lake_id").set_index("lake_id")[seen.columns.drop("lake_id")]
    merged = lineage[lineage.kind == LineageKind.MERGED].groupby("lake_id", sort=False).season.max()
    ended = merged.reindex(rows.index).astype(float) > rows.season.astype(float)
    last: pd.DataFrame = rows[~ended.to_numpy(bool)]
    return last


def compare(before: pd.DataFrame, after: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Change of every lake that has an observation before or after.

    The same water is compared: the area of a lake that split off since counts for the lake from which it
    split, and the earlier area of a lake that merged since counts for the lake into which it merged. The
    verdicts `SPLIT` and `MERGED` therefore have no change of their own.

    Args:
        before: observations indexed by lake_id with season, outcome, area_m2, sigma_m2, seen_share; their
            seasons may differ.
        after: observations of the compared season, with the same columns except season.
        lineage: season, kind, lake_id and other_lake_id of lineage events up to the compared season. For each
            lake, those after the season of its earlier observation count.

    Returns:
        frame indexed by lake_id: area_before_m2, area_after_m2 (NaN when not observed, 0 when dry),
        change_m2, sigma_m2 and detection_limit_m2 (95 %) of the change, change_percent, verdict.
    """
    lakes = before.index.union(after.index)
    first, second = (frame.reindex(lakes) for frame in (before, after))
    since = first.season.astype(float).fillna(-np.inf)
    events = lineage[lineage.season.to_numpy() > since.reindex(lineage.lake_id).fillna(-np.inf).to_numpy()]
    appeared, split, merged = (
        lakes.isin(events.lake_id[events.kind.isin(kinds)])
        for kinds in (
            [LineageKind.NEW, LineageKind.REAPPEARED],
            [LineageKind.SPLIT],
            [LineageKind.MERGED],
        )
    )
    b = _area(second)
    # of a lake that was seen in part, and is dry now, at least that part has drained
    a = _area(first).mask((first.outcome == Outcome.WATER) & (b == 0), first.area_m2.astype(float))
    a = a.mask(appeared & a.isna(), 0.0)
    variance = first.sigma_m2.astype(float).fillna(0.0) ** 2 + second.sigma_m2.astype(float).fillna(0.0) ** 2
    wet = second.outcome == Outcome.WATER
    split_off, merged_into = split & a.isna() & wet, merged & b.isna()
    parts, added = _parts(lineage, since, second), _merged(lineage, since, first, b)
    b = b + parts.area.reindex(lakes).where(lakes.isin(parts.index), 0.0)
    a = a + added.area.reindex(lakes).fillna(0.0)
    for extra in (parts, added):
        variance = variance + extra.variance.reindex(lakes).fillna(0.0)
    change = b - a
    sigma = variance**0.5
    limit = Z95 * sigma
    cases: list[tuple[Any, Verdict]] = [
        (split_off, Verdict.SPLIT),
        (merged_into, Verdict.MERGED),
        (a.isna() | b.isna(), Verdict.NOT_OBSERVED),
        ((a == 0) & wet, Verdict.NEW),
        ((a > 0) & (b == 0), Verdict.DRAINED),
        (change > limit, Verdict.GROWN),
        (change < -limit, Verdict.SHRUNK),
    ]
    verdict = np.select(
        [np.asarray(case) for case, _ in cases], [value.value for _, value in cases], Verdict.SAME.value
    )
    return pd.DataFrame(
        {
            "area_before_m2": a,
            "area_after_m2": b,
            "change_m2": change,
            "sigma_m2": sigma.where(change.notna()),
            "detection_limit_m2": limit.where(change.notna()),
            "change_percent": 100 * change / a.where(a > 0),
            "verdict": verdict,
        },
        index=lakes,
    )


def is_loss(changes: pd.DataFrame) -> pd.Series:
    """Whether each lake drained, or lost more than `DRAINAGE_LOSS` of its area beyond the error.

    Args:
        changes: as from `compare`.
    """
    shrunk = (changes.verdict == Verdict.SHRUNK) & (changes.change_percent < -100 * DRAINAGE_LOSS)
    return (changes.verdict == Verdict.DRAINED) | shrunk & (-changes.change_m2 > changes.detection_limit_m2)


def _parts(lineage: pd.DataFrame, since: pd.Series, after: pd.DataFrame) -> pd.DataFrame:
    """Area and variance, for each lake, of the lakes that split from it since; NaN if one was not observed.

    A part that was observed before it split off, and one that has merged again, do not count.
    """
    events = _latest(lineage, LineageKind.SPLIT)
    born, parent = events.season.to_numpy(), since.reindex(events.other_lake_id).fillna(-np.inf).to_numpy()
    own = since.reindex(events.lake_id).fillna(-np.inf).to_numpy()
    merged = lineage[lineage.kind == LineageKind.MERGED].groupby("lake_id", sort=False).season.max()
    again = merged.reindex(events.lake_id).fillna(-np.inf).to_numpy() >= born
    gone = again & after.outcome.reindex(events.lake_id).isna().to_numpy()
    events = events[(born > parent) & ((own >= born) | np.isneginf(own)) & ~gone]
    return _sum(events, _area(after), after.sigma_m2)


def _merged(lineage: pd.DataFrame, since: pd.Series, before: pd.DataFrame, after: pd.Series) -> pd.DataFrame:
    """Earlier area and variance, for each lake, of the lakes that merged into it since, as far as seen."""
    events = _latest(lineage, LineageKind.MERGED)
    joined, into = events.season.to_numpy(), since.reindex(events.other_lake_id).fillna(-np.inf).to_numpy()
    own = since.reindex(events.lake_id).fillna(np.inf).to_numpy()
    apart = after.reindex(events.lake_id).notna().to_numpy()
    events = events[(joined > into) & (own < joined) & ~apart]
    area = before.area_m2.astype(float).where(before.outcome == Outcome.WATER, 0.0)
    return _sum(events, area, before.sigma_m2)


def _latest(lineage: pd.DataFrame, kind: LineageKind) -> pd.DataFrame:
    """The latest event of each pair of lakes; several surveys of a season may have the same."""
    events = lineage[lineage.kind == kind].sort_values("season", ascending=False, kind="stable")
    return events.drop_duplicates(["lake_id", "other_lake_id"])


def _sum(events: pd.DataFrame, area: pd.Series, sigma: pd.Series) -> pd.DataFrame:
    values = pd.DataFrame(
        {
            "other": events.other_lake_id.to_numpy(),
            "area": area.reindex(events.lake_id).to_numpy(float),
            "variance": sigma.astype(float).reindex(events.lake_id).fillna(0.0).to_numpy() ** 2,
        }
    )
    groups = values.groupby("other", sort=False)
    return pd.DataFrame({"area": groups.area.sum(min_count=1), "variance": groups.variance.sum()}).assign(
        area=lambda sums: sums.area.where(groups.area.count() == groups.size())
    )


def _area(observations: pd.DataFrame) -> pd.Series:
    """Comparable area: 0 where dry, NaN where the lake was not observed or not seen whole."""
    whole = (observations.outcome == Outcome.WATER) & (observations.seen_share.astype(float) >= SEEN_WHOLE)
    area = observations.area_m2.astype(float).where(whole)
    return area.mask(observations.outcome == Outcome.DRY, 0.0)
