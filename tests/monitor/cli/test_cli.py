"""Invalid input to the command: messages with cause and remedy, exit codes, and no partial results."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely
from sqlalchemy import create_engine, make_url, text

from tests.support.places import MODEL, ROOT
from tests.support.workspaces import make_workspace, monitor, run_here, tables

needs_model = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")


@pytest.fixture
def place(small_archive: Path, workspace: Path) -> Path:
    """A workspace of one tile with its own copy of the archive, which tests may damage."""
    shutil.copytree(small_archive, workspace / "archive")
    return make_workspace(workspace, workspace / "archive", tile_size=512, model="index-baseline")


def items(folder: Path, collection: str, year: int) -> list[Path]:
    return sorted(
        path for path in (folder / "archive" / collection).rglob("*.json") if f"_{year}" in path.name
    )


def test_help_is_fast() -> None:
    """Less than half a second of processor time, which does not depend on the load of the machine."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert monitor("--help", timeout=60).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--season", "2021", "--region", "atlantis"],
            "no region 'atlantis'; known: demo",
        ),
        (["backfill", "--years", "2023-2017"], "run backwards; write 2017-2023"),
        (["backfill", "--years", "soon"], "is not years"),
        (["lakes", "changes", "--from", "2022", "--to", "2021"], "must be the earlier one"),
        (["run", "--season", "2021", "-w", "/nowhere"], "monitor.yaml is missing"),
    ],
)
def test_refused_before_starting(
    workspace: Path, small_archive: Path, arguments: list[str], message: str
) -> None:
    folder = make_workspace(workspace, small_archive)
    place = [] if "-w" in arguments else ["-w", folder]
    answer = monitor(*arguments, *place)
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (folder / "postgis").exists() or "lakes" in arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["plan", "-s", "2021"],
        ["backfill", "--years", "2021-2022"],
        ["schedule"],
        ["schedule", "--once"],
    ],
)
def test_without_regions_nothing_starts(workspace: Path, small_archive: Path, arguments: list[str]) -> None:
    folder = make_workspace(workspace, small_archive, regions={}, tile_size=4096)
    answer = monitor(*arguments, "-w", folder)
    assert answer.returncode == 2
    assert "names no regions" in answer.stderr
    assert re.search(r"ile_alatau: \d+ tiles, about .* to download, at most .* on disk", answer.stderr)
    assert not (folder / "postgis").exists()


def test_the_size_is_said_first(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive, model="index-baseline")
    planned = monitor("plan", "--season", "2021", "-w", folder)
    assert re.match(r"demo, one season: 1 tile, about .* to download, at most .* on disk", planned.stderr)
    assert re.search(r"To predict: 1 tile, \d+ scenes, about .* to download", planned.stdout)
    ran = monitor("run", "--season", "2021", "-w", folder)
    lines = ran.stderr.splitlines()
    assert lines[0] == planned.stderr.splitlines()[0]
    said = next(at for at, line in enumerate(lines) if "demo 2021: to predict: 1 tile," in line)
    assert said < next(at for at, line in enumerate(lines) if "tiles 0/1" in line)
    assert "demo 2021: tiles 1/1 in " in ran.stderr, "a log shows progress without a terminal"
    again = monitor("run", "--season", "2021", "-w", folder)
    assert "to predict" not in again.stderr


def test_unknown_setting_names_file_and_key(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive, cluster={"adress": "tcp://nowhere"})
    answer = monitor("status", "-w", folder)
    assert answer.returncode == 2
    assert "monitor.yaml" in answer.stderr
    assert "cluster.adress: no such key" in answer.stderr


@needs_model
def test_model_of_another_kind_is_refused(workspace: Path, small_archive: Path) -> None:
    model = workspace / "model"
    shutil.copytree(MODEL, model)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["inputs"]["S1"]["kind"] = "grd"
    (model / "manifest.json").write_text(json.dumps(manifest))
    catalog = {"profile": "plain", "location": str(small_archive)}
    folder = make_workspace(workspace, small_archive, model=str(model), catalog=catalog)
    answer = monitor("run", "--season", "2021", "-w", folder)
    assert answer.returncode == 2, answer.stderr
    assert "the model expects Sentinel-1 as grd, this catalogue serves rtc" in answer.stderr


@needs_model
def test_a_season_without_scenes(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive)
    answer = monitor("run", "--season", "2019", "-w", folder)
    assert answer.returncode == 1
    assert "no usable Sentinel-2 scene" in answer.stderr
    assert "no tile was observed" in answer.stderr
    assert {row[6] for row in tables(folder)["task"]} == {"empty"}
    assert not tables(folder)["lake"]


@needs_model
def test_an_all_cloud_season_is_not_observed(place: Path) -> None:
    for item in items(place, "sentinel-2-l2a", 2022):
        for path in item.parent.glob("*SCL*.tif"):
            with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as classes:
                classes.write(classes.read() * 0 + 9)
    _, cloudy = run_here(place, 2021, 2022)
    assert cloudy.unobserved
    assert not cloudy.failed
    answer = monitor("run", "--season", "2022", "-w", place)  # nothing new, and still nothing observed
    assert answer.returncode == 1
    assert "all cloud" in answer.stderr
    rows = tables(place)["lake_observation"]
    assert any(row[3] == 2021 and row[4] == "water" for row in rows)
    assert {(row[4], row[5]) for row in rows if row[3] == 2022} == {("not observed", "cloud")}
    assert not any(row[1] == 2022 for row in tables(place)["lake_lineage"])


def test_a_truncated_file_fails_its_tiles_only(place: Path) -> None:
    make_workspace(place, place / "archive", tile_size=256, model="index-baseline")
    broken = items(place, "sentinel-1-rtc", 2021)
    cogs = [cog for item in broken for cog in item.parent.glob("*vv*.tif")]
    whole = {cog: cog.read_bytes() for cog in cogs}
    for cog, content in whole.items():
        cog.write_bytes(content[: len(content) * 6 // 10])
    answer = monitor("run", "--season", "2021", "-w", place)
    assert answer.returncode == 1
    assert "cannot be read" in answer.stderr
    states = {row[2]: row[6] for row in tables(place)["task"]}
    assert "failed" in states.values()
    status = json.loads(monitor("status", "-w", place, "--json").stdout)
    reason = next(why["reason"] for why in status["seasons"][0]["reasons"] if why["state"] == "failed")
    assert "asset vv" in reason
    assert any(str(cog) in reason for cog in cogs)
    for cog, content in whole.items():
        cog.write_bytes(content)
    (mended,) = run_here(place, 2021)
    assert not mended.failed
    assert {row[6] for row in tables(place)["task"]} == {"done"}


def test_a_scene_without_a_band_is_refused_with_the_reason(place: Path) -> None:
    scene, *others = items(place, "sentinel-2-l2a", 2021)
    content = json.loads(scene.read_text())
    del content["assets"]["B11"]
    scene.write_text(json.dumps(content))
    if not MODEL.exists():
        pytest.skip("the committed model is missing: models/")
    plan = json.loads(monitor("plan", "--season", "2021", "-w", place, "--json").stdout)
    (refused,) = [entry for entry in plan[0]["refused"] if entry["item"] == content["id"]]
    assert (refused["code"], refused["params"]) == ("lacks_assets", {"assets": ["B11"]})
    assert refused["reason"] == "lacks the asset B11"
    assert plan[0]["why"] == [{"code": "never_done", "params": {}, "reason": "never done"}]
    assert others
    assert all(content["id"] not in entry["scenes"] for entry in plan)


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
def test_polygons_without_a_crs_are_refused(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive)
    file = workspace / "lakes.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]).to_file(file)
    answer = monitor("inventory", "import", file, "--year", "2020", "-w", folder)
    assert answer.returncode == 2
    assert "has no CRS" in answer.stderr
    assert "ogr2ogr" in answer.stderr
    assert not tables(folder)["survey"]


def test_an_external_database_is_migrated_on_request_only(
    workspace: Path, small_archive: Path, postgis_url: str
) -> None:
    admin = create_engine(make_url(postgis_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text("CREATE DATABASE own"))
    url = make_url(postgis_url).set(database="own").render_as_string(hide_password=False)
    folder = make_workspace(workspace, small_archive, database={"url": url})
    refused = monitor("status", "-w", folder)
    assert refused.returncode == 2
    assert "Run `monitor db upgrade`" in refused.stderr
    assert monitor("db", "upgrade", "-w", folder).returncode == 0
    assert monitor("status", "-w", folder).returncode == 0
    assert not (folder / "postgis").exists()
    with admin.connect() as conn:
        conn.execute(text("DROP DATABASE own WITH (FORCE)"))
    admin.dispose()


def test_without_postgis_the_message_names_the_package(workspace: Path, small_archive: Path) -> None:
    folder = make_workspace(workspace, small_archive)
    hide = "import storage.embedded_system as e; e.INSTALLED = ('/nowhere/*',); "
    script = hide + "from monitor.cli.main import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", script, "status", "-w", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert answer.returncode == 2
    assert "apt" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_full_disk_leaves_no_partial_results(place: Path) -> None:
    make_workspace(place, place / "archive", tile_size=512, model="index-baseline")
    cube = place / "cube-index"
    cube.mkdir()
    run = f"{sys.executable} -c 'from monitor.cli.main import main; main()' run --season 2021 -w {place}"
    small = f"mount -t tmpfs -o size=32k none {cube} && {run}"
    allowed = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    if not allowed:
        pytest.skip("this account may not mount a file system")
    answer = subprocess.run(
        ["unshare", "-m", "sh", "-c", small], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert answer.returncode == 1, answer.stderr
    assert "disk is full" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not tables(place)["survey"]
    (again,) = run_here(place, 2021)
    assert again.tiles == {"done": 1}
