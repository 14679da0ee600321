"""A small lake history and cube for the tests of exports: two regions, three seasons, two UTM zones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import geopandas
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon, box
from sqlalchemy import create_engine, make_url, text

from monitor.grid import Tile, tiles_of
from monitor.workspace import Workspace
from storage import history, ledger, registry
from storage.codes import ModelState, Reason, SurveyKind
from storage.cube import Cube
from storage.database import Database
from storage.recording import record_survey
from tests.support.places import MODEL

SPACE = UUID("2f0f7d2e-4a9c-4be2-8d43-6a2f9f2f5c11")
SIZE = 256
#: a lake on the border of two UTM zones
AREA = box(77.95, 42.0, 78.05, 42.06)
SCENE = "https://stac.example/collections/sentinel-2-l2a/items/S2A_1"


def uid(*parts: object) -> UUID:
    return uuid5(SPACE, "|".join(map(str, parts)))


@dataclass
class Kept:
    """The stored history and cube: folder, database and identifiers."""

    folder: Path
    database: Database
    surveys: dict[int, UUID]
    tiles: list[Tile]
    """Tiles written in the season 2021."""
    pixels: dict[Tile, dict[str, NDArray[Any]]]
    out: Path
    """Folder for the exported files."""

    @property
    def workspace(self) -> Workspace:
        return Workspace.open(self.folder)


@contextmanager
def kept_world(postgis_url: str, template: str, folder: Path) -> Iterator[Kept]:
    """`keep` in a database of its own, shared by the tests of a module, which only read it."""
    admin = create_engine(make_url(postgis_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    name = f"export_{uuid4().hex}"
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        database = Database(make_url(postgis_url).set(database=name).render_as_string(hide_password=False))
        yield keep(folder, database)
        database.dispose()
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def outline(number: int, size: float) -> Polygon:
    west, south = 77.955 + 0.01 * number, 42.02
    return box(west, south, west + size, south + size)


def rows(season: int, *lakes: tuple[int, str, float]) -> geopandas.GeoDataFrame:
    """Observations as (number of the lake, outcome, size in degrees)."""
    return geopandas.GeoDataFrame(
        {
            "lake_id": [uid("lake", number) for number, *_ in lakes],
            "outcome": [outcome for _, outcome, _ in lakes],
            "reason": [{"dry": "dry", "not observed": "cloud"}.get(outcome) for _, outcome, _ in lakes],
            "sigma_m2": [900.0 if outcome == "water" else None for _, outcome, _ in lakes],
            "seen_share": [1.0 if outcome != "not observed" else 0.1 for _, outcome, _ in lakes],
            "first_day": [pd.Timestamp(f"{season}-07-20")] * len(lakes),
            "last_day": [pd.Timestamp(f"{season}-08-30")] * len(lakes),
        },
        geometry=[outline(n, size) if outcome == "water" else None for n, outcome, size in lakes],
        crs=4326,
    )


def keep(folder: Path, database: Database) -> Kept:
    """Inventory 2015, model 2021 and 2022 of `demo`, model 2021 of `other`; cube tiles of 2021."""
    folder.mkdir(exist_ok=True)
    regions = {"demo": {"bounds": list(AREA.bounds)}, "other": {"bounds": [70, 40, 71, 41]}}
    settings = {
        "catalog": {"profile": "planetary-computer"},
        "model": str(MODEL),
        "regions": regions,
        "tile_size": SIZE,
        "database": {"url": database.url},
    }
    (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
    surveys = _history(database)
    tiles, pixels = _pixels(folder, database, surveys[2021])
    return Kept(folder, database, surveys, tiles, pixels, out=folder)


def _history(database: Database) -> dict[int, UUID]:
    seasons = {
        2015: rows(2015, (1, "water", 0.002)).assign(
            label="L-17", attributes=[{"name": "Kölsai", "dam": 'a "b"'}]
        ),
        2021: rows(2021, (1, "water", 0.002), (2, "water", 0.003), (3, "water", 0.001)),
        2022: rows(2022, (1, "water", 0.003), (2, "dry", 0), (3, "not observed", 0), (4, "water", 0.001)),
    }
    ids = {}
    with database.begin() as conn:
        for name in ("demo", "other"):
            registry.upsert_region(conn, name, MultiPolygon([AREA]))
        registry.register_model(conn, "sha256:abc", "tiny", "1", {}, state=ModelState.ACTIVE)
        for season, observations in seasons.items():
            kind = SurveyKind.INVENTORY if season == 2015 else SurveyKind.MODEL
            ids[season] = _record(conn, "demo", season, kind, observations)
        _record(conn, "other", 2021, SurveyKind.MODEL, rows(2021, (7, "water", 0.002)))
    return ids


def _record(
    conn: Any, region: str, season: int, kind: SurveyKind, observations: geopandas.GeoDataFrame
) -> UUID:
    survey = history.Survey(uid(region, season), region, season, kind, f"{kind} 1", "sha256:abc")
    lakes = pd.DataFrame({"id": observations.lake_id, "code": "GL077960E42020N"})
    nothing = pd.DataFrame(columns=["kind", "lake_id", "other_lake_id"])
    new = pd.DataFrame([("new", uid("lake", 4), None)], columns=nothing.columns)
    events = new if season == 2022 else nothing
    record_survey(conn, survey, observations, lakes=lakes, lineage=events)
    return survey.id


def _pixels(
    folder: Path, database: Database, survey: UUID
) -> tuple[list[Tile], dict[Tile, dict[str, NDArray[Any]]]]:
    """Store random pixels in two tiles at opposite corners of zone 43 and one tile of zone 44."""
    every = tiles_of(AREA, SIZE)
    first, last = (sorted(t for t in every if t.epsg == 32643)[at] for at in (0, -1))
    written = [first, last, next(t for t in every if t.epsg == 32644)]
    scene = ledger.FrozenScene(
        "sentinel-2-l2a",
        "S2A_1",
        "05.09",
        pd.Timestamp("2021-08-01", tz="UTC"),
        item={"links": [{"rel": "collection", "href": SCENE.partition("/items/")[0]}]},
    )
    with database.begin() as conn:
        registry.upsert_tiles(
            conn, [registry.TileRow(t.name, t.epsg, t.size, t.row, t.col, t.footprint()) for t in every]
        )
        tasks = [
            ledger.PlannedTask(uid("task", t.name), "demo", t.name, 2021, "sha256:abc", "c", (scene,))
            for t in every
        ]
        ledger.plan_tasks(conn, tasks)
    cube = Cube(folder / "cube", SIZE, "demo")
    pixels = {}
    for number, tile in enumerate(written):
        cube.prepare(tile.epsg, 2021)
        pixels[tile] = _random(number)
        slot = cube.slot().write(tile.epsg, 2021, tile.row, tile.col, pixels[tile], uid("task", tile.name))
        cube.commit(slot, tile.name)
    cube.tag(f"demo-2021-{survey}")
    return written, pixels


def _random(seed: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    probability = random.random((SIZE, SIZE), dtype=np.float32)
    probability[:8] = np.nan
    mask = np.where(np.isnan(probability), 255, probability > 0.5).astype(np.uint8)
    return {
        "probability": probability,
        "mask": mask,
        "reason": np.choose(np.minimum(mask, 2), [Reason.DRY, Reason.WATER, Reason.CLOUD]).astype(np.uint8),
        "day_of_year": random.integers(180, 260, (SIZE, SIZE), dtype=np.int16),
        "index": random.integers(0, 2, (SIZE, SIZE), dtype=np.uint8),
        "uncertainty": (probability * (1 - probability)).astype(np.float32),
        "elevation": np.full(probability.shape, 4000, np.int16),
        "sources": np.where(mask == 255, 0, random.choice([7, 5], (SIZE, SIZE))).astype(np.uint8),
    }
