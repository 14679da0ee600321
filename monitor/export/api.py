"""`monitor serve`: lakes, their history and changes as OGC API Features and vector tiles, by tipg.

The server reads the schema `served` through a role without any other rights (`storage/reader.py`). tipg
handles the requests. This module defines its collections with their identities and dates, and adds two
restrictions: a filter may use only operators and functions of CQL2 (tipg passes any function to the
database), and HTML pages escape their content.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jinja2
import uvicorn
from cql2 import Expr
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from starlette.templating import Jinja2Templates
from starlette_cramjam.middleware import CompressionMiddleware
from tipg.collections import Catalog, Collection, Column, PgCollection
from tipg.dependencies import filter_query
from tipg.errors import (
    DEFAULT_STATUS_CODES,
    MissingDatetimeColumn,
    MissingGeometryColumn,
    add_exception_handlers,
)
from tipg.extensions.viewer import viewerExtension
from tipg.factory import Endpoints
from tipg.middleware import CacheControlMiddleware

from monitor.errors import RefusedError
from monitor.workspace import Workspace, open_database
from storage.errors import StorageError
from storage.reader import (
    SCHEMA,
    BadQuestion,
    ServedView,
    TooLong,
    prepare_reader,
    reading,
    served_views,
)

if TYPE_CHECKING:
    import asyncpg

TITLE = "Lake Monitor"
#: for each collection the column that identifies a row, and the column that `datetime=` filters by
COLLECTIONS: dict[str, tuple[str, str | None]] = {
    "lake_latest": ("lake_id", "last_day"),
    "lake_area_history": ("observation_id", "last_day"),
    "lake_change_yearly": ("change_id", "day_after"),
    "lake_drainage": ("drainage_id", "day_after"),
    "lake_trend": ("lake_id", None),
    "review_queue": ("flag_id", "created_at"),
}
#: seconds for which clients may cache a response, and after which the catalogue is read again
KEPT_S, CATALOG_S = 60, 300
#: the operators and functions of CQL2 (OGC 21-065r2)
CQL2 = frozenset({
    "and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "like", "between", "in", "isNull", "casei",
    "accenti", "+", "-", "*", "/", "%", "div", "^",
    "s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps", "s_touches",
    "s_within", "t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy",
    "t_finishes", "t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps", "t_startedBy",
    "t_starts", "a_contains", "a_containedBy", "a_equals", "a_overlaps",
})  # fmt: skip


@dataclass(frozen=True)
class Listening:
    """A socket that accepts connections."""

    socket: socket.socket

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    @property
    def address(self) -> str:
        return str(self.socket.getsockname()[0])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.socket.getsockname()[1]}/"


def listen(host: str, port: int) -> Listening:
    """Listen on a host and port; port 0 takes a free one.

    Raises:
        RefusedError: the port is in use, or the address is not one of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return Listening(socket.create_server(address[:2], family=family))
    except (OSError, OverflowError) as error:
        raise RefusedError(
            f"--host {host} --port {port}: the server cannot listen there: {error}. If another server uses "
            "the port, stop it or choose another port with --port; --host must be an address of this machine."
        ) from error


def serve_lakes(workspace: Workspace, listening: Listening, ready: Callable[[], None]) -> None:
    """Serve a workspace's lakes until Ctrl-C; `ready` is called when the server accepts requests.

    Raises:
        RefusedError: the database cannot be read by the role of the server.
    """
    with open_database(workspace) as database:
        try:
            url = prepare_reader(database, login=workspace.settings.database.url is None)
            with suppress(KeyboardInterrupt):
                asyncio.run(_serve(url, listening.socket, ready))
        except StorageError as error:
            raise RefusedError(str(error)) from error


async def _serve(url: str, listening: socket.socket, ready: Callable[[], None]) -> None:
    async with reading(url) as pool:
        app = application(pool, await served_views(pool))
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        ready()
        refreshing = asyncio.create_task(_keep_current(app))
        await uvicorn.Server(config).serve(sockets=[listening])
        refreshing.cancel()


def application(pool: asyncpg.Pool, views: list[ServedView]) -> FastAPI:
    """The web application over the reader's connections."""
    app = FastAPI(title=TITLE, openapi_url="/api", docs_url="/api.html", redoc_url=None)
    app.state.pool, app.state.collection_catalog = pool, catalog(views)
    # tipg's own pages do not escape notes and attributes, which are written by users
    loaders = [jinja2.FileSystemLoader(Path(__file__).parent / "templates"), jinja2.PackageLoader("tipg")]
    templates = Jinja2Templates(env=jinja2.Environment(autoescape=True, loader=jinja2.ChoiceLoader(loaders)))
    endpoints = Endpoints(
        title=TITLE,
        templates=templates,
        collection_dependency=requested_collection,
        extensions=[viewerExtension()],
    )
    app.include_router(endpoints.router)
    app.dependency_overrides[filter_query] = requested_filter
    app.add_middleware(CacheControlMiddleware, cachecontrol=f"public, max-age={KEPT_S}")
    app.add_middleware(CompressionMiddleware, compression_level=6)
    codes = {**DEFAULT_STATUS_CODES, MissingDatetimeColumn: 400, MissingGeometryColumn: 404, TooLong: 503}
    add_exception_handlers(app, codes | dict.fromkeys((*BadQuestion, ValueError), 400))
    return app


def catalog(views: list[ServedView]) -> Catalog:
    """tipg's collections of the served views; views that are not in COLLECTIONS are left out."""
    found = {view.name: view for view in views}
    collections: dict[str, Collection] = {
        name: _collection(found[name], *keys) for name, keys in COLLECTIONS.items() if name in found
    }
    return Catalog(collections=collections, last_updated=datetime.now())


async def _keep_current(app: FastAPI) -> None:
    """Read the catalogue again at intervals, for the current bounds and days of the collections."""
    while True:
        await asyncio.sleep(CATALOG_S)
        try:
            app.state.collection_catalog = catalog(await served_views(app.state.pool))
        except Exception as error:  # the next attempt may succeed, and requests report the error meanwhile
            logging.getLogger(__name__).warning("the catalogue could not be read again: %s", error)


def _collection(view: ServedView, identity: str, day: str | None) -> PgCollection:
    columns = {}
    for column in view.columns:
        more: dict[str, Any] = {}
        if column.geometry_type:
            more = {
                "geometry_type": column.geometry_type,
                "srid": 4326,
                "bounds": view.bounds or (-180, -90, 180, 90),
            }
        elif column.name == day and view.days:
            more = {"mindt": view.days[0], "maxdt": view.days[1]}
        kind = column.type.replace("timestamp with time zone", "timestamptz")
        columns[column.name] = Column(name=column.name, type=kind, **more)
    return PgCollection(
        type="Table",
        id=view.name,
        title=view.name,
        table=view.name,
        schema=SCHEMA,
        description=view.description,
        table_columns=list(columns.values()),
        properties=list(columns.values()),
        id_column=columns[identity],
        geometry_column=columns["geom"],
        datetime_column=columns[day] if day else None,
    )


def requested_collection(
    request: Request, collectionId: Annotated[str, InPath(description="Collection identifier")]
) -> Collection:
    """The collection of a request."""
    collections: dict[str, Collection] = request.app.state.collection_catalog["collections"]
    if collectionId not in collections:
        raise HTTPException(
            404, f"There is no collection {collectionId}. Collections: {', '.join(collections)}."
        )
    return collections[collectionId]


def requested_filter(
    query: Annotated[str | None, Query(alias="filter", description="CQL2 filter")] = None,
    _lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")] = None,
) -> Expr | None:
    """The filter of a request, checked to use only operators and functions of CQL2."""
    if query is None:
        return None
    try:
        tree = Expr(query).to_json()
    except Exception as error:
        raise HTTPException(400, f"The filter is not CQL2: {error}") from error
    if unknown := sorted(set(operations(tree)) - CQL2):
        raise HTTPException(400, f"The filter uses {', '.join(unknown)}, which CQL2 does not define.")
    return Expr(tree)  # from JSON, whose geometries have a CRS


def operations(tree: Any) -> Iterator[str]:
    """Every operator and function in a CQL2 expression (JSON)."""
    if isinstance(tree, dict):
        if "op" in tree:
            yield str(tree["op"])
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from operations(part)
