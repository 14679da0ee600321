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


#: The sight of a pixel is its `Reason`, or `DISPUTED`: dry by the model and water by the index, or
#: `UNCONFIRMED`: dry by the model without an optical view. Radar misses a part of the lakes, so that such a
#: pixel shows neither that a lake is gone nor that there was none.
DISPUTED, UNCONFIRMED = len(Reason), len(Reason) + 1
#: number of sights
SIGHTS = len(Reason) + 2
#: the reason recorded for a lake, for each sight that is neither water nor dry
REASON_TEXT = {
    Reason.NODATA: "no image",
    Reason.CLOUD: "cloud",
    Reason.SNOW: "snow, ice or frozen",
    Reason.SHADOW: "terrain shadow",
    Reason.OUTSIDE: "outside the region",
    DISPUTED: "dry to the model, not to the index",
    UNCONFIRMED: "no water to radar alone",
}
#: sights that hide a pixel, in a lake and on its shore
HIDDEN = (Reason.NODATA, Reason.CLOUD)
#: sights that hide a pixel in a lake only: on its shore, they are ground
HIDDEN_IN_LAKE = (Reason.SNOW, Reason.SHADOW, UNCONFIRMED)


#: the reason for a lake that optics saw dry, and of which only radar has seen water
NEVER_CONFIRMED = "dry ground; water to radar alone before"


def explain_absence(counts: NDArray[np.int64], *, confirmed: bool = True) -> Absence:
    """Explain why a known lake has no outline, from the sights in its footprint.

    The lake is dry if at least half of the footprint was seen as water or dry ground, and less than a tenth
    as water. A pixel is dry ground only where model and index agree, so that a frozen lake that the model
    classifies as ground has not drained, and only with an optical view. A lake of which only radar has seen
    water was possibly none, so it has not drained.

    Args:
        counts: (9,) number of pixels of each sight in the footprint.
        confirmed: a survey has seen the lake's water by more than radar.
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
    if not confirmed:
        return Absence(Outcome.NOT_OBSERVED, NEVER_CONFIRMED, share)
    return Absence(Outcome.DRY, "seen dry", share)


def seen_shares(
    counts: NDArray[np.int64],
    rims: NDArray[np.int64] | None = None,
    by_radar: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Share of each lake's footprint that was seen; pixels outside the region do not count.

    Args:
        counts: (N, 9) number of pixels of each sight within the footprints.
        rims: (N, 9) the same within the footprints grown by a pixel, to count cloud on the shore as well.
        by_radar: (N,) lakes that were mapped without an optical view. The interval of such an area was fitted
            on whole lakes seen in the same way, so ground without water to radar counts as seen. In a lake
            that was mapped from optics it does not: the part that radar missed is not in the interval.
    """
    wide = counts if rims is None else rims
    total = wide.sum(axis=1) - wide[:, Reason.OUTSIDE]
    hidden = wide[:, HIDDEN].sum(axis=1) + counts[:, HIDDEN_IN_LAKE].sum(axis=1)
    if by_radar is not None:
        hidden = hidden - np.where(by_radar, counts[:, UNCONFIRMED], 0)
    shares: NDArray[np.float64] = np.where(total > 0, 1 - hidden / np.maximum(total, 1), 0.0)
    return shares
