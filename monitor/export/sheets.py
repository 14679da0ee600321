"""The API's answers as CSV: rows of the same columns for every request, also for one that finds nothing."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Annotated, Any

from cql2 import Expr
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope
from tipg.collections import Collection, Feature
from tipg.dependencies import (
    accept_media_type,
    ids_query,
    properties_filter_query,
    properties_query,
    sortby_query,
)
from tipg.resources.enums import MediaType
from tipg.settings import FeaturesSettings

from monitor.drawing.text import cell_text
from monitor.export.parameters import requested_box, requested_collection, requested_days, requested_filter

#: rows of a sheet; without a limit in the request it has all rows, because it does not say how many match
MOST = FeaturesSettings().max_features_per_query
_OFFERED = [MediaType.geojson, MediaType.html, MediaType.json, MediaType.csv]


class SheetRoute(APIRoute):
    """A route of requests that ask for CSV, by `f=csv` or by the header Accept."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE:
            return match, child
        request = Request(scope)
        wanted = request.query_params.get("f")
        if wanted is None:
            wanted = accept_media_type(request.headers.get("accept", ""), _OFFERED)
        return (match, child) if wanted in ("csv", MediaType.csv) else (Match.NONE, {})


router = APIRouter(route_class=SheetRoute, include_in_schema=False)


@router.get("/collections/{collectionId}/items", name="items")
async def rows(
    request: Request,
    collection: Annotated[Collection, Depends(requested_collection)],
    ids: Annotated[list[str] | None, Depends(ids_query)],
    box: Annotated[list[float] | None, Depends(requested_box)],
    days: Annotated[list[str] | None, Depends(requested_days)],
    properties: Annotated[list[str] | None, Depends(properties_query)],
    condition: Annotated[Expr | None, Depends(requested_filter)],
    sortby: Annotated[str | None, Depends(sortby_query)],
    geom: Annotated[str | None, Query(alias="geom-column")] = None,
    day: Annotated[str | None, Query(alias="datetime-column")] = None,
    limit: Annotated[int | None, Query(ge=1, le=MOST)] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    bbox_only: Annotated[bool | None, Query(alias="bbox-only")] = None,
    simplify: float | None = None,
    _f: Annotated[str | None, Query(alias="f")] = None,
) -> Response:
    """The items of a request as CSV."""
    async with request.app.state.pool.acquire() as conn:
        found = await collection.features(
            conn,
            ids_filter=ids,
            bbox_filter=box,
            datetime_filter=days,
            properties_filter=properties_filter_query(request, collection),
            cql_filter=condition,
            sortby=sortby,
            properties=properties,
            limit=limit or MOST,
            offset=offset,
            geom=geom,
            dt=day,
            bbox_only=bbox_only,
            simplify=simplify,
            geom_as_wkt=True,
        )
    if limit is None and (found["matched"] or 0) > MOST:
        raise HTTPException(
            400,
            f"{found['matched']} rows match, and a sheet has at most {MOST}: give a limit and an offset, or "
            "ask for fewer. `monitor export lakes` writes all of them to a file.",
        )
    return _sheet(collection, found["items"], properties)


@router.get("/collections/{collectionId}/items/{itemId}", name="item")
async def row(
    request: Request,
    collection: Annotated[Collection, Depends(requested_collection)],
    itemId: str,
    properties: Annotated[list[str] | None, Depends(properties_query)],
    geom: Annotated[str | None, Query(alias="geom-column")] = None,
    bbox_only: Annotated[bool | None, Query(alias="bbox-only")] = None,
    simplify: float | None = None,
    _f: Annotated[str | None, Query(alias="f")] = None,
) -> Response:
    """One item as CSV."""
    async with request.app.state.pool.acquire() as conn:
        found = await collection.features(
            conn,
            ids_filter=[itemId],
            properties=properties,
            geom=geom,
            bbox_only=bbox_only,
            simplify=simplify,
            geom_as_wkt=True,
        )
    if not found["items"]:
        raise HTTPException(404, f"Item {itemId} in Collection {collection.id} does not exist.")
    return _sheet(collection, found["items"], properties)


def _sheet(collection: Collection, items: list[Feature], properties: list[str] | None) -> Response:
    names = collection.columns(properties)
    sheet = StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["collectionId", "itemId", *names, "geometry"])
    for item in items:
        values = [(item["properties"] or {}).get(name) for name in names]
        writer.writerow([collection.id, item["id"], *map(_cell, values), item["geometry"]])
    headers = {"Content-Disposition": "attachment;filename=items.csv"}
    return Response(sheet.getvalue(), media_type=MediaType.csv.value, headers=headers)


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return cell_text(value) if isinstance(value, str) else value
