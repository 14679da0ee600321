"""A season with files of impossible numbers: named, and planned again without their items."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from monitor.archive.explanations import Refusal
from monitor.progress import SILENT
from monitor.run import plan_season
from monitor.workspace import Workspace, open_system
from storage import ledger
from storage.codes import Reason, SurveyKind, TaskState
from storage.cube_layout import LAYERS
from tests.support.listings import season, tile_of
from tests.support.workspaces import make_workspace, run_here

YEAR = 2022


@pytest.fixture(scope="module")
def damaged(small_archive: Path, module_workspace: Path) -> tuple[Path, str]:
    """A workspace over an archive whose best date has 64500 in four bands, and the id of its item."""
    archive = module_workspace / "archive"
    shutil.copytree(small_archive, archive)
    scenes = season(archive, YEAR)
    (best,) = {choice.optical[0] for choice in scenes.choices if choice.optical}
    (scene,) = (scene for scene in scenes.optical if scene.id == best)
    for band in ("B02", "B03", "B04", "B08"):
        with rasterio.open(scene.item["assets"][band]["href"], "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(np.full((1, *file.shape), 64500, np.uint16))
    return make_workspace(module_workspace / "damaged", archive, tile_size=256, model="index-baseline"), best


def test_the_season_goes_on_without_the_item(damaged: tuple[Path, str], small_archive: Path) -> None:
    folder, item = damaged
    (report,) = run_here(folder, YEAR)
    assert not report.failed and set(report.tiles) <= {"done", "empty"} and report.tiles["done"] >= 1
    workspace = Workspace.open(folder)
    with open_system(workspace) as system:
        planned = plan_season(system, workspace.region("demo"), YEAR, SILENT)
        with system.database.connect() as conn:
            rows = ledger.tasks(conn, "demo", YEAR)
    for entry in planned:
        scenes = entry.task.scenes
        assert item not in {scene.id for scene in scenes.optical}
        refused = dict(scenes.refused)[item]
        assert refused.code == Refusal.CONTENT
        assert f"{item}: asset B02 at " in str(refused) and "outside of -0.2 to 3" in str(refused)
    assert {row.state for row in rows if row.fault} == {TaskState.SUPERSEDED}
    (again,) = run_here(folder, YEAR)
    assert again.nothing_new, "what was refused is not read again"


def test_its_pixels_are_those_of_a_season_without_the_item(
    damaged: tuple[Path, str], small_archive: Path, module_workspace: Path
) -> None:
    folder, item = damaged
    other = make_workspace(
        module_workspace / "excluded",
        small_archive,
        model="index-baseline",
        catalog={
            "profile": "planetary-computer",
            "location": str(small_archive),
            "exclude": {item: "for comparison"},
        },
    )
    (report,) = run_here(other, YEAR)
    assert not report.failed, report.reasons
    tile = tile_of(small_archive)
    window = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
    cubes = [Workspace.open(path).cube_of(SurveyKind.INDEX, "demo") for path in (folder, other)]
    for name in LAYERS:
        one, two = (np.asarray(cube.read(tile.epsg, YEAR, *window, name)) for cube in cubes)
        assert np.array_equal(one, two, equal_nan=two.dtype.kind == "f"), name
        assert name != "reason" or (two == Reason.WATER).any()
