"""The whole path on a simulated archive with the committed model, with real PostGIS, Dask and kills."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from sqlalchemy import text

from benchmarks import surveys
from monitor.report.region_map import draw_region
from monitor.review.export import export_queue
from monitor.workspace import Workspace, open_database, open_system
from segmenter.manifest import code_of
from storage.codes import Reason
from storage.history import last_outlines
from tests.support.places import MODEL, ROOT
from tests.support.workspaces import layers, make_workspace, monitor, run_here, tables

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")


@pytest.fixture(scope="module")
def finished(small_archive: Path, module_workspace: Path) -> Path:
    """Two seasons of one tile. Tests must not change it."""
    folder = make_workspace(module_workspace / "finished", small_archive, tile_size=512)
    reports = run_here(folder, 2021, 2022)
    assert [report.tiles for report in reports] == [{"done": 1}, {"done": 1}]
    return folder


def test_lakes_are_found_and_have_a_history(finished: Path) -> None:
    rows = tables(finished)
    assert len(rows["lake"]) >= 5
    water = [row for row in rows["lake_observation"] if row[4] == "water"]
    assert {row[3] for row in water} == {2021, 2022}
    assert all(0 < row[12] <= 1 and row[7] > 0 for row in water)
    seen_twice = {row[1] for row in water if row[3] == 2021} & {row[1] for row in water if row[3] == 2022}
    assert len(seen_twice) >= 3


def test_the_review_queue_is_exported_with_a_chip_per_flag(finished: Path, workspace: Path) -> None:
    target = workspace / "review"
    answer = monitor("review", "export", target, "--all", "-w", finished, "--json")
    assert answer.returncode == 0, answer.stderr
    queue = geopandas.read_file(target / "queue.geojson")
    assert len(queue) == json.loads(answer.stdout)["chips"] == len(tables(finished)["review_flag"]) > 0
    assert sorted(queue.picture) == sorted(path.name for path in target.glob("*.png"))
    assert all((target / name).read_bytes()[:4] == b"\x89PNG" for name in queue.picture)


def test_pictures_of_a_simulated_archive_say_so(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region map and a review chip, from the items that the ledger froze."""
    from matplotlib.figure import Figure

    saved: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    workspace = Workspace.open(finished)
    draw_region(workspace, "demo", [2021, 2022], tmp_path / "lakes.png")
    with open_system(workspace) as system:
        assert export_queue(system, tmp_path / "review", "demo", 2022, explained=True) > 0
    assert len(saved) == 1 + len(list((tmp_path / "review").glob("*.png")))
    for figure in saved:
        assert "simulated scenes" in [words.get_text() for words in figure.texts]
        assert "scale bar" in {artist.get_gid() for artist in figure.axes[0].artists}
    with open_system(workspace) as system, system.database.connect() as conn:
        codes = set(last_outlines(conn, "demo").code)
    labels = {words.get_text() for words in saved[0].axes[0].texts}
    assert labels and labels <= codes


def test_history_of_a_lake_as_json(finished: Path) -> None:
    rows = tables(finished)["lake_observation"]
    lake = next(row[1] for row in rows if row[4] == "water" and row[3] == 2022)
    answer = json.loads(monitor("lakes", "history", lake, "-w", finished, "--json").stdout)
    assert answer["lake_id"] == str(lake)
    seasons = {row["season"]: row for row in answer["observations"]}
    assert seasons[2022]["outcome"] == "water"
    assert seasons[2022]["area_m2"] > 0 < seasons[2022]["sigma_m2"]


def test_every_pixel_has_a_reason(finished: Path) -> None:
    kept = layers(finished, 2021)
    reasons = set(np.unique(kept["reason"]).tolist())
    assert reasons <= {reason.value for reason in Reason}
    assert {Reason.WATER, Reason.DRY} <= reasons
    answered = kept["mask"] != 255
    assert np.array_equal(answered, np.isfinite(kept["probability"]))
    inside = kept["reason"] != Reason.OUTSIDE
    assert np.array_equal(kept["reason"][inside] == Reason.WATER, kept["mask"][inside] == 1)
    by_optics = answered & (kept["sources"] & code_of(("S2L2A",)) > 0)
    assert by_optics.any() and (kept["day_of_year"][by_optics] > 180).all()


def test_one_tile_or_four_give_the_same_lakes(finished: Path, small_archive: Path, workspace: Path) -> None:
    folder = make_workspace(workspace / "four", small_archive, tile_size=256)
    (report,) = run_here(folder, 2021)
    assert report.tiles == {"done": 4}
    one, four = layers(finished, 2021), layers(folder, 2021)
    np.testing.assert_allclose(one["probability"], four["probability"], atol=1e-3, equal_nan=True)
    for name in ("reason", "day_of_year", "index"):
        assert np.array_equal(one[name], four[name]), name

    def outlines(place: Path) -> set[bytes]:
        return {bytes(row[6]) for row in tables(place)["lake_observation"] if row[3] == 2021 and row[6]}

    assert outlines(folder) == outlines(finished)


def test_every_lake_has_elevation_glacier_model_and_task(finished: Path) -> None:
    with open_database(Workspace.open(finished)) as database, database.connect() as conn:
        rows = conn.execute(text("SELECT * FROM lake_area_history WHERE outcome = 'water'")).mappings().all()
        tiles = dict(map(tuple, conn.execute(text("SELECT key, tile FROM task"))))
    assert rows
    for row in rows:
        assert 1000 < row["elevation_m"] < 7000 and 0 <= row["glacier_m"] <= 4000
        assert row["model_digest"].startswith("sha256:") and row["task_key"] in tiles
        assert row["perimeter_m"] > 0 and row["first_day"] <= row["last_day"]


def test_a_late_scene_supersedes(small_archive: Path, workspace: Path) -> None:
    """A scene that arrives later makes a new task; the old rows remain, and lakes keep their identities."""
    partial = workspace / "archive"
    shutil.copytree(small_archive, partial)
    late = sorted((partial / "sentinel-2-l2a").glob("*_2021*"))[-1]
    late.rename(workspace / "late")
    folder = make_workspace(workspace / "late-scene", partial)
    run_here(folder, 2021)
    first = tables(folder)
    (workspace / "late").rename(late)
    plan = json.loads(monitor("plan", "--season", "2021", "-w", folder, "--json").stdout)
    assert [entry["action"] for entry in plan] == ["supersedes"]
    assert [why["params"] for why in plan[0]["why"]] == [{"scenes": [late.name]}]
    run_here(folder, 2021)
    second = tables(folder)
    surveys = {row[0]: row[6] for row in second["survey"]}
    (old,) = (row[0] for row in first["survey"])
    assert surveys[old] in surveys and surveys[surveys[old]] is None
    assert {row[6] for row in second["task"]} == {"done", "superseded"}
    assert set(first["lake_observation"]) <= set(second["lake_observation"])
    same = {row[1] for row in first["lake_observation"]} & {
        row[1] for row in second["lake_observation"] if row[2] != old
    }
    assert len(same) >= 0.7 * len(first["lake"])


def test_a_survey_reads_the_cube_at_most_twice(finished: Path) -> None:
    with open_system(Workspace.open(finished)) as system:
        costs = surveys.measure(system)
    assert [cost.season for cost in costs] == [2021, 2022]
    for cost in costs:
        assert cost.lakes > 0 and cost.readings <= 2 and cost.bytes_per_pixel <= surveys.BOUND


def test_the_page_on_notebooks_runs(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run every block of docs/notebooks.md, in order, in one namespace."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "demo").symlink_to(finished)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "notebooks.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 8
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/notebooks.md", "exec"), namespace)
    zone, lakes = namespace["zone"], namespace["lakes"]
    assert list(zone.season.values) == [2021, 2022] and zone["mask"].chunks is not None
    assert (namespace["water_km2"] > 0).all() and namespace["overview"].sizes["y"] == zone.sizes["y"] // 8
    assert {2021, 2022} <= set(lakes.season) and lakes.geometry[lakes.outcome == "water"].notna().all()
    assert 0.5 < float(namespace["pixels"]["probability"].max()) <= 1
    assert "water" in capsys.readouterr().out
