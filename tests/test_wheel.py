"""The wheel installed outside the checkout: `pip install` gives everything that is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.exports import View
from tests.support.places import ROOT

pytestmark = pytest.mark.slow

#: an account without privileges, for which an installation is read-only
NOBODY = "nobody"
SETTINGS = {
    "catalog": {"profile": "planetary-computer", "location": "archive"},
    "model": "terramind-tiny",
    "regions": {"demo": {"outline": "archive/region.geojson", "glaciers": "archive/glaciers.parquet"}},
    "tile_size": 512,
}


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=280
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w"]
    built = run(*command, folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, on the path before the packages of this environment, without the checkout."""
    folder = tmp_path_factory.mktemp("site")
    folder.chmod(0o755)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", folder, wheel]
    installed = run(*command, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return folder


def monitor(site: Path, *arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys; "
        f"sys.path = [{str(site)!r}, *(part for part in sys.path if part not in ('', {str(ROOT)!r}))]; "
        "from monitor.cli.main import main; main()"
    )
    return run(sys.executable, "-c", script, *arguments, cwd=cwd, **env)


def test_the_wheel_is_complete(site: Path, tmp_path: Path) -> None:
    assert "backfill" in monitor(site, "--help", cwd=tmp_path).stdout
    listed = monitor(site, "model", "list", "--json", cwd=tmp_path, XDG_DATA_HOME=str(tmp_path))
    models: list[dict[str, Any]] = json.loads(listed.stdout)
    folders = {model["name"]: Path(model["folder"]) for model in models}
    assert folders["terramind-tiny"] == site / "monitor/_data/models/terramind-tiny"
    assert folders["cryosentinel-terramind-v3"].is_relative_to(tmp_path), "the user's own folder"
    written = monitor(site, "init", tmp_path / "mine", cwd=tmp_path)
    assert written.returncode == 0 and "regions:" in (tmp_path / "mine" / "monitor.yaml").read_text()
    again = monitor(site, "init", tmp_path / "mine", cwd=tmp_path)
    assert again.returncode == 2 and "exists already" in again.stderr
    for view in View:
        for language in ("qml", "sld"):
            assert (site / "monitor/export/templates" / f"{view.value}.{language}").exists()
    for package in ("monitor", "segmenter", "storage", "training"):
        assert (site / package / "py.typed").exists()


def test_the_first_tile_of_a_demo(site: Path, workspace: Path, small_archive: Path) -> None:
    (workspace / "archive").symlink_to(small_archive)
    (workspace / "monitor.yaml").write_text(yaml.safe_dump(SETTINGS))
    ran = monitor(site, "run", "--season", "2021", "-w", workspace, cwd=workspace)
    assert ran.returncode == 0, ran.stderr
    assert "demo 2021: 1 done" in ran.stdout
    assert "distributed" not in ran.stderr and "Scheduler" not in ran.stderr
    assert "outlining lakes" in ran.stderr, "the log shows progress"
    lakes = json.loads(monitor(site, "lakes", "list", "--json", "-w", workspace, cwd=workspace).stdout)
    assert lakes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to an account without privileges")
def test_a_plain_user_of_an_installation_by_root(site: Path) -> None:
    """The installation can be read-only: the model's exported program goes to the user's cache."""
    script = (
        f"import sys; sys.path = [{str(site)!r}, *(p for p in sys.path if p not in ('', {str(ROOT)!r}))]; "
        "import os, pwd; from segmenter import cache; from segmenter.manifest import read_manifest; "
        "from monitor.models.listing import folder_of_model; account = pwd.getpwnam(sys.argv[1]); "
        "folder = folder_of_model('terramind-tiny'); "
        "read_manifest(folder); os.setgid(account.pw_gid); os.setuid(account.pw_uid); "
        "kept = cache.store('a', lambda path: path.write_text('b')); assert cache.lookup('a'); print(kept)"
    )
    with tempfile.TemporaryDirectory() as home:  # pytest's own folders are root's alone
        shutil.chown(home, NOBODY)
        folders = {"XDG_CACHE_HOME": f"{home}/cache", "XDG_STATE_HOME": f"{home}/state"}
        done = run(sys.executable, "-c", script, NOBODY, cwd=Path("/"), **folders)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).parent == Path(home) / "cache" / "lake-monitor"


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_an_empty_environment(wheel: Path, tmp_path: Path, workspace: Path, small_archive: Path) -> None:
    """With the dependencies from the package index: only `pip install` of the wheel."""
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", venv, cwd=tmp_path).returncode == 0
    command = [venv / "bin/pip", "install", "-q", "--constraint", ROOT / "constraints.txt", wheel]
    installed = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    (workspace / "archive").symlink_to(small_archive)
    (workspace / "monitor.yaml").write_text(yaml.safe_dump(SETTINGS))
    program = venv / "bin/monitor"
    ran = run(program, "run", "--season", "2021", "-w", workspace, cwd=tmp_path, PYTHONPATH="")
    assert ran.returncode == 0 and "demo 2021: 1 done" in ran.stdout, ran.stderr
    refused = run(program, "serve", "-w", workspace, cwd=tmp_path)
    assert refused.returncode == 2 and "pip install 'lake-monitor[serve]'" in refused.stderr
