"""A STAC API: stac-fastapi on pgstac, as at Planetary Computer, with a database of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import FastAPI
from pypgstac.db import PgstacDB
from pypgstac.load import Loader
from pypgstac.migrate import Migrate
from sqlalchemy import URL, create_engine, make_url, text
from stac_fastapi.pgstac.app import instantiate_api
from stac_fastapi.pgstac.config import PostgresSettings
from stac_fastapi.pgstac.db import close_db_connection, connect_to_db

Json = dict[str, Any]


def read_archive(folder: Path, href: Callable[[str], str]) -> tuple[list[Json], list[Json]]:
    """Collections and items of the JSON files below a folder, unchanged except for the addresses of assets.

    `href` returns the address of an asset, given its path below the folder.
    """
    collections, items = [], []
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text())
        if content["type"] == "Collection":
            collections.append(content)
        elif content["type"] == "Feature":
            place = PurePosixPath(path.parent.relative_to(folder).as_posix())
            for asset in content["assets"].values():
                asset["href"] = href(str(place / asset["href"]))
            items.append(content)
    return collections, items


@contextmanager
def pgstac_database(postgis_url: str, collections: Iterable[Json], items: Iterable[Json]) -> Iterator[URL]:
    """Create a database with pgstac's schema, collections and items on the server of `postgis_url`."""
    server = make_url(postgis_url)
    database = server.set(database=f"stac_{uuid4().hex}")
    administration = create_engine(server.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with administration.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {database.database}"))
    try:
        where = database.set(drivername="postgresql").render_as_string(hide_password=False)
        with PgstacDB(where) as pgstac:
            Migrate(pgstac).run_migration()
            Loader(pgstac).load_collections(iter(collections))
            Loader(pgstac).load_items(iter(items))
        yield database
    finally:
        with administration.connect() as conn:
            conn.execute(text(f"DROP DATABASE {database.database} WITH (FORCE)"))
        administration.dispose()


def stac_api(database: URL) -> FastAPI:
    """The API over a database of `pgstac_database`. Links in its responses use the request's host name."""
    place = PostgresSettings(
        pguser=database.username or "",
        pgpassword=database.password or "",
        pghost=quote(str(database.query["host"]), safe=""),
        pgport=int(str(database.query["port"])),
        pgdatabase=database.database or "",
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await connect_to_db(app, postgres_settings=place)
        yield
        await close_db_connection(app)

    app: FastAPI = instantiate_api(lifespan=lifespan).app
    return app
