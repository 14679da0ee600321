"""Why a known lake has no outline in a season: seen dry, too small to map, or not seen and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.codes import Outcome, Reason

#: share of a footprint that must have been seen for "dry" to be an answer
SEEN_ENOUGH = 0.5
#: share of a footprint still under water that makes it smaller than mapped rather than dry
STILL_WET = 0.1


@dataclass(frozen=True)
class Absence:
    """Why a known lake has no outline in a season."""

    outcome: Outcome
    reason: str
    seen_share: float


#: what a person calls the reason
WORDS = {
    Reason.NODATA: "no image",
    Reason.CLOUD: "cloud",
    Reason.SNOW: "snow, ice or frozen",
    Reason.SHADOW: "terrain shadow",
    Reason.OUTSIDE: "outside the region",
}


def explain_absence(counts: NDArray[np.int64]) -> Absence:
    """What the pixels of a known lake's footprint, counted by reason (7,), say of its absence."""
    total = int(counts.sum())
    seen = int(counts[Reason.WATER] + counts[Reason.DRY])
    share = seen / total if total else 0.0
    if share < SEEN_ENOUGH:
        hidden = counts.copy()
        hidden[[Reason.WATER, Reason.DRY]] = 0
        reason = Reason(int(np.argmax(hidden))) if total else Reason.NODATA
        return Absence(Outcome.NOT_OBSERVED, WORDS[reason], share)
    if counts[Reason.WATER] >= STILL_WET * total:
        return Absence(Outcome.NOT_OBSERVED, "smaller than the smallest mapped lake", share)
    return Absence(Outcome.DRY, "seen dry", share)


def seen_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each footprint (N, 7 counts by reason) that was seen, as water or dry."""
    seen = counts[:, Reason.WATER] + counts[:, Reason.DRY]
    shares: NDArray[np.float64] = seen / np.maximum(counts.sum(axis=1), 1)
    return shares
