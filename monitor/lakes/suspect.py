"""Suspect seasons: a large loss of a region's water in one season is taken for bad mapping until reviewed.

A season whose model does not fit the ground (`monitor.lakes.fitness`) is suspect too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from storage.codes import Outcome
from storage.policy import DRAINAGE_LOSS

#: share of the earlier water area whose loss makes a season suspect
SUSPECT_LOSS = 0.25
#: share from which the loss of a single lake, or that of all lakes but one, is suspect
MOST = 0.6


@dataclass(frozen=True)
class Suspicion:
    """Why a season is doubted, and the area that is lost, or disputed between model and index."""

    why: str
    area_m2: float


def suspicion(changes: pd.DataFrame, before: pd.DataFrame, *, images: bool) -> Suspicion | None:
    """Suspicion against a season that lost much water, or None.

    The lost area is compared with the area of the same lakes in their last reliable outlines. Lakes that the
    season did not see whole are not compared. A loss of less than a quarter is not suspect. A single lake may
    have burst. In images, which show that it is dry, any lake may have: the season is suspect if the other
    lakes have lost a quarter of the whole area, or most of their own. An inventory shows less: it is suspect
    if a second lake has lost more than 30 %, or if most of the whole area is lost.

    Args:
        changes: as from `change.compare`.
        before: the earlier observations, as from `change.last_observations`.
        images: the season was mapped from images, and is no inventory.
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
    share, many = lost.sum() / area.sum(), int((lost > DRAINAGE_LOSS * area).sum())
    one = lost.idxmax()
    others, rest = lost.drop(one).sum(), area.drop(one).sum()
    if images:
        mass = others >= SUSPECT_LOSS * area.sum() or others >= MOST * rest > 0
    else:
        mass = many > 1 or share >= MOST
    if share < SUSPECT_LOSS or not mass:
        return None
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
