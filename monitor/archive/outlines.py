"""Outlines of STAC items, as polygons between -180 and 180 degrees that are cut at the antimeridian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from monitor.grid import HALF_TURN, split_at_180

#: west, south, east, north; west is greater than east in a box across the antimeridian (RFC 7946, 5.2)
BBox = tuple[float, float, float, float]


def outline(item: Mapping[str, Any]) -> BaseGeometry:
    """The outline of a STAC item, EPSG:4326: its geometry, else its bounding box.

    Raises:
        ValueError: neither can be used; the message names both and the reasons.
    """
    try:
        return _drawn(item.get("geometry"))
    except ValueError as error:
        box = bbox_of(item)
        if box is None:
            raise ValueError(f"{error}, and its bbox is missing or not four or six numbers") from error
        if box[2] - box[0] >= HALF_TURN:
            raise ValueError(f"{error}, and its bbox spans half the globe or more") from error
        return boxed(box)


def bbox_of(item: Mapping[str, Any]) -> BBox | None:
    """The bounding box of an item (of 2 or 3 dimensions); None where it is missing or cannot be used."""
    box = item.get("bbox")
    if not isinstance(box, Sequence) or isinstance(box, str) or len(box) not in (4, 6):
        return None
    if not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in box):
        return None
    half = len(box) // 2
    west, south, east, north = float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    return (west, south, east, north) if -90 <= south < north <= 90 and west != east else None


def boxed(box: BBox) -> BaseGeometry:
    """A bounding box as an outline; one across the antimeridian has two parts."""
    west, south, east, north = box
    if HALF_TURN >= east > west >= -HALF_TURN:  # also one around the globe
        return shapely.box(west, south, east, north)
    return split_at_180(shapely.box(west, south, east if west < east else east + 360, north))


def _drawn(geometry: Any) -> BaseGeometry:
    """The polygons of a GeoJSON geometry, of which some items have empty ones."""
    if not isinstance(geometry, Mapping) or not geometry.get("coordinates"):
        raise ValueError("it has no geometry")
    coordinates = geometry["coordinates"]
    if geometry.get("type") == "MultiPolygon" and isinstance(coordinates, Sequence):
        geometry = {**geometry, "coordinates": [part for part in coordinates if part]}
    try:
        found = shapely.force_2d(shape(geometry))
    except Exception as error:  # shapely raises many kinds for malformed coordinates
        raise ValueError(f"its geometry cannot be read ({error})") from error
    if found.geom_type not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"its geometry is a {found.geom_type}, not a polygon")
    if not math.isfinite(shapely.area(found)) or not all(math.isfinite(edge) for edge in found.bounds):
        raise ValueError("its geometry has coordinates that are not finite")
    found = split_at_180(found if found.is_valid else _mended(found))
    if shapely.area(found) == 0:
        raise ValueError("its geometry has no area")
    if any(part.bounds[2] - part.bounds[0] >= HALF_TURN for part in shapely.get_parts(found)):
        raise ValueError("its geometry spans half the globe or more")
    if found.bounds[1] < -90 or found.bounds[3] > 90:
        raise ValueError("its geometry has latitudes beyond 90 degrees")
    return found


def _mended(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of a geometry whose rings cross or repeat."""
    # a ring that goes round at 180 degrees is made valid after it is unwrapped
    if geometry.bounds[2] - geometry.bounds[0] > HALF_TURN:
        return geometry
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(geometry)))
    return shapely.union_all(parts[shapely.area(parts) > 0])
