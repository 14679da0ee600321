"""Identity of a lake, minted once, and its code in the form that inventories use."""

from __future__ import annotations

from itertools import count
from uuid import UUID, uuid5

import shapely

from monitor.grid import continuous
from monitor.settings import NAMESPACE


def mint(outline: shapely.Geometry, region: str, season: int, attempt: int = 0) -> UUID:
    """Mint an identity from the place and season in which a lake was first found.

    A repeated run mints the same identity.
    """
    point = outline.representative_point()
    suffix = f"|{attempt}" if attempt else ""
    return uuid5(NAMESPACE, f"{region}|{season}|{point.x:.6f}|{point.y:.6f}{suffix}")


def mint_unused(outline: shapely.Geometry, region: str, season: int, used: set[UUID]) -> UUID:
    """Mint an identity that is not in `used`, also where an inventory has the same outline twice."""
    return next(lake for attempt in count() if (lake := mint(outline, region, season, attempt)) not in used)


def code_of(outline: shapely.Geometry) -> str:
    """Code of a lake as in inventories, `GL086900E27725N`: its centroid in 0.001 degrees; not unique."""
    centre = continuous(outline).centroid
    longitude = centre.x - 360 if centre.x > 180 else centre.x
    east, north = round(abs(longitude) * 1000), round(abs(centre.y) * 1000)
    return f"GL{east:06d}{'E' if longitude >= 0 else 'W'}{north:05d}{'N' if centre.y >= 0 else 'S'}"
