"""Filters of requests: boxes and CQL2, in forms that PostGIS answers as they are meant."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import shapely
from cql2 import Expr
from tipg.errors import InvalidBBox

#: the operators and functions of CQL2 (OGC 21-065r2)
CQL2 = frozenset({
    "and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "like", "between", "in", "isNull", "casei",
    "accenti", "+", "-", "*", "/", "%", "div", "^",
    "s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps", "s_touches",
    "s_within", "t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy",
    "t_finishes", "t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps", "t_startedBy",
    "t_starts", "a_contains", "a_containedBy", "a_equals", "a_overlaps",
})  # fmt: skip
#: operators, parentheses and signs of a filter. The parser of text goes one call deeper for each, and would
#: end the process when its stack is full; that of JSON has a limit of its own.
DEEPEST = 500
_OPERATORS = re.compile(r"[-+*/^%(]|\bnot\b|\bdiv\b", re.IGNORECASE)
_QUOTED = re.compile("""'[^']*'|"[^"]*\"""")


def read_filter(text: str) -> Expr:
    """A filter in CQL2, as text or JSON.

    Raises:
        ValueError: it is not CQL2, is too deep, uses other functions, or has a geometry or list that has no
            meaning.
    """
    parts = _QUOTED.sub("", text)
    if not parts.lstrip().startswith("{") and len(_OPERATORS.findall(parts)) > DEEPEST:
        raise ValueError(f"The filter has more than {DEEPEST} operators, parentheses and signs; simplify it.")
    try:
        tree = Expr(text).to_json()
    except Exception as error:
        raise ValueError(f"The filter is not CQL2: {error}") from error
    if unknown := sorted(set(operations(tree)) - CQL2):
        raise ValueError(f"The filter uses {', '.join(unknown)}, which CQL2 does not define.")
    return Expr(comparable(tree))  # from JSON, whose geometries have a CRS


def operations(tree: Any) -> Iterator[str]:
    """Every operator and function in a CQL2 expression (JSON)."""
    if isinstance(tree, dict):
        if "op" in tree:
            yield str(tree["op"])
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from operations(part)


def comparable(tree: Any) -> Any:
    """A CQL2 expression (JSON) in forms that every column understands.

    `in` becomes comparisons, because PostgreSQL does not compare identities with a list of text. A box
    becomes a geometry with a CRS, which may cross 180 degrees. `t_equals` of a day becomes equality, because
    the parser takes a day for an interval, which no day of a column equals.

    Raises:
        ValueError: a list or a geometry cannot be used.
    """
    match tree:
        case list():
            return [comparable(part) for part in tree]
        case {"bbox": _} | {"type": str(), "coordinates": _} | {"type": str(), "geometries": _}:
            return _usable(tree)
        case {"op": "t_equals", "args": sides} if not any("interval" in side for side in sides):
            return {"op": "=", "args": comparable(sides)}
        case {"op": "in", "args": sides}:
            return _listed(sides)
        case dict():
            return {key: comparable(part) for key, part in tree.items()}
    return tree


def _listed(sides: list[Any]) -> dict[str, Any]:
    value, *options = sides
    if len(options) != 1 or not isinstance(options[0], list) or not options[0]:
        raise ValueError("The filter compares with IN, which needs a list of values.")
    return either([{"op": "=", "args": comparable([value, option])} for option in options[0]])


def either(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """CQL2 of conditions of which one must hold."""
    return conditions[0] if len(conditions) == 1 else {"op": "or", "args": conditions}


def _usable(geometry: dict[str, Any]) -> dict[str, Any]:
    """The geometry or box of a filter as GeoJSON with closed rings.

    Raises:
        ValueError: it is invalid or beyond the Earth.
    """
    if "type" not in geometry:
        return area_of(box_of(",".join(map(str, geometry["bbox"]))))
    try:
        shape = shapely.geometry.shape(geometry)
    except (shapely.errors.ShapelyError, TypeError, ValueError, LookupError) as error:
        raise ValueError(f"A geometry of the filter cannot be read: {error}") from error
    if shape.is_empty or not shape.is_valid:
        why = "it is empty" if shape.is_empty else shapely.is_valid_reason(shape)
        raise ValueError(f"A geometry of the filter is invalid: {why}")
    west, south, east, north = shape.bounds
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        raise ValueError(
            "A geometry of the filter is beyond the Earth: longitudes are from -180 to 180 and come first, "
            "latitudes from -90 to 90"
        )
    closed: dict[str, Any] = shapely.geometry.mapping(shape)
    return closed


def box_of(text: str) -> list[float]:
    """West, south, east and north of a `bbox` of 4 or 6 numbers; heights are left out, lakes have none.

    Raises:
        InvalidBBox: another count of numbers, a number that is none, or one that is outside of its range.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidBBox(f"bbox={text}: {error}") from error
    if len(numbers) not in (4, 6) or not all(map(math.isfinite, numbers)):
        raise InvalidBBox(f"bbox={text}: it must have 4 or 6 finite numbers: west,south,east,north")
    half = len(numbers) // 2
    west, south, east, north = *numbers[:2], *numbers[half : half + 2]
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise InvalidBBox(f"bbox={text}: longitudes are from -180 to 180, latitudes from -90 to 90")
    if south > north:
        raise InvalidBBox(f"bbox={text}: its south {south:g} is north of its north {north:g}")
    return [west, south, east, north]


def area_of(box: Sequence[float]) -> dict[str, Any]:
    """GeoJSON geometry of west, south, east, north; a box whose west exceeds its east crosses 180 degrees.

    A box without width or height is a line or a point.
    """
    west, south, east, north = box
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    parts = [shapely.MultiPoint([(left, south), (right, north)]).envelope for left, right in spans]
    if len(parts) == 1:
        whole = parts[0]
    elif {part.geom_type for part in parts} == {"Polygon"}:
        whole = shapely.MultiPolygon(parts)
    else:
        whole = shapely.GeometryCollection(parts)
    area: dict[str, Any] = shapely.geometry.mapping(whole)
    return area
