"""The design's import rule, and the light imports of the everyday commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from storage.database import Database

ROOT = Path(__file__).parents[1]
#: packages and the packages they may import
RULE = {
    "monitor": {"segmenter", "storage"},
    "training": {"monitor", "segmenter", "storage"},
    "segmenter": set(),
    "storage": set(),
    "simulator": set(),
}
#: packages and files of `monitor/`, from the ground up: each imports only earlier ones
FLOORS = (
    "errors",
    "progress",
    "entries",
    "grid",
    "settings",
    "vectors",
    "archive",
    "plan",
    "stack",
    "compute",
    "models",
    "workspace",
    "lakes",
    "drawing",
    "review",
    "history",
    "run",
    "operations",
    "report",
    "export",
    "doctor",
    "cli",
)
#: modules used by both training and the path: reading scenes, and drafting lakes for the calibration of areas
SHARED_STEPS = (
    "monitor.archive",
    "monitor.stack",
    "monitor.errors",
    "monitor.grid",
    "monitor.settings",
    "monitor.compute.layers",
    "monitor.lakes",
)
HEAVY = ("torch", "terratorch", "dask", "distributed")


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it; `from room import module` counts as `room.module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module in RULE else {str(node.module)}
    return found


def top_imports(path: Path) -> set[str]:
    """Modules imported with the file, not inside a function and not for type checkers only."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", RULE)
def test_imports_run_one_way(room: str) -> None:
    assert files(room), f"{room} has files"
    for path in files(room):
        rooms = {name.partition(".")[0] for name in imports(path)} & set(RULE)
        assert rooms <= RULE[room] | {room}, f"{path.relative_to(ROOT)} imports {sorted(rooms - RULE[room])}"


def floor_of(path: Path) -> int:
    """Position of a file of `monitor/` in FLOORS."""
    part = path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")
    assert part in FLOORS, f"{path.relative_to(ROOT)} stands on no floor: add it to FLOORS and docs/design.md"
    return FLOORS.index(part)


def test_no_room_of_monitor_imports_upwards() -> None:
    for path in files("monitor"):
        if path == ROOT / "monitor" / "__init__.py":
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("monitor.")}
        above = sorted(room for room in used if FLOORS.index(room) > floor_of(path))
        assert not above, f"{path.relative_to(ROOT)} imports {above}, which stand above it"


def test_design_explains_the_rooms_in_the_order_of_their_imports() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    table = text.partition("Inside `monitor/`, from the ground up")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    rooms = [name.strip("/").removesuffix(".py") for row in rows for name in row.split("`")[1::2]]
    assert tuple(rooms) == FLOORS


@pytest.mark.parametrize(("page", "least"), [("design.md", 15), ("archives.md", 8)])
def test_pages_name_files_that_exist(page: str, least: int) -> None:
    text = (ROOT / "docs" / page).read_text()
    paths = re.findall(r"`((?:monitor|segmenter|storage|tests)/[\w/.]*)`", text)
    assert len(paths) > least
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_few_files_at_the_top_of_monitor() -> None:
    top = [path for path in (ROOT / "monitor").iterdir() if path.is_file()]
    assert len(top) <= 10, sorted(path.name for path in top)


def test_training_imports_only_the_shared_steps() -> None:
    for path in files("training"):
        used = {name for name in imports(path) if name.startswith("monitor.")}
        beyond = {
            name for name in used if not any(name == s or name.startswith(f"{s}.") for s in SHARED_STEPS)
        }
        assert not beyond, f"{path.relative_to(ROOT)} imports {sorted(beyond)}"


def test_no_sql_and_no_tensors_in_the_path() -> None:
    for path in files("monitor"):
        roots = {name.partition(".")[0] for name in imports(path)}
        assert not roots & {
            "torch",
            "terratorch",
            "lightning",
            "psycopg",
            "geoalchemy2",
            "zarr",
            "icechunk",
        }, path


def test_storage_imports_no_heavy_libraries() -> None:
    for path in files("storage"):
        heavy = {name for name in top_imports(path) if name.partition(".")[0] in HEAVY}
        assert not heavy, f"{path.relative_to(ROOT)} imports {sorted(heavy)} at its top"


def loaded_by(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Libraries imported by a command of `monitor` at its end."""
    code = (
        "import sys\n"
        "from monitor.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('loaded:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=120)
    return set(result.stdout.rpartition("loaded:")[2].split()), result


def test_help_stays_light() -> None:
    loaded, result = loaded_by("--help")
    assert result.returncode == 0 and "monitor" in loaded, result.stderr
    assert not loaded & {*HEAVY, "sqlalchemy", "geopandas"}


def test_status_stays_light(tmp_path: Path, database: Database) -> None:
    settings = {
        "catalog": {"profile": "planetary-computer"},
        "model": "terramind-tiny",
        "database": {"url": database.url},
    }
    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump(settings))
    loaded, result = loaded_by("status", "--workspace", str(tmp_path))
    assert result.returncode == 0 and "sqlalchemy" in loaded, result.stderr
    assert loaded & set(HEAVY) == set()


def test_alembic_folder_does_not_shadow_the_library() -> None:
    assert (ROOT / "alembic").is_dir()
    assert not (ROOT / "alembic" / "__init__.py").exists()
