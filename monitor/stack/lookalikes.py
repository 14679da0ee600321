"""Patches that the scene classes call cloud on every date in the same shape: turbid lakes, bright rock, ice.

Clouds move and change. A patch that is cloud on all dates of a season, and has clear ground around it on
several of them, is therefore part of the ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Flags = NDArray[np.bool_]

#: longest side in pixels of a patch that is examined; a patch is decided within that distance and `RING`, so
#: that the decision does not depend on the tile
LARGEST = 144
#: pixels from a patch between which the ground around it must be clear. Edges of classes of 20 m differ by up
#: to two pixels from date to date.
SHORE, RING = 3, 8
#: share of the ring that must be clear
CLEAR = 0.9
#: dates on which the ring must be clear
DATES = 2


@dataclass(frozen=True)
class Sky:
    """Scene classes of one date on a box, each (H, W)."""

    seen: Flags
    cloud: Flags


def lookalikes(skies: Mapping[str, Sky]) -> dict[str, Flags]:
    """Pixels (H, W) called cloud by mistake, for each date by its name on which they can be used.

    Args:
        skies: of every date, by a name of the date; pixels that are not the date's count as not seen.
    """
    if len(skies) < DATES:
        return {}
    looks = np.sum([sky.seen for sky in skies.values()], axis=0)
    always = (looks >= DATES) & (np.sum([sky.cloud for sky in skies.values()], axis=0) == looks)
    found = {name: np.zeros(always.shape, bool) for name in skies}
    labels, _ = ndimage.label(always, np.ones((3, 3), bool))
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if max(side.stop - side.start for side in window) > LARGEST:
            continue
        around = tuple(slice(max(side.start - RING, 0), side.stop + RING) for side in window)
        patch = labels[around] == number
        distance = ndimage.distance_transform_edt(~patch)
        ring = (distance > SHORE) & (distance <= RING)
        clear = [
            name
            for name, sky in skies.items()
            if (sky.seen[around] & ~sky.cloud[around])[ring].mean() >= CLEAR
        ]
        for name in clear if len(clear) >= DATES else ():
            found[name][around] |= patch
    return {name: flags for name, flags in found.items() if flags.any()}
