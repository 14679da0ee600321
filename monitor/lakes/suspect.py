"""Suspect seasons: a large loss of a region's water in one season is taken for bad mapping until reviewed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

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


def suspicion(
    changes: pd.DataFrame, before: pd.DataFrame, left_out: Collection[UUID] = ()
) -> Suspicion | None:
    """Suspicion against a season that lost much water, or None.

    The lost area is compared with the area of the same lakes in their last reliable outlines. Lakes that the
    season did not see whole are not compared. The season is suspect if a quarter of that area is lost, and
    also a quarter of the area without the lake of the largest loss, which may be an outburst. A lake that an
    inventory leaves out was not seen to be dry: it is no outburst, and a quarter of the area in such lakes
    suffices.

    Args:
        changes: as from `change.compare`, the lakes of `left_out` as dry.
        before: the earlier observations, as from `change.last_observations`.
        left_out: known lakes that an inventory leaves out of the area it covers.
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
    largest = lost == lost.max()
    largest &= ~largest.duplicated(keep="first")
    share = lost.sum() / area.sum()
    unseen = lost[lost.index.isin(list(left_out))].sum() / area.sum()
    rest = area[~largest].sum()
    of_rest = lost[~largest].sum() / rest if rest > 0 else 0.0
    if share < SUSPECT_LOSS or max(unseen, of_rest) < SUSPECT_LOSS:
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
