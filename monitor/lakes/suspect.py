"""A season in which much of a region's water is gone at once: bad mapping, until a person says otherwise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.lakes.match import Matching
from storage.codes import LineageKind, Outcome
from storage.policy import DRAINAGE_LOSS, SEEN_WHOLE

#: share of the water known before that a season must lose to be suspect
COLLAPSE = 0.25
#: one lake that empties is an outburst, not a bad map
AT_LEAST = 2


@dataclass(frozen=True)
class Suspicion:
    """Why the losses of a season are not believed, and how much water is in question."""

    why: str
    lost_m2: float


def suspicion(
    reference: pd.DataFrame,
    matching: Matching,
    water: pd.DataFrame,
    areas_m2: Sequence[float] | NDArray[np.float64],
    absent: pd.DataFrame,
    left_out: Collection[UUID] = (),
) -> Suspicion | None:
    """Whether the losses of a season are not to be believed.

    The lakes that earlier seasons saw under water are added up as they were seen last, and what of each this
    season still draws: not lakes that it could not see whole, parts with the lake they split from, and a lake
    that merged not at all. A season is suspect that lost a quarter of that water, and in which at least two
    lakes lost more than 30 %.

    Args:
        reference: as from `match.references`.
        matching: as from `match.match`.
        water: lake_id and seen_share of the season's outlines.
        areas_m2: of the same outlines.
        absent: lake_id and outcome of lakes without one, for those that the survey has something to say of.
        left_out: known lakes that an inventory does not draw where it drew others.
    """
    known = reference[reference.before.notna() & ~reference.ended & (reference.last_outcome == Outcome.WATER)]
    parents = {e.lake: e.other for e in matching.lineage if e.kind == LineageKind.SPLIT}
    merged = {e.lake for e in matching.lineage if e.kind == LineageKind.MERGED}
    hidden = set(absent.lake_id[absent.outcome == Outcome.NOT_OBSERVED])
    hidden |= set(water.lake_id[water.seen_share < SEEN_WHOLE])
    spoken_of = {*water.lake_id, *absent.lake_id, *left_out} - hidden - merged
    compared = known[[lake in spoken_of for lake in known.index]]
    if compared.empty:
        return None
    before = compared.area_m2
    drawn = pd.Series(areas_m2, water.lake_id.tolist(), dtype=float)
    after = drawn.groupby([parents.get(lake, lake) for lake in drawn.index], sort=False).sum()
    after = after.reindex(before.index).fillna(0.0)
    kept = np.minimum(after, before)  # growth elsewhere does not make up for what is gone
    lost = after < (1 - DRAINAGE_LOSS) * before
    share = 1 - kept.sum() / before.sum()
    if share < COLLAPSE or lost.sum() < AT_LEAST:
        return None
    why = (
        f"{share:.0%} of the water is gone that the lakes had when last seen; "
        f"{int(lost.sum())} of {len(before)} lost more than {DRAINAGE_LOSS:.0%}"
    )
    return Suspicion(why, float(before.sum() - kept.sum()))
