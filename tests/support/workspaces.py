"""Workspaces for tests of the whole path, and their tables and layers for comparing two runs."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import traceback
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID, uuid5

import numpy as np
import yaml
from numpy.typing import NDArray
from sqlalchemy import text

from monitor import progress
from monitor.history.inventories.importing import Imported
from monitor.history.inventories.mapping import Mapping
from monitor.operations.imports import import_seasons
from monitor.operations.runs import run_seasons, seasons_of
from monitor.progress import SILENT
from monitor.run import Report
from monitor.settings import NAMESPACE, Region, Settings
from monitor.vectors.polygons import Polygons
from monitor.workspace import System, Workspace, open_database, open_system
from storage.database import Database
from tests.support.places import MODEL, ROOT

#: the command line in a process of its own
COMMAND = [sys.executable, "-c", "from monitor.cli.main import main; main()"]
#: environment of the command line, so that tables are not wrapped
WIDE = {"COLUMNS": "200"}


def uuid_of(name: str) -> UUID:
    """Return the same id for the same name."""
    return uuid5(NAMESPACE, name)


def make_workspace(folder: Path, archive: Path, tile_size: int = 512, **settings: Any) -> Path:
    """Create a workspace over a simulated archive, like that of the demo."""
    folder.mkdir(parents=True, exist_ok=True)
    region = {
        "outline": str(archive / "region.geojson"),
        "glaciers": str(archive / "glaciers.parquet"),
        "glacier_zone_km": 3,
    }
    content = {
        "catalog": {"profile": "planetary-computer", "location": str(archive)},
        "model": str(MODEL),
        "regions": {"demo": region},
        "tile_size": tile_size,
        **settings,
    }
    (folder / "monitor.yaml").write_text(yaml.safe_dump(content))
    return folder


def run_here(folder: Path, *years: int) -> list[Report]:
    """Run seasons in this process, so that tests share one loaded model."""
    workspace = Workspace.open(folder)
    with open_system(workspace) as system:
        return list(run_seasons(system, seasons_of(["demo"], years), "test", lambda _: SILENT).reports)


def import_inventory(
    database: Database,
    path: Path,
    *,
    region: Region,
    season: int,
    mapping: Mapping = Mapping(),  # noqa: B008 - frozen
    polygons: Polygons | None = None,
) -> Imported:
    """Import one season, and replay the inventories that become stale. There is no cube."""
    system = System(Workspace(Path("/nowhere"), Settings.model_construct()), database)
    (imported,) = import_seasons(system, path, region, [season], mapping, polygons)
    return imported


def monitor(*arguments: str | Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line here; in a process of its own where an environment, input or timeout is given."""
    words = [str(argument) for argument in arguments]
    return _in_own_process(words, **kwargs) if kwargs else _in_this_process(words)


def _in_own_process(words: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **WIDE, **kwargs.pop("env", {})}
    return subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, cwd=ROOT, env=environment, **kwargs
    )


def _in_this_process(words: list[str]) -> subprocess.CompletedProcess[str]:
    """As a process would: its arguments, its streams, its exit code, a traceback of an unexpected error."""
    from monitor.cli import console
    from monitor.cli.main import main

    streams = [TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    code: Any = 0
    console.out.width = console.err.width = int(WIDE["COLUMNS"])
    _reset_log()
    with (
        mock.patch.object(sys, "argv", ["monitor", *words]),
        mock.patch.dict(os.environ, WIDE),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
        except Exception:  # an unexpected error of the command is for the test to find
            traceback.print_exc()
            code = 1
    _reset_log()
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["monitor", *words], int(code or 0), stdout, stderr)


def _reset_log() -> None:
    """Restore the state before the first command: its handler writes to the error stream of that command."""
    log = logging.getLogger(progress.__name__)
    log.handlers.clear()
    log.propagate = True


#: columns of every table of the history, without times and run ids
TABLES = {
    "lake": "id, region, code",
    "survey": "id, region, season, kind, source, digest, superseded_by",
    "lake_observation": "id, lake_id, survey_id, season, outcome, reason, ST_AsBinary(geom), sigma_m2, "
    "perimeter_m, seen_share, first_day, last_day, probability",
    "lake_lineage": "survey_id, season, kind, lake_id, other_lake_id",
    "review_flag": "id, survey_id, tile, lake_id, kind, explained, score, ST_AsBinary(geom), detail::text",
    "task": "key, region, tile, season, model_digest, config_digest, state, reason, survey_id, superseded_by",
    "tile": "name, epsg, size, row, col",
    "scene": "collection, item_id, baseline",
}


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of the lake history, sorted per table."""
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return {
            name: sorted(
                (tuple(row) for row in conn.execute(text(f"SELECT {columns} FROM {name}"))), key=repr
            )
            for name, columns in TABLES.items()
        }


def layers(folder: Path, season: int) -> dict[str, NDArray[Any]]:
    """Return every layer of the cube over the region's tiles, as one array per layer."""
    from monitor.grid import tiles_of
    from storage.cube import LAYERS

    workspace = Workspace.open(folder)
    cube = workspace.cube_of(workspace.survey_kind, "demo")
    tiles = tiles_of(workspace.region("demo").outline, workspace.settings.tile_size)
    rows = slice(min(t.row for t in tiles), max(t.row + t.size for t in tiles))
    cols = slice(min(t.col for t in tiles), max(t.col + t.size for t in tiles))
    return {name: np.asarray(cube.read(tiles[0].epsg, season, rows, cols, name)) for name in LAYERS}


def assert_same_layers(folder: Path, other: Path, *seasons: int) -> None:
    """Every layer of the two cubes has the same values in these seasons."""
    for season in seasons:
        ours = layers(folder, season)
        for name, values in layers(other, season).items():
            assert np.array_equal(ours[name], values, equal_nan=values.dtype.kind == "f"), (season, name)
