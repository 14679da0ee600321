"""Why a known lake has no outline in a season: dry, too small to map, or not observed, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.codes import Outcome, Reason

#: share of a footprint that must have been seen as water or dry ground before the lake can be dry or new
MIN_SEEN_SHARE = 0.5
#: share of a footprint under water from which the lake is too small to map rather than dry
MIN_WET_SHARE = 0.1


@dataclass(frozen=True)
class Absence:
    """Why a known lake has no outline in a season."""

    outcome: Outcome
    reason: str
    seen_share: float


#: the sight of a pixel is its `Reason`, or `DISPUTED`: dry by the model, water by the index
DISPUTED = len(Reason)
#: number of sights
SIGHTS = len(Reason) + 1
#: the reason recorded for a lake, for each sight that is neither water nor dry
REASON_TEXT = {
    Reason.NODATA: "no image",
    Reason.CLOUD: "cloud",
    Reason.SNOW: "snow, ice or frozen",
    Reason.SHADOW: "terrain shadow",
    Reason.OUTSIDE: "outside the region",
    DISPUTED: "dry to the model, not to the index",
}
#: sights that hide a pixel, in a lake and on its shore
HIDDEN = (Reason.NODATA, Reason.CLOUD)
#: sights that hide a pixel in a lake only: on its shore, ice and shadow are ground
HIDDEN_IN_LAKE = (Reason.SNOW, Reason.SHADOW)


def explain_absence(counts: NDArray[np.int64]) -> Absence:
    """Explain why a known lake has no outline, from the sights in its footprint.

    The lake is dry if at least half of the footprint was seen as water or dry ground, and less than a tenth
    as water. A pixel is dry ground only where model and index agree, so that a frozen lake that the model
    classifies as ground has not drained.

    Args:
        counts: (8,) number of pixels of each sight in the footprint.
    """
    total = int(counts.sum())
    seen = int(counts[Reason.WATER] + counts[Reason.DRY])
    share = seen / total if total else 0.0
    if share < MIN_SEEN_SHARE:
        hidden = counts.copy()
        hidden[[Reason.WATER, Reason.DRY]] = 0
        sight = int(np.argmax(hidden)) if total else Reason.NODATA
        return Absence(Outcome.NOT_OBSERVED, REASON_TEXT[sight], share)
    if counts[Reason.WATER] >= MIN_WET_SHARE * total:
        return Absence(Outcome.NOT_OBSERVED, "smaller than the smallest mapped lake", share)
    return Absence(Outcome.DRY, "seen dry", share)


def seen_shares(counts: NDArray[np.int64], rims: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Share of each lake's footprint that was seen; pixels outside the region do not count.

    Args:
        counts: (N, 8) number of pixels of each sight within the footprints.
        rims: (N, 8) the same within the footprints grown by a pixel, to count cloud on the shore as well.
    """
    wide = counts if rims is None else rims
    total = wide.sum(axis=1) - wide[:, Reason.OUTSIDE]
    hidden = wide[:, HIDDEN].sum(axis=1) + counts[:, HIDDEN_IN_LAKE].sum(axis=1)
    shares: NDArray[np.float64] = np.where(total > 0, 1 - hidden / np.maximum(total, 1), 0.0)
    return shares
