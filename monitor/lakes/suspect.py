"""Suspect seasons: a large loss of a region's water in one season is taken for bad mapping until reviewed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from storage.codes import Outcome
from storage.policy import DRAINAGE_LOSS

#: share of the earlier water area whose loss makes a season suspect
SUSPECT_LOSS = 0.25


@dataclass(frozen=True)
class Suspicion:
    """Why the losses of a season are doubted, and the lost area."""

    why: str
    lost_m2: float


def suspicion(changes: pd.DataFrame, before: pd.DataFrame, *, outburst: bool) -> Suspicion | None:
    """Suspicion against a season that lost much water, or None.

    The lost area is compared with the area of the same lakes in their last reliable outlines. Lakes that the
    season did not see whole are not compared. The season is suspect if a quarter of that area is lost. With
    `outburst`, a quarter of the area without the lake of the largest loss must be lost as well.

    Args:
        changes: as from `change.compare`.
        before: the earlier observations, as from `change.last_observations`.
        outburst: the largest loss may be an outburst, because images show it. An inventory shows only that
            it has no outline, or a smaller one.
    """
    reliable = before.index[~before.suspect.astype(bool)]
    compared = changes[
        changes.index.isin(reliable) & (changes.area_before_m2 > 0) & changes.change_m2.notna()
    ]
    if compared.empty:
        return None
    area = compared.area_before_m2
    # growth of one lake does not make up for the loss of another
    lost = area - np.minimum(compared.area_after_m2, area)
    rest = (lost.index != lost.idxmax()) | (not outburst)
    share = lost.sum() / area.sum()
    if share < SUSPECT_LOSS or not lost[rest].sum() >= SUSPECT_LOSS * area[rest].sum() > 0:
        return None
    many = int((lost > DRAINAGE_LOSS * area).sum())
    why = (
        f"{share:.0%} of the water is gone that the lakes had when last seen; "
        f"{many} of {len(area)} lost more than {DRAINAGE_LOSS:.0%}"
    )
    return Suspicion(why, float(lost.sum()))


def doubted(absent: pd.DataFrame, suspicion: Suspicion) -> pd.DataFrame:
    """The lakes without an outline in a suspect season: those that are dry become not observed."""
    return absent.assign(
        reason=absent.reason.where(absent.outcome != Outcome.DRY, f"suspect season: {suspicion.why}"),
        outcome=Outcome.NOT_OBSERVED.value,
    )
