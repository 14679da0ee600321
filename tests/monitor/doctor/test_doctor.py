"""`monitor doctor` through the command: findings in intact and in damaged workspaces."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from typer.testing import CliRunner

from monitor.archive.profiles import read_profile
from monitor.archive.scenes import Scene, optical_scene
from monitor.cli.main import app
from monitor.doctor.agreement import pairs
from monitor.doctor.archive import ArchiveChecks
from monitor.doctor.checks import WorkspaceChecks
from monitor.doctor.computing import device
from monitor.doctor.examination import Check, Finding, State, examine
from monitor.errors import MonitorError
from monitor.workspace import Workspace
from segmenter.opening import open_segmenter
from storage.database import Database
from tests.support.places import MODEL
from tests.support.samples import recorded
from tests.support.sensor_sets import model_with_all, model_with_fewer
from tests.support.servers.online import OnlineArchive
from tests.support.workspaces import make_workspace, monitor

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/")

#: asset keys of Earth Search
COMMON: dict[str, str] = read_profile("earth-search", Path()).optical.bands
OTHER: dict[str, Any] = {
    "optical": {
        "collection": "sentinel-2-l2a",
        "offset": "flag",
        "flag": "earthsearch:boa_offset_applied",
        "scene_classes": "scl",
        "bands": COMMON,
        "dtype": "uint16",
        "nodata": 0,
    },
    "radars": {
        "rtc": {
            "collection": "sentinel-1-rtc",
            "unit": "power",
            "bands": {"VV": "vv", "VH": "vh"},
            "nodata": -32768,
        }
    },
    "dem": {"collection": "cop-dem-glo-30", "band": "data"},
}


def doctor(folder: Path, *arguments: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """Run the command and return its findings by check."""
    command = ["doctor", "-w", str(folder), "--json", *map(str, arguments)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == code, answer.output
    return {finding["check"]: finding for finding in json.loads(answer.stdout)}


def without_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the query of torch's devices, which takes seconds. One test runs the real one."""
    monkeypatch.setattr(
        "monitor.doctor.computing._DEVICES", 'print(\'{"torch": "-", "cards": [], "no_program": []}\')'
    )


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sound" not in request.node.name:
        without_device(monkeypatch)


def newest(archive: Path) -> Path:
    """The newest simulated Sentinel-2 item."""
    return max((archive / "sentinel-2-l2a").rglob("S2*.json"), key=lambda path: path.stem[11:26])


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profiles") / "like-es.yaml"
    path.write_text(yaml.safe_dump(OTHER))
    return path


def served_elsewhere(archive: Path, folder: Path, taken_out: int, keys: dict[str, str] = COMMON) -> Path:
    """The newest scene as served by Earth Search: `taken_out` subtracted from its numbers, flagged as
    corrected, with the tile's date and another id."""
    source = newest(archive)
    shutil.copytree(archive, folder, ignore=shutil.ignore_patterns("S2*", "truth"))
    item = json.loads(source.read_text())
    assert float(item["properties"]["s2:processing_baseline"]) >= 4
    place = folder / "sentinel-2-l2a" / "S2_elsewhere"
    place.mkdir(parents=True)
    assets = {}
    for name, key in {**keys, "SCL": "scl"}.items():
        path = source.parent / item["assets"][name]["href"]
        with rasterio.open(path) as raster:
            numbers, profile = raster.read(), {**raster.profile, "driver": "GTiff"}
        if name != "SCL":
            low = np.maximum(numbers.astype(int) - taken_out, 1)
            numbers = np.where(numbers == 0, 0, low).astype(numbers.dtype)
        with rasterio.open(place / f"{key}.tif", "w", **profile) as raster:
            raster.write(numbers)
        assets[key] = {**item["assets"][name], "href": f"./{key}.tif"}
    properties = item["properties"]
    moment = datetime.fromisoformat(properties["datetime"]) + timedelta(minutes=8, seconds=3)
    properties |= {
        "datetime": moment.isoformat(),
        "platform": properties["platform"].lower(),
        "grid:code": f"MGRS-{properties.pop('s2:mgrs_tile')}",
        "earthsearch:boa_offset_applied": True,
    }
    content = {**item, "id": "S2_elsewhere", "assets": assets, "links": []}
    (place / "S2_elsewhere.json").write_text(json.dumps(content))
    return folder


def test_a_sound_workspace(small_archive: Path, tmp_path: Path) -> None:
    folder = make_workspace(tmp_path, small_archive)
    answer = monitor("doctor", "-w", folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = {line.split()[1]: line for line in answer.stdout.splitlines()}
    assert all(line.startswith("ok") for line in lines.values())
    scene = newest(small_archive).stem
    assert scene[:19] in lines["offset"] and "offset -0.1" in lines["offset"]
    assert "torch" in lines["device"]
    assert "PostgreSQL" in lines["database"]
    assert not (folder / "postgis").exists(), "nothing is created"


def test_a_workspace_without_regions_is_warned_of(small_archive: Path, tmp_path: Path) -> None:
    settings = WorkspaceChecks(Workspace.open(make_workspace(tmp_path, small_archive)), ["demo"]).settings()
    assert settings.state == State.OK
    without = Workspace.open(make_workspace(tmp_path, small_archive, regions={}))
    settings = WorkspaceChecks(without, sorted(without.regions())).settings()
    assert settings.state == State.WARNING
    assert "name regions in monitor.yaml" in settings.remedy


def test_two_catalogues_in_agreement(small_archive: Path, tmp_path: Path, profile: Path) -> None:
    """Numbers with +1000 here, without there: the same reflectance, compared from either catalogue."""
    there = served_elsewhere(small_archive, tmp_path / "there", taken_out=1000)
    here = make_workspace(tmp_path / "here", small_archive)
    found = doctor(here, "--compare", profile, "--compare-location", there)["agreement"]
    assert found["state"] == "ok"
    assert newest(small_archive).stem in found["found"] and "S2_elsewhere" in found["found"]
    back = make_workspace(tmp_path / "back", there, catalog={"profile": str(profile), "location": str(there)})
    findings = doctor(back, "--compare", "planetary-computer", "--compare-location", small_archive)
    assert findings["agreement"]["state"] == "ok"
    assert (findings["offset"]["state"], "offset +0;" in findings["offset"]["found"]) == ("ok", True)


@pytest.mark.parametrize(
    ("taken_out", "rule", "difference", "fault"),
    [
        (0, {"offset": "flag"}, "-0.1000", "still in: "),
        (1000, {"offset": "baseline", "flag": None}, "+0.1000", "taken out twice: "),
    ],
)
def test_a_mislabelled_catalogue(
    small_archive: Path, tmp_path: Path, taken_out: int, rule: dict[str, str], difference: str, fault: str
) -> None:
    """The catalogue declares the offset of 1000 removed but kept it, or its profile subtracts it twice. The
    difference is exactly 0.1; the error is found from the other catalogue and from itself."""
    there = served_elsewhere(small_archive, tmp_path / "there", taken_out)
    profile = tmp_path / "wrong.yaml"
    profile.write_text(yaml.safe_dump({**OTHER, "optical": {**OTHER["optical"], **rule}}))
    here = make_workspace(tmp_path / "here", small_archive)
    findings = doctor(here, "--compare", profile, "--compare-location", there, code=1)
    assert findings["agreement"]["state"] == "problem"
    assert f"differ by {difference}" in findings["agreement"]["found"]
    assert f"+1000 is {fault}{profile}" in findings["agreement"]["found"]
    assert findings["offset"]["state"] == "ok"
    itself = make_workspace(
        tmp_path / "itself", there, catalog={"profile": str(profile), "location": str(there)}
    )
    found = doctor(itself, code=1)["offset"]
    assert found["state"] == "problem"
    assert found["found"].endswith(f"+1000 is {fault[:-2]}")


def test_swapped_bands(small_archive: Path, tmp_path: Path, profile: Path) -> None:
    swapped = {**COMMON, "B8A": COMMON["B11"], "B11": COMMON["B8A"]}
    there = served_elsewhere(small_archive, tmp_path / "there", 1000, swapped)
    here = make_workspace(tmp_path / "here", small_archive)
    found = doctor(here, "--compare", profile, "--compare-location", there, code=1)["agreement"]
    assert found["state"] == "problem"
    assert "in B8A" in found["found"] or "in B11" in found["found"]
    assert "asset keys" in found["remedy"]


def test_another_baseline_is_not_compared(small_archive: Path, tmp_path: Path, profile: Path) -> None:
    """The same acquisition with another processing baseline is another image: reported, and not compared."""
    there = served_elsewhere(small_archive, tmp_path / "there", taken_out=1000)
    item = there / "sentinel-2-l2a/S2_elsewhere/S2_elsewhere.json"
    item.write_text(
        item.read_text().replace('"s2:processing_baseline": "05', '"s2:processing_baseline": "04')
    )
    here = make_workspace(tmp_path / "here", small_archive)
    found = doctor(here, "--compare", profile, "--compare-location", there)["agreement"]
    assert (found["state"], "not compared" in found["found"]) == ("warning", True)


def test_one_acquisition_with_two_ids_and_times() -> None:
    """Recorded items of Earth Search, and the same products with Planetary Computer's ids and times."""
    there = [
        optical_scene(item, read_profile("earth-search", Path()).optical)
        for item in recorded("earthsearch/es-v1_sentinel-2-l2a_by-baseline.json")
    ]
    products = [scene for scene in there if isinstance(scene, Scene)]
    datatakes = []
    for scene in products:
        product = scene.item["properties"]["s2:product_uri"].removesuffix(".SAFE")
        sensed = datetime.strptime(product.split("_")[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        item = {"properties": {"s2:mgrs_tile": product.split("_")[5][1:]}}
        satellite = f"Sentinel-{product[1:3]}"
        datatakes.append(replace(scene, id=product, datetime=sensed, item=item, platform=satellite))
    found = list(pairs(datatakes, products))
    assert len(found) == len(products) > 10
    assert [one.id for one, _ in found] == [
        twin.item["properties"]["s2:product_uri"].removesuffix(".SAFE") for _, twin in found
    ]
    assert max(abs(one.datetime - twin.datetime) for one, twin in found) > timedelta(minutes=5)


def test_over_http_with_signatures(
    small_archive: Path, archive_online: OnlineArchive, tmp_path: Path, postgis_url: str
) -> None:
    """A STAC API and signed files: every check succeeds, and no token is printed."""
    archive_online.begin()
    folder = make_workspace(
        tmp_path,
        small_archive,
        catalog={
            "profile": "planetary-computer",
            "location": archive_online.catalog_url,
            "hosts": archive_online.file_hosts,
        },
        database={"url": postgis_url},
    )
    answer = monitor("doctor", "-w", folder, "--json", env=archive_online.environment)
    findings = {finding["check"]: finding for finding in json.loads(answer.stdout)}
    states = {name: finding["state"] for name, finding in findings.items()}
    assert states.pop("database") == "problem", "the server's default database holds no lake history"
    assert "monitor db upgrade" in findings["database"]["found"]
    assert set(states.values()) == {"ok"}, answer.stdout
    assert "answers" in findings["catalogue"]["found"]
    assert "valid until 20" in findings["signing"]["found"]
    assert not any(secret in answer.stdout + answer.stderr for secret in ("sig=", "sig%3D"))
    assert not archive_online.traffic().unknown_hosts


def test_an_api_that_lacks_a_collection(
    small_archive: Path, archive_online: OnlineArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_online.begin()
    for name, value in archive_online.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "p.yaml").write_text(
        yaml.safe_dump({**OTHER, "dem": {"collection": "nasadem", "band": "data"}})
    )
    catalog = {
        "profile": "p.yaml",
        "location": archive_online.catalog_url,
        "hosts": archive_online.file_hosts,
    }
    model = str(model_with_all(tmp_path / "model"))
    workspace = Workspace.open(make_workspace(tmp_path, small_archive, catalog=catalog, model=model))
    found = ArchiveChecks(workspace, "demo").catalogue()
    assert (found.state, "lacks nasadem" in found.found) == (State.PROBLEM, True)


@pytest.mark.prove
def test_a_model_for_ground_range(tmp_path: Path) -> None:
    """The doctor places a block of ground range on the DEM, as a run does."""
    archive, model = tmp_path / "archive", tmp_path / "model"
    command = [sys.executable, "-m", "simulator", archive, "--size", "256", "--seasons", "2022", "--grd"]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copytree(MODEL, model)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["inputs"]["S1"]["kind"] = "grd"
    (model / "manifest.json").write_text(json.dumps(manifest))
    findings = doctor(make_workspace(tmp_path, archive, model=str(model)))
    assert {finding["state"] for finding in findings.values()} == {"ok"}
    assert "a block of S1A_IW_GRDH" in findings["Sentinel-1 files"]["found"]


@pytest.mark.prove
def test_a_cluster(small_archive: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    local = {"processes": False, "dashboard_address": None, "host": "tcp://127.0.0.1"}
    with LocalCluster(n_workers=1, threads_per_worker=2, **local) as cluster:
        address = cluster.scheduler_address
        folder = make_workspace(tmp_path, small_archive, cluster={"address": address})
        assert doctor(folder)["cluster"]["found"] == f"{address}: 1 workers, 2 threads"
    found = doctor(folder, code=1)["cluster"]
    assert (found["state"], "no Dask scheduler answers" in found["found"]) == ("problem", True)


def test_missing_gpus(small_archive: Path, tmp_path: Path) -> None:
    found = doctor(make_workspace(tmp_path, small_archive, cluster={"gpus": True}), code=1)["cluster"]
    assert found["state"] == "problem" and found["found"].startswith("cluster.gpus: ")


@pytest.mark.prove
def test_the_device_of_a_sound_workspace_and_its_exported_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty cache the network is exported at the first start."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "archive").mkdir()
    place = Workspace.open(make_workspace(tmp_path, tmp_path / "archive", model=str(MODEL)))
    found = device(place).found
    assert found.endswith(f"it exports the network of {MODEL}") or "no GPU" not in found
    open_segmenter([MODEL])
    found = device(place)
    assert found.state == State.OK and "torch" in found.found and "exports" not in found.found


def test_an_unreachable_or_hanging_catalogue_is_reported_within_the_timeout(
    small_archive: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port, message in ((silent.getsockname()[1], "no answer within 3 s"), (9, "does not answer")):
            url = f"http://me:hunter2@127.0.0.1:{port}/"
            catalog = {"profile": "planetary-computer", "location": url}
            folder = make_workspace(tmp_path, small_archive, catalog=catalog)
            start = time.monotonic()
            found = doctor(folder, "--timeout", "3", code=1)
            assert time.monotonic() - start < 20
            assert "hunter2" not in json.dumps(found)
            assert (found["catalogue"]["state"], message in found["catalogue"]["found"]) == ("problem", True)
            assert "Sentinel-2 files" not in found, "dependent checks are skipped"
            assert found["disk"]["state"] == "ok", "independent checks run"


@pytest.mark.parametrize(
    ("damage", "check", "message"),
    [
        ("truncate B03", "Sentinel-2 files", "asset B03"),
        ("truncate vv", "Sentinel-1 files", "asset vv"),
        ("no DEM", "catalogue", "lacks cop-dem-glo-30"),
        ("no Sentinel-2", "Sentinel-2 files", "no usable scene"),
        ("weights", "model", "digest"),
        ("a wrong key", "settings", "no such key"),
        ("no profile", "settings", "no catalogue profile 'atlantis'"),
        ("a dead database", "database", "cannot be reached"),
    ],
)
def test_damage_is_reported(
    small_archive: Path, tmp_path: Path, damage: str, check: str, message: str
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(small_archive, archive)
    settings: dict[str, Any] = {}
    match damage.split():
        case ["truncate", asset]:
            for file in archive.rglob(f"*{asset}*.tif"):
                file.write_bytes(file.read_bytes()[:2000])
        case ["no", "DEM"]:
            shutil.rmtree(archive / "cop-dem-glo-30")
            settings = {"model": str(model_with_all(tmp_path / "model"))}
        case ["no", "Sentinel-2"]:
            for item in (archive / "sentinel-2-l2a").rglob("S2*.json"):
                item.write_text(item.read_text().replace('"s2:processing_baseline"', '"x"'))
        case ["weights"]:
            shutil.copytree(MODEL, tmp_path / "model")
            with (tmp_path / "model" / "model.safetensors").open("ab") as weights:
                weights.write(b"one byte more")
            settings = {"model": str(tmp_path / "model")}
        case ["a", "wrong", "key"]:
            settings = {"cluster": {"adress": "tcp://nowhere"}}
        case ["no", "profile"]:
            settings = {"catalog": {"profile": "atlantis"}}
        case _:
            settings = {"database": {"url": "postgresql://lake:hunter2@127.0.0.1:9/lake"}}
    folder = make_workspace(tmp_path, archive, **settings)
    findings = doctor(folder, code=1)
    assert findings[check]["state"] == "problem", findings
    assert message in findings[check]["found"]
    assert "hunter2" not in json.dumps(findings)


@pytest.mark.parametrize(
    ("absent", "check", "used"),
    [("sentinel-1-rtc", "Sentinel-1 files", "S2L2A+DEM"), ("cop-dem-glo-30", "DEM files", "S2L2A+S1")],
)
def test_a_missing_input_that_the_model_can_do_without(
    small_archive: Path, tmp_path: Path, absent: str, check: str, used: str
) -> None:
    shutil.copytree(small_archive, tmp_path / "archive", ignore=shutil.ignore_patterns(absent))
    all_sensors = model_with_all(tmp_path / "model of all sensors")
    doctor(make_workspace(tmp_path / "all", tmp_path / "archive", model=str(all_sensors)), code=1)
    model = model_with_fewer(tmp_path / "model")
    found = doctor(make_workspace(tmp_path / "fewer", tmp_path / "archive", model=str(model)))
    assert "validated for S2L2A+S1+DEM, S2L2A+DEM, S2L2A+S1, S2L2A, S1+DEM" in found["model"]["found"]
    for name, words in (("catalogue", f"lacks {absent}"), (check, "no usable scene")):
        assert found[name]["state"] == "warning" and words in found[name]["found"]
        assert found[name]["found"].endswith(f"the model predicts from {used} only")


def test_an_external_database(small_archive: Path, tmp_path: Path, database: Database) -> None:
    folder = make_workspace(tmp_path, small_archive, database={"url": database.url})
    found = doctor(folder)["database"]
    assert (found["state"], "PostGIS 3" in found["found"]) == ("ok", True)


def test_an_unknown_region_is_refused(small_archive: Path, tmp_path: Path) -> None:
    answer = monitor("doctor", "-r", "atlantis", "-w", make_workspace(tmp_path, small_archive))
    assert answer.returncode == 2
    assert "no region 'atlantis'; known: demo" in answer.stderr


def test_a_check_that_hangs_or_breaks_does_not_hide_the_others() -> None:
    def fine() -> Finding:
        return Finding(
            "fine", State.OK, "read https://blob.test/a.tif?sig=SECRET of postgresql://me:pw@host/db"
        )

    def broken() -> Finding:
        raise ZeroDivisionError("by zero")

    def refused() -> Finding:
        raise MonitorError("mend it")

    groups = [
        [Check("hangs", lambda: time.sleep(60), "wait"), Check("after it", fine, "")],
        [Check("broken", broken, "write an issue"), Check("refused", refused, ""), Check("fine", fine, "")],
    ]
    start = time.monotonic()
    hangs, broke, refusal, ok = examine(groups, timeout=0.2)
    assert time.monotonic() - start < 5
    assert (hangs.check, hangs.state, hangs.remedy) == ("hangs", State.PROBLEM, "wait")
    assert (broke.state, broke.found) == (State.PROBLEM, "ZeroDivisionError: by zero")
    assert (refusal.state, refusal.found) == (State.PROBLEM, "mend it")
    assert ok.found == "read https://blob.test/a.tif of postgresql://***@host/db"
