"""Real Sentinel-1, Sentinel-2 and DEM tiles (TerraMesh) through the whole path.

The tiles are from three continents and UTM zones, without scene classes. One still has the offset of +1000,
which its item declares. The lakes found are not assessed here: the small model was trained on simulated
mountains only, and its model card has the scores.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from monitor.grid import tiles_of
from monitor.operations.runs import run_seasons, seasons_of
from monitor.progress import SILENT
from monitor.workspace import Workspace, open_system
from storage.codes import Reason
from tests.support.places import MODEL
from tests.support.samples import TERRAMESH_PROFILE, sample, save, wrap
from tests.support.workspaces import tables

#: tile, date, declared offset of its digital numbers, months of the season
TILES = {
    "282D_485L": (datetime(2021, 7, 21, tzinfo=UTC), 0, ("07-01", "07-31")),
    "433D_629L": (datetime(2020, 4, 11, tzinfo=UTC), -1000, ("04-01", "04-30")),
    "637U_59R": (datetime(2017, 10, 30, tzinfo=UTC), 0, ("10-01", "10-31")),
}


@pytest.fixture
def place(workspace: Path) -> Path:
    """A workspace with the three tiles, each a region of its own."""
    regions = {}
    for name, (day, offset, (start, end)) in TILES.items():
        scaled = [{"scale": 1e-4, "offset": offset * 1e-4}] * 12
        for folder, collection, bands in (
            ("S2L2A", "s2", scaled),
            ("S1RTC", "s1", [{}] * 2),
            ("DEM", "dem", [{}]),
        ):
            (raster,) = sample(f"terramesh/{folder}").glob(f"*{name}*")
            item = wrap(raster, f"{collection}-{name}", collection, day, bands)
            save(item, workspace / "archive")
        regions[name] = {"bounds": item.bbox, "season": {"start": start, "end": end}}
    (workspace / "tiles.yaml").write_text(yaml.safe_dump(TERRAMESH_PROFILE))
    settings = {
        "catalog": {
            "profile": "tiles.yaml",
            "location": "archive",
            "hosts": [str(sample("terramesh").resolve())],
        },
        "model": str(MODEL),
        "regions": regions,
        "tile_size": 256,
    }
    (workspace / "monitor.yaml").write_text(yaml.safe_dump(settings))
    return workspace


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_real_tiles_through_the_whole_path(place: Path) -> None:
    workspace = Workspace.open(place)
    with open_system(workspace) as system:
        for name, (day, _, _) in TILES.items():
            (report,) = run_seasons(system, seasons_of([name], [day.year]), "test", lambda _: SILENT).reports
            assert not report.failed, report.reasons
            assert report.tiles["done"] >= 1
            _check_cube(system.cube(name), workspace.region(name).outline, day)
    rows = tables(place)
    assert {row[1] for row in rows["survey"]} == set(TILES)
    water = [row for row in rows["lake_observation"] if row[4] == "water"]
    assert all(row[7] > 0 and row[10] == TILES[_region_of(rows, row[2])][0].date() for row in water)


def _region_of(rows: dict[str, list[tuple[object, ...]]], survey: object) -> str:
    return next(str(row[1]) for row in rows["survey"] if row[0] == survey)


def _check_cube(cube: object, outline: object, day: datetime) -> None:
    """Every pixel of the tile has a result of its date, and no pixel beside it."""
    tiles = tiles_of(outline, 256)  # type: ignore[arg-type]
    answered = 0
    for tile in tiles:
        window = slice(tile.row, tile.row + 256), slice(tile.col, tile.col + 256)
        probability, reason, days = (
            cube.read(tile.epsg, day.year, *window, layer)  # type: ignore[attr-defined]
            for layer in ("probability", "reason", "day_of_year")
        )
        seen = np.isfinite(probability)
        answered += int(seen.sum())
        assert (days[seen] == day.timetuple().tm_yday).all()
        assert not np.isin(reason[~seen], (Reason.WATER, Reason.DRY)).any()
    # 224 x 224 pixels are rotated against the grid: outer rows and columns have incomplete neighbourhoods
    assert 222 * 222 <= answered <= 225 * 225
