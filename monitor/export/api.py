"""`monitor serve`: lakes, their history and changes as OGC API Features and vector tiles, by tipg.

The server reads the schema `served` through a role without any other rights (`storage/reader.py`). tipg
handles the requests. This module defines its collections with their identities and dates. `parameters.py`
checks the parameters of a request, `filters.py` its filter (tipg passes any function to the database),
`served.py` gives them their meaning, `sheets.py` answers with CSV, and `pages.py` has the HTML pages.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.responses import JSONResponse
from starlette_cramjam.middleware import CompressionMiddleware
from tipg.collections import Catalog, Collection, Column, mvt_settings
from tipg.dependencies import TileParams, bbox_query, datetime_query, filter_query
from tipg.errors import DEFAULT_STATUS_CODES, InvalidDatetime, MissingDatetimeColumn, MissingGeometryColumn
from tipg.extensions.viewer import viewerExtension
from tipg.factory import Endpoints
from tipg.middleware import CacheControlMiddleware

from monitor.errors import RefusedError
from monitor.export import sheets
from monitor.export.filters import CQL2, operations
from monitor.export.pages import add_pages, templates
from monitor.export.parameters import (
    checked,
    every_collection,
    requested_box,
    requested_collection,
    requested_days,
    requested_filter,
    requested_tile,
)
from monitor.export.served import ServedCollection
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

__all__ = ["COLLECTIONS", "CQL2", "TITLE", "application", "catalog", "listen", "operations", "serve_lakes"]

_log = logging.getLogger(__name__)
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
#: features of a vector tile; tipg would leave out those beyond 10,000
TILE_FEATURES = 1_000_000
#: seconds for which clients may cache a response, and after which the catalogue is read again
KEPT_S, CATALOG_S = 60, 300


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
    mvt_settings.max_features_per_tile = TILE_FEATURES
    app = FastAPI(title=TITLE, openapi_url="/api", docs_url=None, redoc_url=None)
    app.state.pool, app.state.collection_catalog = pool, catalog(views)
    pages = templates()
    endpoints = Endpoints(
        title=TITLE,
        templates=pages,
        collection_dependency=requested_collection,
        collections_dependency=every_collection,
        with_tiles_viewer=False,
        extensions=[viewerExtension()],
    )
    app.state.tile_route = next(
        one for one in endpoints.ogc_tiles.router.routes if getattr(one, "name", "") == "collection_get_tile"
    )
    app.include_router(sheets.router, dependencies=[Depends(checked)])
    app.include_router(endpoints.router, dependencies=[Depends(checked)])
    app.dependency_overrides |= {
        filter_query: requested_filter,
        bbox_query: requested_box,
        datetime_query: requested_days,
        TileParams: requested_tile,
    }
    app.add_middleware(CacheControlMiddleware, cachecontrol=f"public, max-age={KEPT_S}")
    app.add_middleware(CompressionMiddleware, compression_level=6)
    add_pages(app, pages)
    codes = {
        **DEFAULT_STATUS_CODES,
        MissingDatetimeColumn: 400,
        InvalidDatetime: 400,
        MissingGeometryColumn: 404,
        TooLong: 503,
    }
    for kind, status in (codes | dict.fromkeys((*BadQuestion, ValueError), 400)).items():
        app.add_exception_handler(kind, _answer(status))
    return app


def _answer(status: int) -> Callable[[Request, Exception], JSONResponse]:
    """A handler of an error: its message with a status, and a line of the log if the server is at fault."""

    def handler(request: Request, error: Exception) -> JSONResponse:
        if status >= 500:
            _log.error("%r: %r", str(request.url), error)
        return JSONResponse({"detail": str(error)}, status)

    return handler


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
            _log.warning("the catalogue could not be read again: %r", error)


def _collection(view: ServedView, identity: str, day: str | None) -> ServedCollection:
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
    return ServedCollection(
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
