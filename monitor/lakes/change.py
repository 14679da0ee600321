"""Change of a lake's area between two seasons, and its significance."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from storage.codes import LineageKind, Outcome
from storage.policy import SEEN_WHOLE, Z95


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


def compare(before: pd.DataFrame, after: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Change of every lake that has an observation in either season.

    Args:
        before, after: observations indexed by lake_id with outcome, area_m2, sigma_m2, seen_share.
        lineage: kind and lake_id of the lineage events after the season of `before`, up to that of `after`.

    Returns:
        frame indexed by lake_id: area_before_m2, area_after_m2 (NaN when not observed, 0 when dry),
        change_m2, sigma_m2 and detection_limit_m2 (95 %) of the change, change_percent, verdict.
    """
    lakes = before.index.union(after.index)
    first, second = (frame.reindex(lakes) for frame in (before, after))
    a, b = _area(first), _area(second)
    appeared, split, merged = (
        lakes.isin(lineage.lake_id[lineage.kind.isin(kinds)])
        for kinds in (
            [LineageKind.NEW, LineageKind.REAPPEARED],
            [LineageKind.SPLIT],
            [LineageKind.MERGED],
        )
    )
    a = a.mask(appeared & a.isna(), 0.0)
    change = b - a
    sigmas = [frame.sigma_m2.astype(float).fillna(0.0).to_numpy() for frame in (first, second)]
    sigma = pd.Series(np.hypot(*sigmas), index=lakes)
    limit = Z95 * sigma
    wet = second.outcome == Outcome.WATER
    cases: list[tuple[Any, Verdict]] = [
        (split & a.isna() & wet, Verdict.SPLIT),
        (merged & b.isna(), Verdict.MERGED),
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


def _area(observations: pd.DataFrame) -> pd.Series:
    """Comparable area: 0 where dry, NaN where the lake was not observed or not seen whole."""
    whole = (observations.outcome == Outcome.WATER) & (observations.seen_share.astype(float) >= SEEN_WHOLE)
    area = observations.area_m2.astype(float).where(whole)
    return area.mask(observations.outcome == Outcome.DRY, 0.0)
