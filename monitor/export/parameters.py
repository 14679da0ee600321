"""Parameters of requests to the API: each is checked, and those that tipg would pass on as they are or ignore
are refused.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from cql2 import Expr
from fastapi import HTTPException, Query, Request
from fastapi import Path as InPath
from morecantile import Tile
from morecantile import tms as grids
from tipg.collections import Collection, CollectionList

from monitor.export.filters import box_of, read_filter
from monitor.export.served import interval_of

#: routes that filter by columns, and routes that describe tiles and pass the parameters of a tile on
_BY_COLUMN = ("items", "collection_get_tile")
_OF_TILES = ("collection_tilejson", "collection_stylejson", "viewer")
#: parameters that may be empty: `properties=` asks for no property
_EMPTY = ("properties",)


def checked(request: Request) -> None:
    """Refuse parameters that the route does not have, that come twice, or that have no usable value."""
    given = request.query_params.multi_items()
    texts = [text for pair in given for text in pair] + list(map(str, request.path_params.values()))
    if any("\0" in text for text in texts):
        raise HTTPException(400, "The request has a character NUL (%00), which no text of the history has.")
    known = _known(request)
    for name, value in given:
        if name not in known:
            raise HTTPException(
                400, f"There is no parameter {name!r} here. Parameters: {', '.join(sorted(known))}."
            )
        if len(request.query_params.getlist(name)) > 1:
            raise HTTPException(400, f"The parameter {name} is given more than once.")
        if not value.strip() and name not in _EMPTY:
            raise HTTPException(400, f"The parameter {name} is empty: leave it out, or give it a value.")
    if (limit := request.query_params.get("limit", "1")).strip("+-").isdigit() and int(limit) < 1:
        raise HTTPException(400, f"limit={limit}: the limit must be at least 1.")
    if (offset := request.query_params.get("offset", "0")).isdigit() and int(offset) >= 2**63:
        raise HTTPException(400, f"offset={offset}: no collection has so many rows.")
    simplify = request.query_params.get("simplify", "0")
    try:
        usable = math.isfinite(float(simplify)) and float(simplify) >= 0
    except ValueError:
        usable = False
    if not usable:
        raise HTTPException(400, f"simplify={simplify}: a tolerance is a number from 0, in degrees.")


def _known(request: Request) -> set[str]:
    """Names of the parameters of a request's route, with the columns that it filters by."""
    route = request.scope["route"]
    known = _names(route.dependant)
    if route.name in (*_BY_COLUMN, *_OF_TILES):
        collection = requested_collection(request, request.path_params["collectionId"])
        known |= {column.name for column in collection.properties if not column.is_geometry}
    if route.name in _OF_TILES:
        known |= _names(request.app.state.tile_route.dependant)
    return known


def _names(dependant: Any) -> set[str]:
    names = {parameter.alias for parameter in dependant.query_params}
    return names.union(*(_names(inner) for inner in dependant.dependencies))


def requested_collection(
    request: Request, collectionId: Annotated[str, InPath(description="Collection identifier")]
) -> Collection:
    """The collection of a request."""
    collections: dict[str, Collection] = request.app.state.collection_catalog["collections"]
    if collectionId not in collections:
        raise HTTPException(
            404, f"There is no collection {collectionId!r}. Collections: {', '.join(collections)}."
        )
    return collections[collectionId]


def every_collection(request: Request) -> CollectionList:
    """All collections."""
    collections = list(request.app.state.collection_catalog["collections"].values())
    return CollectionList(collections=collections, matched=len(collections), next=None, prev=None)


def requested_filter(
    query: Annotated[str | None, Query(alias="filter", description="CQL2 filter")] = None,
    _lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")] = None,
) -> Expr | None:
    """The filter of a request, checked to use only operators and functions of CQL2."""
    return None if query is None else read_filter(query)


def requested_box(
    bbox: Annotated[
        str | None,
        Query(description="West, south, east, north, degrees; across 180 degrees the west exceeds the east."),
    ] = None,
) -> list[float] | None:
    """The box of a request."""
    return None if bbox is None else box_of(bbox)


def requested_days(
    datetime: Annotated[
        str | None,
        Query(description="A day or time, or first/last of them, both included; .. leaves an end open."),
    ] = None,
) -> list[str] | None:
    """The days of a request."""
    return None if datetime is None else interval_of(datetime)


def requested_tile(request: Request, z: int, x: int, y: int) -> Tile:
    """The tile of a request, which its grid must have."""
    name = request.path_params["tileMatrixSetId"]
    if name not in grids.list():
        raise HTTPException(404, f"There is no tile matrix set {name!r}.")
    grid = grids.get(name)
    if not grid.minzoom <= z <= grid.maxzoom:
        raise HTTPException(404, f"Zoom {z}: {grid.id} has {grid.minzoom} to {grid.maxzoom}.")
    bounds = grid.minmax(z)
    if not (bounds["x"]["min"] <= x <= bounds["x"]["max"] and bounds["y"]["min"] <= y <= bounds["y"]["max"]):
        raise HTTPException(404, f"Tile {z}/{x}/{y}: {grid.id} has no such tile.")
    return Tile(x, y, z)
