"""Backups, restored elsewhere and compared table by table and pixel by pixel."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from monitor.errors import RefusedError
from monitor.operations import backup
from monitor.operations.backup import back_up, heads, read_about, restore
from monitor.progress import SILENT
from monitor.workspace import System, Workspace, open_database, open_system
from storage import ledger
from storage.codes import RunOutcome, SurveyKind
from storage.database import Database
from storage.errors import StorageError
from storage.locks import region_lock
from tests.support.workspaces import assert_same_layers, make_workspace, monitor, run_here, tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(small_archive: Path, module_workspace: Path) -> Path:
    """A workspace with two seasons, whose outlines lie in it."""
    folder = module_workspace / "own"
    shutil.copytree(small_archive, module_workspace / "archive")
    make_workspace(folder, module_workspace / "archive", model="index-baseline")
    settings = yaml.safe_load((folder / "monitor.yaml").read_text())
    for name in ("outline", "glaciers"):
        file = Path(settings["regions"]["demo"][name])
        shutil.copy(file, folder / file.name)
        settings["regions"]["demo"][name] = file.name
    (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
    run_here(folder, 2021, 2022)
    with open_system(Workspace.open(folder)) as system:
        system.cube("demo").tag("before the flood")
    return folder


@pytest.fixture(scope="module")
def made(kept: Path, module_workspace: Path) -> Path:
    """A backup of it."""
    answer = monitor("backup", module_workspace / "backups", "-w", kept, "--json")
    assert answer.returncode == 0, answer.stderr
    return Path(json.loads(answer.stdout)["folder"])


def test_a_backup_restored_elsewhere_is_the_same_workspace(kept: Path, made: Path, workspace: Path) -> None:
    folder = workspace / "elsewhere"
    answer = monitor("restore", made, folder)
    assert answer.returncode == 0, answer.stderr
    assert f"Next: `monitor status -w {folder}`" in answer.stdout.replace("\n", " ")
    assert tables(folder) == tables(kept)
    assert_same_layers(folder, kept, 2021, 2022)
    one, other = (heads(Workspace.open(place), SurveyKind.INDEX) for place in (folder, kept))
    assert one == other and {"tag before the flood", "region demo"} <= one.keys()
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        database.check_current()
        assert ledger.tasks(conn)
    (report,) = run_here(folder, 2022)
    assert report.nothing_new, "the next run goes on from there"


def test_a_backup_can_be_checked_without_the_program(made: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"],
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    about = read_about(made)
    assert about.rows["lake"] > 0 and about.rows["night"] == 0
    listed = {line[66:] for line in (made / "SHA256SUMS").read_text().splitlines()}
    stored = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert stored - listed == {"backup.json", "SHA256SUMS"}
    assert {"monitor.yaml", "region.geojson", "glaciers.parquet", "database.dump"} <= listed


@pytest.mark.parametrize("name", ["database.dump", "monitor.yaml", "a chunk"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    made: Path, tmp_path: Path, name: str, lost: bool
) -> None:
    broken = Path(shutil.copytree(made, tmp_path / "broken"))
    path = next((broken / "cube-index" / "chunks").iterdir()) if name == "a chunk" else broken / name
    if lost:
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(RefusedError, match=rf"{path.name} (is missing|was changed)"):
        restore(broken, tmp_path / "new", SILENT)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_restored_is_refused(kept: Path, made: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="is no backup of a workspace"):
        restore(kept, tmp_path / "new", SILENT)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(RefusedError, match="has files already"):
        restore(made, tmp_path / "full", SILENT)
    with (
        open_system(Workspace.open(kept)) as system,
        pytest.raises(RefusedError, match="name a folder elsewhere"),
    ):
        back_up(system, kept / "cube-index" / "backups", SILENT)


def test_a_database_with_tables_is_not_overwritten(
    made: Path, tmp_path: Path, new_database: Callable[[], AbstractContextManager[Database]]
) -> None:
    settings = yaml.safe_load((made / "monitor.yaml").read_text())
    with new_database() as used:
        settings["database"] = {"url": used.url}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(RefusedError, match=r"has a lake history already; give settings .*--settings"):
            restore(made, tmp_path / "new", SILENT, tmp_path / "other.yaml")


def test_a_backup_waits_for_a_run_and_leaves_nothing_when_it_fails(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, result = threading.Event(), list[Path]()

    def back_up_later(system: System) -> None:
        folder, _ = back_up(system, tmp_path / "later", SILENT)
        assert free.is_set()
        result.append(folder)

    with open_system(Workspace.open(kept)) as system:
        with system.database.begin() as conn:
            run_id = ledger.start_run(conn, "run", {})
        thread = threading.Thread(target=back_up_later, args=[system])
        with region_lock(system.database, "demo", run_id):
            thread.start()
            thread.join(2)
            assert thread.is_alive()
            free.set()
        thread.join()
        assert [path.parent for path in result] == [tmp_path / "later"]

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(backup, "_copy", full)
        with pytest.raises(OSError, match="No space"):
            back_up(system, tmp_path / "full", SILENT)
        assert list((tmp_path / "full").iterdir()) == []
        with system.database.begin() as conn:
            ledger.finish_run(conn, run_id, RunOutcome.DONE, {})


def test_a_restored_workspace_that_differs_is_named(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = read_about(made).model_copy(update={"rows": {"lake": 1}})
    monkeypatch.setattr(backup, "read_about", lambda _: other)
    with pytest.raises(StorageError, match=r"differs from .* do not use it"):
        restore(made, tmp_path / "new", SILENT)
