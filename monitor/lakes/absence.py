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


#: a pixel's sight is its `Reason`, or this: dry to the model, water to the index
DISPUTED = len(Reason)
SIGHTS = len(Reason) + 1
#: what a person calls the sights that are no answer
WORDS = {
    Reason.NODATA: "no image",
    Reason.CLOUD: "cloud",
    Reason.SNOW: "snow, ice or frozen",
    Reason.SHADOW: "terrain shadow",
    Reason.OUTSIDE: "outside the region",
    DISPUTED: "dry to the model, not to the index",
}
#: what hides a place altogether
VEILED = (Reason.NODATA, Reason.CLOUD)
#: what also hides water, but is no lack of sight beside a lake: ice and shade are ground there
COVERED = (Reason.SNOW, Reason.SHADOW)


def explain_absence(counts: NDArray[np.int64]) -> Absence:
    """What the pixels of a known lake's footprint, counted by sight (8,), say of its absence.

    "Dry" needs half of the footprint dry to model and index alike: a frozen lake that the model takes for
    ground has not drained.
    """
    total = int(counts.sum())
    answered = int(counts[Reason.WATER] + counts[Reason.DRY])
    share = answered / total if total else 0.0
    if share < SEEN_ENOUGH:
        hidden = counts.copy()
        hidden[[Reason.WATER, Reason.DRY]] = 0
        sight = int(np.argmax(hidden)) if total else Reason.NODATA
        return Absence(Outcome.NOT_OBSERVED, WORDS[sight], share)
    if counts[Reason.WATER] >= STILL_WET * total:
        return Absence(Outcome.NOT_OBSERVED, "smaller than the smallest mapped lake", share)
    return Absence(Outcome.DRY, "seen dry", share)


def seen_shares(counts: NDArray[np.int64], rims: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Share of each lake's place that was seen; what lies outside the region does not count.

    Args:
        counts: (N, 8) sights within the footprints.
        rims: (N, 8) sights within the footprints grown by a pixel, where cloud on the shore counts too.
    """
    wide = counts if rims is None else rims
    total = wide.sum(axis=1) - wide[:, Reason.OUTSIDE]
    hidden = wide[:, VEILED].sum(axis=1) + counts[:, COVERED].sum(axis=1)
    shares: NDArray[np.float64] = np.where(total > 0, 1 - hidden / np.maximum(total, 1), 0.0)
    return shares
