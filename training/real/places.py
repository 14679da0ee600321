"""Places of chips that lie near one another, so that chips of the same ground are never in two splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

#: chips nearer than this belong to one place, m
NEAR = 5000.0
_DEGREE = 111_320.0


def cluster(middles: Sequence[tuple[float, float]], prefix: str) -> list[str]:
    """Name of the place of every chip, by single linkage at `NEAR`.

    Args:
        middles: longitude and latitude of the middles of the chips.
        prefix: of the names, which end with the mean longitude and latitude of a place's chips.
    """
    points = np.array(middles)
    metres = points * _DEGREE
    metres[:, 0] *= np.cos(np.radians(points[:, 1].mean()))
    number = fcluster(linkage(metres, "single"), NEAR, "distance") if len(points) > 1 else np.ones(1, int)
    names = {}
    for one in np.unique(number):
        east, north = points[number == one].mean(axis=0)
        names[one] = f"{prefix} {_shown(east, 'EW')} {_shown(north, 'NS')}"
    return [names[one] for one in number]


def _shown(degrees: float, sides: str) -> str:
    return f"{abs(degrees):.2f}{sides[int(degrees < 0)]}"
