"""Sample data for the storage tests: a region, tiles, a model, squares of water near 42 N 77 E."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import geopandas as gpd
import pandas as pd
import pytest
from shapely import MultiPolygon, Polygon, box
from sqlalchemy import Connection

from storage import ledger, registry
from storage.codes import ModelState, SurveyKind
from storage.database import Database
from storage.history import Survey

SPACE = UUID("6f5c0c2e-6f0e-4b8e-9c77-0a4a3c0f2c11")


class World:
    """Sample values to store. The same arguments always give the same ids."""

    region = "demo"
    model = "sha256:abc"
    tiles = ("32643_1024_0530_0060", "32643_1024_0530_0061")

    def uuid(self, *parts: object) -> UUID:
        return uuid5(SPACE, "|".join(map(str, parts)))

    def square(self, number: int, size: float = 0.002) -> Polygon:
        """About 0.04 km2 at 42 N; squares do not touch each other."""
        west, south = 77.0 + 0.01 * (number % 200), 42.0 + 0.01 * (number // 200)
        return box(west, south, west + size, south + size)

    def survey(self, season: int = 2021, name: str = "a", kind: SurveyKind = SurveyKind.MODEL) -> Survey:
        return Survey(
            self.uuid(season, name, kind), self.region, season, kind, f"source {kind}", "sha256:abc"
        )

    def lakes(self, *numbers: int) -> pd.DataFrame:
        ids = [self.uuid("lake", number) for number in numbers]
        return pd.DataFrame({"id": ids, "code": [f"GL{number:06d}E42000N" for number in numbers]})

    def water(self, *numbers: int, size: float = 0.002) -> gpd.GeoDataFrame:
        rows = {
            "lake_id": [self.uuid("lake", number) for number in numbers],
            "outcome": "water",
            "reason": None,
            "sigma_m2": 900.0,
            "sigma_shore_m2": 540.0,
            "sigma_model_m2": 720.0,
            "perimeter_m": 800.0,
            "seen_share": 0.9,
            "first_day": pd.Timestamp("2021-07-20"),
            "last_day": pd.Timestamp("2021-08-30"),
            "probability": 0.93,
            "elevation_m": 3600.0,
        }
        return gpd.GeoDataFrame(rows, geometry=[self.square(number, size) for number in numbers], crs=4326)

    def lineage(self, *rows: tuple[str, int, int | None]) -> pd.DataFrame:
        return pd.DataFrame(
            [
                (kind, self.uuid("lake", lake), None if other is None else self.uuid("lake", other))
                for kind, lake, other in rows
            ],
            columns=["kind", "lake_id", "other_lake_id"],
        )

    def flags(self, *scores: float) -> gpd.GeoDataFrame:
        rows = {
            "tile": self.tiles[0],
            "lake_id": None,
            "kind": "model only",
            "explained": [score < 0.5 for score in scores],
            "score": list(scores),
            "detail": [{"pixels": int(score * 100)} for score in scores],
        }
        return gpd.GeoDataFrame(rows, geometry=[self.square(n, 0.02) for n in range(len(scores))], crs=4326)

    def task(self, name: str, tile: int = 0, season: int = 2021) -> ledger.PlannedTask:
        scene = ledger.FrozenScene(
            "sentinel-2-l2a", f"S2A_{name}", "05.09", pd.Timestamp(f"{season}-08-01", tz="UTC")
        )
        key = self.uuid("task", name, tile, season)
        return ledger.PlannedTask(
            key, self.region, self.tiles[tile], season, self.model, "sha256:cfg", (scene,)
        )

    def store(self, conn: Connection) -> None:
        """Store region, tiles and model."""
        registry.upsert_region(conn, self.region, MultiPolygon([box(76.9, 41.9, 79.1, 44.0)]))
        registry.upsert_tiles(
            conn,
            [
                registry.TileRow(name, 32643, 1024, 530 * 1024, (60 + n) * 1024, self.square(n, 0.1))
                for n, name in enumerate(self.tiles)
            ],
        )
        registry.register_model(conn, self.model, "tiny", "1", {"chip": 224}, state=ModelState.ACTIVE)


@pytest.fixture
def world(database: Database) -> World:
    made = World()
    with database.begin() as conn:
        made.store(conn)
    return made


@pytest.fixture
def full_disk(workspace: Path) -> Iterator[Path]:
    """A file system of 2 MB, writable by the database's account."""
    workspace.chmod(0o755)
    disk = workspace / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "lakes", disk]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small file system")
    shutil.chown(disk, "postgres")
    yield disk
    subprocess.run(["umount", disk], check=True)
