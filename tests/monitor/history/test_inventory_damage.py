"""Inventories with seeded damage: each row is a lake of the truth, or left out with a reason.

A quarter of the seeds damage bytes of the file as well; then only the account of the rows is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.history.inventories.importing import record_inventory
from monitor.history.inventories.mapping import Mapping
from monitor.history.inventories.outlines import InventoryLakes, prepare, read_inventory
from monitor.settings import Region, RegionSettings
from storage.database import Database

BOUNDS = (80.0, 30.0, 82.0, 31.0)
REGION = Region("r", RegionSettings(bounds=BOUNDS), shapely.box(*BOUNDS), shapely.box(*BOUNDS))
SEASON, DAY = 2018, date(2018, 8, 15)
FORMATS = ("gpkg", "geojson", "shp", "parquet", "fgb")
#: damage of an outline that leaves a lake of the same place
REPAIRED = ("bow-tie", "collection", "z", "nested")
#: damage of an outline after which there is no lake
LOST = ("none", "empty", "point", "line", "flat")
HEIGHTS = {"good": 4900.0, "missing": None, "far": -9999.0, "huge": 1e9}
DAYS = {"good": "2018-08-15", "compact": "20180815", "missing": None, "blank": " ", "swapped": "15/08/2018",
        "epoch": "1970-01-01", "none": "2018-13-40", "words": "August"}  # fmt: skip
READABLE_DAYS = ("good", "compact")
MISSING = ("missing", "blank")


@dataclass(frozen=True)
class Row:
    """A row as it is written, and the damage of its outline, height and day."""

    place: BaseGeometry
    outline: str
    height: str
    day: str
    year: int | None

    @property
    def geometry(self) -> BaseGeometry | None:
        west, south, east, north = self.place.bounds
        corner = shapely.Point(west, south)
        damaged: dict[str, BaseGeometry | None] = {
            "good": self.place,
            "none": None,
            "empty": shapely.Polygon(),
            "point": corner,
            "line": shapely.LineString([(west, south), (east, north)]),
            "flat": shapely.Polygon([(west, south), (east, south), ((west + east) / 2, south)]),
            "bow-tie": shapely.Polygon([(west, south), (east, north), (east, south), (west, north)]),
            "collection": shapely.GeometryCollection([self.place, corner]),
            "nested": shapely.GeometryCollection([shapely.GeometryCollection([self.place]), corner]),
            "z": shapely.force_3d(self.place, 4900.0),
        }
        return damaged[self.outline]

    @property
    def area(self) -> float:
        return self.place.area / (2 if self.outline == "bow-tie" else 1)


def rows_of(rng: np.random.Generator) -> list[Row]:
    """Between 2 and 12 rows; most of them are not damaged."""

    def pick(good: str, others: Any, share: float) -> str:
        return str(rng.choice(list(others))) if rng.random() < share else good

    rows = []
    for number in range(int(rng.integers(2, 13))):
        x = 80.1 + 0.1 * number + (10 if rng.random() < 0.1 else 0)
        place = shapely.box(x, 30.1, x + 0.01, 30.11)
        if rows and rng.random() < 0.1:
            place = rows[0].place
        outline = pick("good", (*REPAIRED, *LOST), 0.3)
        year = [SEASON, 2019, None][int(rng.choice(3, p=[0.85, 0.1, 0.05]))]
        rows.append(Row(place, outline, pick("good", HEIGHTS, 0.3), pick("good", DAYS, 0.3), year))
    return rows


def written(rows: list[Row], folder: Path, kind: str) -> Path:
    """The rows as a file. A shapefile cannot have rows of several kinds: they have no geometry there."""
    geometries = [row.geometry for row in rows]
    if kind == "shp":
        geometries = [g if g is not None and "Polygon" in g.geom_type else None for g in geometries]
    frame = geopandas.GeoDataFrame(
        {
            "row": [f"r{at}" for at in range(len(rows))],
            "why": [HEIGHTS[row.height] for row in rows],
            "repaired": [DAYS[row.day] for row in rows],
            "year": [row.year for row in rows],
        },
        geometry=geometries,
        crs=4326,
    )
    path = folder / f"lakes.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, engine="pyogrio", **({"SPATIAL_INDEX": "NO"} if kind == "fgb" else {}))
    return path


def damaged(path: Path, rng: np.random.Generator) -> None:
    """Cut one of the files of the inventory, or change some of its bytes."""
    path = Path(rng.choice(sorted(map(str, path.parent.iterdir()))))
    content = bytearray(path.read_bytes())
    if rng.random() < 0.4:
        del content[int(rng.integers(len(content))) :]
    for at in rng.integers(0, max(len(content), 1), int(rng.integers(1, 40))):
        if content:
            content[at] = int(rng.integers(256))
    path.write_bytes(content)


def check(seed: int, folder: Path) -> tuple[InventoryLakes, Mapping, Path] | None:
    """One seed: the account of the rows, and the lakes, are those of the truth; None where it is refused."""
    rng = np.random.default_rng(seed)
    rows, kind = rows_of(rng), FORMATS[int(rng.integers(len(FORMATS)))]
    if kind == "fgb" and any(row.outline == "z" for row in rows):
        kind = "gpkg"  # FlatGeobuf has either two dimensions or three
    path = written(rows, folder, kind)
    mapping = Mapping(
        source=f"s{seed}", label="row", elevation_m="why", first_day="repaired", year="year",
        complete=bool(rng.random() < 0.3), attributes={"why": "row", "geometry": "year"},
    )  # fmt: skip
    broken = rng.random() < 0.25
    if broken:
        damaged(path, rng)
    try:
        lakes = prepare(read_inventory(path, mapping), SEASON, mapping, REGION)
    except RefusedError as error:
        assert str(path) in str(error), "the message names the file"
        assert broken or _refusal_is_right(rows, mapping, kind), error
        return None
    assert len(lakes.lakes) + sum(lakes.left_out.values()) == lakes.rows
    assert not (mapping.complete and lakes.lost)
    assert lakes.lakes.is_valid.all()
    if not broken:
        _equals_truth(rows, lakes, kind)
    return lakes, mapping, path


def lost(row: Row, kind: str) -> bool:
    """Whether a row should be a lake of the season and cannot be one."""
    gone = row.outline in LOST or (kind == "shp" and row.outline in ("collection", "nested"))
    return row.year is None or (gone and row.year == SEASON)


def of_season(rows: list[Row], kind: str) -> dict[int, Row]:
    return {at: row for at, row in enumerate(rows) if row.year == SEASON and not lost(row, kind)}


def used(rows: list[Row], kind: str) -> dict[int, Row]:
    """The rows that are lakes: in the region, and the first of equal outlines."""
    found: dict[tuple[Any, ...], int] = {}
    season = of_season(rows, kind)
    for at, row in season.items():
        if row.place.intersects(REGION.outline):
            found.setdefault((row.place.bounds, row.outline == "bow-tie"), at)
    return {at: season[at] for at in found.values()}


def unreadable(rows: dict[int, Row]) -> dict[str, list[int]]:
    """Rows whose height, and whose day, is neither missing nor right."""
    return {
        "why": [at for at, row in rows.items() if row.height in ("far", "huge")],
        "repaired": [at for at, row in rows.items() if row.day not in (*READABLE_DAYS, *MISSING)],
    }


def _refusal_is_right(rows: list[Row], mapping: Mapping, kind: str) -> bool:
    lakes = used(rows, kind)
    given = {"why": [row.height for row in lakes.values()], "repaired": [row.day for row in lakes.values()]}
    bad = unreadable(lakes)
    return (
        not of_season(rows, kind)
        or (mapping.complete and any(lost(row, kind) for row in rows))
        or any(bad[c] and len(bad[c]) == sum(v not in MISSING for v in given[c]) for c in bad)
    )


def _equals_truth(rows: list[Row], found: InventoryLakes, kind: str) -> None:
    truth = used(rows, kind)
    assert found.rows == len(rows)
    assert sorted(found.lakes.label) == sorted(f"r{at}" for at in truth)
    assert [loss.row for loss in found.lost] == [at for at, row in enumerate(rows) if lost(row, kind)]
    bad = unreadable(truth)
    assert sorted((loss.column, loss.row) for loss in found.values_lost) == sorted(
        (column, at) for column, places in bad.items() for at in places
    )
    for lake in found.lakes.itertuples():
        row = truth[int(lake.label[1:])]
        assert lake.geometry.area == pytest.approx(row.area, rel=1e-6)
        assert lake.geometry.bounds == pytest.approx(row.place.bounds)
        assert (lake.elevation_m == 4900.0) == (row.height == "good")
        assert lake.first_day == lake.last_day == (DAY if row.day in READABLE_DAYS else None)
        assert lake.attributes == {"why": lake.label, "geometry": SEASON}


@pytest.mark.parametrize("seed", range(25))
def test_damaged_inventories(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(25, 500))
def test_many_damaged_inventories(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


def test_what_is_read_can_be_recorded(database: Database, tmp_path: Path) -> None:
    """The database takes each result of some seeds: no constraint is left to it."""
    recorded = 0
    for seed in range(100, 112):
        folder = tmp_path / str(seed)
        folder.mkdir()
        if (read := check(seed, folder)) is None:
            continue
        lakes, mapping, path = read
        result = record_inventory(database, path, lakes, region=REGION, season=SEASON, mapping=mapping)
        assert result.rows == result.lakes + sum(result.left_out.values())
        recorded += result.changed
    assert recorded >= 4
