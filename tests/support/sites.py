"""A small lake history behind the API, in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import geopandas as gpd
import pandas as pd
import shapely
import uvicorn
from sqlalchemy import create_engine, make_url, text

from monitor.export.api import application, listen
from storage import history, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.reader import prepare_reader, reading, served_views
from storage.recording import record_survey

GROWN, DRAINED, FAR = (uuid5(NAMESPACE_URL, name) for name in ("grown", "drained", "far"))
AT = {GROWN: (77.0, 42.0), DRAINED: (77.05, 42.0), FAR: (78.5, 43.5)}


def lake(which: UUID, size: float | None) -> dict[str, Any]:
    """A row of a survey: a square of water, or a dry lake."""
    west, south = AT[which]
    wet = size is not None
    return {
        "lake_id": which,
        "outcome": "water" if wet else "dry",
        "reason": None if wet else "dry bed",
        "sigma_m2": 900.0 if wet else None,
        "perimeter_m": 800.0 if wet else None,
        "seen_share": 1.0,
        "geometry": shapely.box(west, south, west + size, south + size) if size is not None else None,
    }


def fill(database: Database) -> None:
    """Three lakes in three seasons: one grows, one drains in 2022; one flag per season."""
    sizes = {2020: (0.002, 0.003, 0.002), 2021: (0.003, 0.003, 0.002), 2022: (0.004, None, 0.002)}
    with database.begin() as conn:
        registry.upsert_region(conn, "demo", shapely.MultiPolygon([shapely.box(76.9, 41.9, 79.1, 44.0)]))
        footprint = shapely.box(77, 42, 77.1, 42.1)
        registry.upsert_tiles(conn, [registry.TileRow("t", 32643, 1024, 530 * 1024, 60 * 1024, footprint)])
        for season, of in sizes.items():
            rows = gpd.GeoDataFrame([lake(*row) for row in zip(AT, of, strict=True)], crs=4326)
            rows["first_day"], rows["last_day"] = (
                pd.Timestamp(f"{season}-{day}") for day in ("07-20", "08-30")
            )
            first = season == 2020
            flag = {"tile": "t", "lake_id": None, "kind": "model only", "explained": False, "score": 0.7}
            flags = gpd.GeoDataFrame([flag | {"detail": {"pixels": 9}}], geometry=[footprint], crs=4326)
            record_survey(
                conn,
                history.Survey(uuid4(), "demo", season, SurveyKind.MODEL, "a model", "sha256:abc"),
                rows,
                lakes=pd.DataFrame(
                    {"id": list(AT) if first else [], "code": ["GA", "GB", "GC"] if first else []}
                ),
                lineage=pd.DataFrame(columns=["kind", "lake_id", "other_lake_id"]),
                flags=flags,
            )


@contextmanager
def own_database(postgis_url: str, template: str) -> Iterator[Database]:
    """An empty database of the project's schema, dropped at the end."""
    admin = create_engine(make_url(postgis_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    name = f"site_{uuid4().hex}"
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        database = Database(make_url(postgis_url).set(database=name).render_as_string(hide_password=False))
        try:
            yield database
        finally:
            database.dispose()
            conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextmanager
def site_of(database: Database) -> Iterator[str]:
    """The address of the API over a database."""
    url = prepare_reader(database)
    servers: list[uvicorn.Server] = []
    started = threading.Event()

    async def serve(listening: Any) -> None:
        async with reading(url) as pool:
            app = application(pool, await served_views(pool))
            config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=5)
            servers.append(uvicorn.Server(config))
            started.set()
            await servers[0].serve(sockets=[listening])

    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listening.socket)))
        thread.start()
        assert started.wait(30)
        yield listening.url.rstrip("/")
        servers[0].should_exit = True
        thread.join(30)
