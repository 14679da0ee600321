"""`monitor serve`: lakes, their history and changes as OGC API Features and vector tiles, by tipg.

What is offered is the schema `served`, read by a role that may read nothing else (`storage/reader.py`). tipg
answers the questions; here are its collections with their identities and dates, and two rules of our own: a
filter may only use what CQL2 defines, where tipg would pass any function on to the database, and pages escape
what they show.
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
#: what identifies a row of a collection, and the day that `datetime=` asks for
COLLECTIONS: dict[str, tuple[str, str | None]] = {
    "lake_latest": ("lake_id", "last_day"),
    "lake_area_history": ("observation_id", "last_day"),
    "lake_change_yearly": ("change_id", "day_after"),
    "lake_drainage": ("drainage_id", "day_after"),
    "lake_trend": ("lake_id", None),
    "review_queue": ("flag_id", "created_at"),
}
#: how long pages and tiles may be kept, and after how long the catalogue is read anew
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
        RefusedError: the address is taken or not this machine's.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return Listening(socket.create_server(address[:2], family=family))
    except (OSError, OverflowError) as error:
        raise RefusedError(
            f"--host {host} --port {port}: nothing can be served there: {error}. If another server has the "
            "port, stop that one or choose another with --port; --host is an address of this machine."
        ) from error


def serve_lakes(workspace: Workspace, listening: Listening, ready: Callable[[], None]) -> None:
    """Serve a workspace's lakes until Ctrl-C; `ready` is called once requests are answered.

    Raises:
        RefusedError: the database cannot be read that way.
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
    # tipg's own pages escape nothing, and show notes and attributes that people wrote
    loaders = [jinja2.FileSystemLoader(Path(__file__).parent / "templates"), jinja2.PackageLoader("tipg")]
    templates = Jinja2Templates(env=jinja2.Environment(autoescape=True, loader=jinja2.ChoiceLoader(loaders)))
    endpoints = Endpoints(
        title=TITLE,
        templates=templates,
        collection_dependency=asked_collection,
        extensions=[viewerExtension()],
    )
    app.include_router(endpoints.router)
    app.dependency_overrides[filter_query] = asked_filter
    app.add_middleware(CacheControlMiddleware, cachecontrol=f"public, max-age={KEPT_S}")
    app.add_middleware(CompressionMiddleware, compression_level=6)
    codes = {**DEFAULT_STATUS_CODES, MissingDatetimeColumn: 400, MissingGeometryColumn: 404, TooLong: 503}
    add_exception_handlers(app, codes | dict.fromkeys((*BadQuestion, ValueError), 400))
    return app


def catalog(views: list[ServedView]) -> Catalog:
    """tipg's collections of what is served; a view that is not in COLLECTIONS is not offered."""
    found = {view.name: view for view in views}
    collections: dict[str, Collection] = {
        name: _collection(found[name], *keys) for name, keys in COLLECTIONS.items() if name in found
    }
    return Catalog(collections=collections, last_updated=datetime.now())


async def _keep_current(app: FastAPI) -> None:
    """Read the catalogue anew from time to time, for where and when there are lakes by now."""
    while True:
        await asyncio.sleep(CATALOG_S)
        try:
            app.state.collection_catalog = catalog(await served_views(app.state.pool))
        except Exception as error:  # requests say what is wrong; the next time may be better
            logging.getLogger(__name__).warning("the catalogue stays as it was: %s", error)


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


def asked_collection(
    request: Request, collectionId: Annotated[str, InPath(description="Collection identifier")]
) -> Collection:
    """The collection of a request."""
    collections: dict[str, Collection] = request.app.state.collection_catalog["collections"]
    if collectionId not in collections:
        raise HTTPException(404, f"There is no collection {collectionId}, but {', '.join(collections)}.")
    return collections[collectionId]


def asked_filter(
    query: Annotated[str | None, Query(alias="filter", description="CQL2 filter")] = None,
    _lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")] = None,
) -> Expr | None:
    """The filter of a request, by CQL2's own operators and functions alone."""
    if query is None:
        return None
    try:
        tree = Expr(query).to_json()
    except Exception as error:
        raise HTTPException(400, f"The filter is not CQL2: {error}") from error
    if strange := sorted(set(operations(tree)) - CQL2):
        raise HTTPException(400, f"The filter uses {', '.join(strange)}, which CQL2 does not have.")
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
