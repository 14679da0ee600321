"""Suspect seasons: a large loss of a region's water in one season is taken for bad mapping until reviewed."""

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

#: share of the previous water area whose loss makes a season suspect
SUSPECT_LOSS = 0.25
#: lakes that must have lost water: a single one may be an outburst
MIN_LOST_LAKES = 2


@dataclass(frozen=True)
class Suspicion:
    """Why the losses of a season are doubted, and the lost area."""

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
    """Suspicion against a season that lost much water, or None.

    For all lakes that were under water when last seen, the area at that time is added up, and compared with
    the area that this season maps of the same lakes. Lakes that this season did not see whole are excluded,
    and so are lakes that merged into another; a part that split off counts for the lake it split from. The
    season is suspect if it lost a quarter of that area and at least two lakes lost more than 30 %.

    Args:
        reference: as from `match.references`.
        matching: as from `match.match`.
        water: lake_id and seen_share of the season's outlines.
        areas_m2: areas of the same outlines.
        absent: lake_id and outcome of the lakes that the survey recorded without an outline.
        left_out: known lakes that an inventory leaves out of the area it covers.
    """
    known = reference[reference.before.notna() & ~reference.ended & (reference.last_outcome == Outcome.WATER)]
    parents = {e.lake: e.other for e in matching.lineage if e.kind == LineageKind.SPLIT}
    merged = {e.lake for e in matching.lineage if e.kind == LineageKind.MERGED}
    hidden = set(absent.lake_id[absent.outcome == Outcome.NOT_OBSERVED])
    hidden |= set(water.lake_id[water.seen_share < SEEN_WHOLE])
    surveyed = {*water.lake_id, *absent.lake_id, *left_out} - hidden - merged
    compared = known[[lake in surveyed for lake in known.index]]
    if compared.empty:
        return None
    before = compared.area_m2
    mapped = pd.Series(areas_m2, water.lake_id.tolist(), dtype=float)
    after = mapped.groupby([parents.get(lake, lake) for lake in mapped.index], sort=False).sum()
    after = after.reindex(before.index).fillna(0.0)
    kept = np.minimum(after, before)  # growth of one lake does not make up for the loss of another
    lost = after < (1 - DRAINAGE_LOSS) * before
    share = 1 - kept.sum() / before.sum()
    if share < SUSPECT_LOSS or lost.sum() < MIN_LOST_LAKES:
        return None
    why = (
        f"{share:.0%} of the water is gone that the lakes had when last seen; "
        f"{int(lost.sum())} of {len(before)} lost more than {DRAINAGE_LOSS:.0%}"
    )
    return Suspicion(why, float(before.sum() - kept.sum()))


def doubted(absent: pd.DataFrame, suspicion: Suspicion) -> pd.DataFrame:
    """The lakes without an outline in a suspect season: those that are dry become not observed."""
    return absent.assign(
        reason=absent.reason.where(absent.outcome != Outcome.DRY, f"suspect season: {suspicion.why}"),
        outcome=Outcome.NOT_OBSERVED.value,
    )
