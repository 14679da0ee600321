"""The whole path over an archive of which a season lacks a sensor: the index, and a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from monitor.workspace import Workspace, open_database, open_system
from storage.codes import NO_ANSWER, Reason
from tests.support.places import MODEL
from tests.support.sensor_sets import model_with_all, model_with_fewer
from tests.support.workspaces import make_workspace, monitor, run_here

pytestmark = pytest.mark.slow
COLLECTIONS = {"Sentinel-1": "sentinel-1-rtc", "Sentinel-2": "sentinel-2-l2a"}
SIZE = 512


def archive_without(sensor: str, season: int, source: Path, folder: Path) -> Path:
    """A copy of an archive without the items of a sensor in a season."""
    archive = Path(shutil.copytree(source, folder))
    items = [
        path
        for path in (archive / COLLECTIONS[sensor]).rglob("*.json")
        if json.loads(path.read_text()).get("properties", {}).get("datetime", "").startswith(str(season))
    ]
    assert items
    for path in items:
        path.unlink()
    return archive


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return [dict(row) for row in conn.execute(text(query)).mappings()]


def layers(folder: Path, season: int) -> dict[str, np.ndarray]:
    """The layers of the one tile of the region."""
    with open_system(Workspace.open(folder)) as system:
        cube = system.cube("demo")
        ((row, col),) = cube.written(32643, season)
        window = slice(row * SIZE, (row + 1) * SIZE), slice(col * SIZE, (col + 1) * SIZE)
        names = ("mask", "sources", "reason", "day_of_year", "index")
        return {name: cube.read(32643, season, *window, name) for name in names}


def planned(folder: Path, season: int) -> dict[str, Any]:
    answer = monitor("plan", "-w", folder, "-s", str(season), "--json")
    assert answer.returncode == 0, answer.stderr
    (tile,) = json.loads(answer.stdout)
    return dict(tile)


def test_three_seasons_of_which_one_has_no_radar(small_archive: Path, workspace: Path) -> None:
    archive = archive_without("Sentinel-1", 2022, small_archive, workspace / "archive")
    folder = make_workspace(workspace / "place", archive, model="index-baseline")
    tile = planned(folder, 2022)
    assert (tile["action"], tile["sensors"]) == ("new", "S2L2A+DEM")
    assert tile["why"][-1]["reason"] == "S2L2A+DEM only, no usable Sentinel-1 scene"
    assert planned(folder, 2021)["sensors"] == "S2L2A+S1+DEM"
    reports = {report.season: report for report in run_here(folder, 2021, 2022, 2023)}
    assert all(report.tiles == {"done": 1} for report in reports.values())
    for season, codes in ((2021, {5, 7}), (2022, {5}), (2023, {5, 7})):
        found = layers(folder, season)
        answered = found["mask"] != NO_ANSWER
        # at the edge of a swath a full season lacks radar, too
        assert set(np.unique(found["sources"][answered])) <= codes
        assert (found["sources"][answered] == max(codes)).mean() > 0.5
        assert not found["sources"][~answered].any() and answered.mean() > 0.3
        names = {"S2L2A+DEM"} if season == 2022 else {"S2L2A+DEM", "S2L2A+S1+DEM"}
        assert set(reports[season].seen_by) <= names
    assert reports[2022].sensors == f"lakes seen: {reports[2022].seen_by['S2L2A+DEM']} by S2L2A+DEM"
    seen = rows(folder, "SELECT season, outcome, sensors FROM lake_area_history")
    assert all((row["sensors"] is None) == (row["outcome"] == "not observed") for row in seen)
    full = [row for row in seen if row["season"] == 2021 and row["sensors"] == "S2L2A+S1+DEM"]
    assert len(full) >= 5
    water = {
        season: sum(row["season"] == season and row["outcome"] == "water" for row in seen)
        for season in (2021, 2022, 2023)
    }
    assert min(water.values()) >= 5
    assert planned(folder, 2022)["action"] == "done"


@pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")
def test_a_season_of_radar_after_one_of_all_sensors(small_archive: Path, workspace: Path) -> None:
    """The network was not trained for radar alone, so no area is compared. Nothing is dry or has drained."""
    archive = archive_without("Sentinel-2", 2022, small_archive, workspace / "archive")
    model = model_with_fewer(workspace / "model")
    folder = make_workspace(workspace / "place", archive, model=str(model))
    tile = planned(folder, 2022)
    assert (tile["action"], tile["sensors"]) == ("new", "S1+DEM")
    assert tile["why"][-1]["reason"] == "S1+DEM only, no usable Sentinel-2 scene"
    reports = {report.season: report for report in run_here(folder, 2021, 2022)}
    assert all(report.tiles == {"done": 1} for report in reports.values())
    found = layers(folder, 2022)
    answered = found["mask"] != NO_ANSWER
    assert np.array_equal(np.unique(found["sources"][answered]), [6]) and answered.mean() > 0.3
    assert not found["day_of_year"].any() and (found["index"] == 255).all()
    assert set(np.unique(found["reason"])) <= {
        Reason.NODATA, Reason.WATER, Reason.DRY, Reason.SHADOW, Reason.OUTSIDE,
    }  # fmt: skip
    radar = rows(
        folder,
        "SELECT outcome, reason, sensors, first_day, sigma_m2 FROM lake_area_history WHERE season = 2022",
    )
    assert len(radar) >= 3
    assert {row["outcome"] for row in radar} <= {"water", "not observed"}
    assert {row["sensors"] for row in radar if row["outcome"] == "water"} <= {"S1+DEM"}
    assert all(row["first_day"] is None for row in radar)
    reasons = {row["reason"] for row in radar if row["outcome"] == "not observed"}
    assert reasons <= {"no water to radar alone", "terrain shadow", "no image"}
    events = rows(folder, "SELECT event FROM lake_events WHERE season = 2022")
    assert not {row["event"] for row in events} & {"drained", "new"}
    assert rows(folder, "SELECT * FROM lake_drainage WHERE verdict = 'drained'") == []
    old = make_workspace(workspace / "old", archive, model=str(model_with_all(workspace / "all")))
    assert planned(old, 2022)["why"][0]["reason"].startswith("no usable Sentinel-2 scene")
