"""`monitor scenes`: scenes that would be used, reasons for the others, gaps; through the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from matplotlib import pyplot as plt
from typer.testing import CliRunner

from monitor.archive.explanations import Refusal
from monitor.cli.main import app
from monitor.cli.scenes import group
from monitor.drawing.maps import SIMULATED
from monitor.report.scene_map import scene_figure
from monitor.report.scenes import report_scenes
from monitor.workspace import Workspace
from tests.support.places import MODEL
from tests.support.sensor_sets import model_with_all, model_with_fewer
from tests.support.workspaces import make_workspace, monitor

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")


@pytest.fixture
def place(small_archive: Path, tmp_path: Path) -> Path:
    """A workspace with its own copy of the archive, which tests may damage."""
    shutil.copytree(small_archive, tmp_path / "archive")
    return make_workspace(tmp_path, tmp_path / "archive")


def scenes(*arguments: str | Path, code: int = 0) -> str:
    answer = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["scenes", *map(str, arguments)])
    assert answer.exit_code == code, answer.output
    return answer.stdout


def report(folder: Path, season: int, code: int = 0) -> dict[str, Any]:
    (only,) = json.loads(scenes("-w", folder, "-s", str(season), "--json", code=code))
    return only


def items(folder: Path, collection: str, year: int) -> list[Path]:
    found = sorted(
        path for path in (folder / "archive" / collection).rglob("*.json") if f"_{year}" in path.name
    )
    assert found
    return found


def test_used_scenes_and_their_figures(place: Path) -> None:
    """Every figure compared with the archive: properties of the items, pixels of the scene classes."""
    found = report(place, 2021)
    by_id = {scene["id"]: scene for scene in found["optical"]}
    assert set(by_id) == {path.stem for path in items(place, "sentinel-2-l2a", 2021)}
    for path in items(place, "sentinel-2-l2a", 2021):
        properties, scene = json.loads(path.read_text())["properties"], by_id[path.stem]
        with rasterio.open(next(path.parent.glob("*SCL*.tif"))) as raster:
            cloud = np.isin(raster.read(1), (8, 9, 10)).mean()
        old = float(properties["s2:processing_baseline"]) < 4
        assert (scene["baseline"], scene["square"]) == (properties["s2:processing_baseline"], "43TFH")
        assert (scene["offset"], scene["harmonised"]) == ((0, "no need") if old else (-1000, "here"))
        assert scene["cloud"] == pytest.approx(cloud, abs=0.03)
        assert scene["catalogue_cloud"] == pytest.approx(properties["eo:cloud_cover"] / 100)
        assert scene["seen"] == pytest.approx(0.25, abs=0.01)  # 512 of 1024 pixels, both ways
    assert {scene["harmonised"] for scene in by_id.values()} == {"here", "no need"}
    (cell,) = [cell for cell in found["cells"] if cell["inside"]]
    clearest_first = [entry["cloud"] for entry in cell["optical"]]
    assert clearest_first == sorted(clearest_first)
    best = by_id[cell["optical"][0]["id"]]
    assert (best["first_in"], cell["best_day"]) == (1, best["datetime"][:10])
    assert cell["lacks"] == []


def test_the_text_has_dates_offsets_and_reasons_and_no_database_is_created(place: Path) -> None:
    answer = monitor("scenes", "-w", place, "-s", "2021")
    assert answer.returncode == 0, answer.stderr
    assert not (place / "postgis").exists()
    used = report(place, 2021)
    for scene in used["optical"]:
        line = next(line for line in answer.stdout.splitlines() if scene["id"] in line)
        for fact in (
            scene["datetime"][5:10],
            scene["baseline"],
            scene["harmonised"],
            f"{scene['cloud']:.0%}",
        ):
            assert fact in line
    assert "missing" not in answer.stdout
    radar = next(scene for scene in used["radar"] if scene["used_in"])
    assert f"{radar['days']:+.1f}" in answer.stdout and radar["orbit_state"] in answer.stdout
    other = next(scene for scene in used["radar"] if not scene["used_in"])
    refused = {entry["item"]: entry["reason"] for entry in used["refused"]}
    assert f"1 × {refused[other['id']]}: {other['id']}" in answer.stdout


def test_narrow_terminals_keep_every_figure_and_all_lists_the_ids(place: Path) -> None:
    text = scenes("-w", place, "-s", "2021", "--all")
    for scene in report(place, 2021)["optical"]:
        assert scene["id"] in text and scene["baseline"] in text
    assert "…" not in text


def test_reasons_for_unused_scenes(place: Path) -> None:
    """Refused for a missing band, for an unknown convention, and by the settings, each with its reason."""
    first, second, third = items(place, "sentinel-2-l2a", 2021)
    content = json.loads(first.read_text())
    del content["assets"]["B11"]
    first.write_text(json.dumps(content))
    content = json.loads(second.read_text())
    content["properties"]["s2:processing_baseline"] = "99.99"
    second.write_text(json.dumps(content))
    settings = (place / "monitor.yaml").read_text()
    excluded = settings.replace("catalog:\n", f"catalog:\n  exclude: {{{third.stem}: cut in half}}\n")
    (place / "monitor.yaml").write_text(excluded)
    found = report(place, 2021)
    reasons = {entry["item"]: entry["reason"] for entry in found["refused"]}
    (lacking,) = [entry for entry in found["refused"] if entry["item"] == first.stem]
    assert (lacking["code"], lacking["params"]) == ("lacks_assets", {"assets": ["B11"]})
    assert reasons[first.stem] == "lacks the asset B11"
    assert "unknown processing baseline '99.99'" in reasons[second.stem]
    assert reasons[third.stem] == "excluded by the settings: cut in half"
    assert all("Sentinel-2" in cell["lacks"] for cell in found["cells"])
    text = scenes("-w", place, "-s", "2021")
    assert "no Sentinel-2 scene over 1 of 1 cells" in text
    assert f"1 × lacks the asset B11: {first.stem}" in text


def test_an_unreadable_file_leaves_cells_undecided_and_the_command_fails(place: Path) -> None:
    item = items(place, "sentinel-2-l2a", 2021)[0]
    classes = next(item.parent.glob("*SCL*.tif"))
    classes.write_bytes(b"no longer a raster")
    found = report(place, 2021, code=1)
    (cell,) = [cell for cell in found["cells"] if cell["inside"]]
    assert cell["optical"] == [] and cell["lacks"] == []  # undecided, not missing
    assert (cell["fault"]["item"], cell["fault"]["asset"]) == (item.stem, "SCL")
    assert cell["fault"]["href"] == str(classes)
    text = scenes("-w", place, "-s", "2021", code=1)
    assert f"{item.stem}: asset SCL at {classes} cannot be read" in text
    assert "undecided" in text


def test_cells_without_scenes_are_counted_and_the_map_shows_them(small_archive: Path, tmp_path: Path) -> None:
    folder = make_workspace(
        tmp_path, small_archive, regions={"wide": {"bounds": [76.8, 42.4, 77.2, 42.65]}}, tile_size=1024
    )
    picture = tmp_path / "scenes.png"
    text = scenes("-w", folder, "-s", "2022", "--map", picture)
    (found,) = json.loads(scenes("-w", folder, "-s", "2022", "--json"))
    inside = [cell for cell in found["cells"] if cell["inside"]]
    bare = [cell for cell in inside if "Sentinel-2" in cell["lacks"]]
    assert len(bare) == len(inside) - 1 > 3
    assert f"no Sentinel-2 scene over {len(bare)} of {len(inside)} cells" in text
    # the simulated DEM ends within the one observed cell
    assert f"no DEM scene over {len(inside)} of {len(inside)} cells" in text
    assert f"and {len(bare) - 3} more (--all)" in text
    pixels = plt.imread(picture)
    grey = np.isclose(pixels[..., :3], 0xD9 / 255, atol=0.01).all(axis=-1).mean()
    coloured = (np.ptp(pixels[..., :3], axis=-1) > 0.3).mean()
    assert grey > 0.2 and 0.01 < coloured < grey


@pytest.mark.parametrize("simulated", [True, False])
def test_the_map_has_its_elements_and_labels_simulated_scenes(place: Path, simulated: bool) -> None:
    if not simulated:  # as items of a real archive: without the property
        for path in (place / "archive").rglob("*.json"):
            content = json.loads(path.read_text())
            if content.get("properties", {}).pop("simulated", None):
                path.write_text(json.dumps(content))
    workspace = Workspace.open(place)
    found = report_scenes(workspace, workspace.region("demo"), 2021)
    assert found.simulated == simulated == report(place, 2021)["simulated"]
    figure = scene_figure(found)
    assert (SIMULATED in [text.get_text() for text in figure.texts]) == simulated
    for axes in figure.axes[:2]:
        assert {artist.get_gid() for artist in axes.artists} >= {"scale bar", "north arrow"}
        assert any(label.get_text().endswith("° E") for label in axes.get_xticklabels())
        assert any(label.get_text().endswith("° N") for label in axes.get_yticklabels())
    (cell,) = [cell for cell in found.cells if cell.inside]
    assert [text.get_text() for text in figure.axes[0].texts] == [f"{cell.optical[0].cloud:.0%}"]
    assert [text.get_text() for text in figure.axes[1].texts] == [f"{cell.best_day:%m-%d}"]
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 2


def test_an_undecided_cell_is_hatched(place: Path) -> None:
    item = items(place, "sentinel-2-l2a", 2021)[0]
    next(item.parent.glob("*SCL*.tif")).write_bytes(b"no longer a raster")
    workspace = Workspace.open(place)
    figure = scene_figure(report_scenes(workspace, workspace.region("demo"), 2021))
    hatched = [drawn for drawn in figure.axes[0].collections if drawn.get_hatch()]
    assert [len(drawn.get_paths()) for drawn in hatched] == [1]


def test_a_season_without_scenes_is_reported(place: Path) -> None:
    text = scenes("-w", place, "-s", "2019")
    assert "0 scenes used" in text
    assert "no Sentinel-2 scene over 1 of 1 cells" in text


@pytest.mark.parametrize(
    ("collection", "lacking", "sensors", "sentence"),
    [
        ("sentinel-1-rtc", "Sentinel-1", "S2L2A+DEM", "are predicted from S2L2A+DEM only"),
        ("sentinel-2-l2a", "Sentinel-2", "S1+DEM", "are predicted from S1+DEM only"),
        ("cop-dem-glo-30", "DEM", "S2L2A+S1", "are predicted from S2L2A+S1 only"),
    ],
)
def test_the_sensors_of_cells_that_lack_an_input(
    place: Path, tmp_path: Path, collection: str, lacking: str, sensors: str, sentence: str
) -> None:
    """A model without sets of fewer sensors needs all; nothing is added."""
    shutil.rmtree(place / "archive" / collection)
    needs_all = make_workspace(
        tmp_path / "all", place / "archive", model=str(model_with_all(tmp_path / "needs all"))
    )
    before = scenes("-w", needs_all, "-s", "2021")
    assert f"no {lacking} scene over 1 of 1 cells" in before and "sensors:" not in before
    assert [cell["sensors"] for cell in report(needs_all, 2021)["cells"] if cell["inside"]] == [None]
    other = make_workspace(
        tmp_path / "fewer", place / "archive", model=str(model_with_fewer(tmp_path / "model"))
    )
    text = " ".join(scenes("-w", other, "-s", "2021").split())
    assert f"no {lacking} scene over 1 of 1 cells" in text
    assert f"sensors: 1 of 1 cells {sentence} where an input is missing: " in text
    (cell,) = [cell for cell in report(other, 2021)["cells"] if cell["inside"]]
    assert cell["sensors"] == sensors and lacking in cell["lacks"]
    assert bool(cell["radar"]) == (lacking != "Sentinel-1")


def test_refusals_of_one_code_are_one_group() -> None:
    refused = [
        ("a", Refusal.FAR_IN_TIME.because(days=28.8)),
        ("b", Refusal.FAR_IN_TIME.because(days=9.0)),
        ("c", Refusal.LACKS_ASSETS.because(assets=("B11",))),
        ("d", Refusal.FAR_IN_TIME.because(days=100.5)),
        ("e", Refusal.NEWER_BASELINE.because(newer="S2A_1")),
        ("f", Refusal.NEWER_BASELINE.because(newer="S2B_2")),
    ]
    assert group(refused) == [
        ("9.0 to 100.5 days from the nearest optical date", ["a", "b", "d"]),
        ("the same acquisition in a newer baseline: S2A_1 / S2B_2", ["e", "f"]),
        ("lacks the asset B11", ["c"]),
    ]
