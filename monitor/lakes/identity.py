"""Names of lakes: the identity that is minted once, and the label that inventories use."""

from __future__ import annotations

from itertools import count
from uuid import UUID, uuid5

import shapely

from monitor.settings import NAMESPACE


def mint(outline: shapely.Geometry, region: str, season: int, turn: int = 0) -> UUID:
    """An identity from where and when a lake was first found, so that a repeated run mints the same."""
    point = outline.representative_point()
    again = f"|{turn}" if turn else ""
    return uuid5(NAMESPACE, f"{region}|{season}|{point.x:.6f}|{point.y:.6f}{again}")


def unused(outline: shapely.Geometry, region: str, season: int, used: set[UUID]) -> UUID:
    """A minted identity that is not in `used`, even where inventories draw one lake twice."""
    return next(lake for turn in count() if (lake := mint(outline, region, season, turn)) not in used)


def code_of(outline: shapely.Geometry) -> str:
    """The inventories' label, `GL086900E27725N`: centroid in thousandths of a degree; not unique."""
    middle = outline.centroid
    east, north = round(abs(middle.x) * 1000), round(abs(middle.y) * 1000)
    return f"GL{east:06d}{'E' if middle.x >= 0 else 'W'}{north:05d}{'N' if middle.y >= 0 else 'S'}"
