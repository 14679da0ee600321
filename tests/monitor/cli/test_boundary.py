"""Exceptions of libraries become messages with cause, place and remedy; faults of the program do not."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas
import pyarrow as pa
import pyproj
import pytest
import rasterio
import requests
import shapely
from sqlalchemy import text

from monitor.cli.boundary import foreseen
from monitor.workspace import Workspace
from storage.database import Database
from tests.support.workspaces import make_workspace, monitor


def raised(action: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def _no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/data/cube")


BOW = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
CAUSES: dict[str, tuple[Callable[[], Any], str]] = {
    "shapely": (lambda: shapely.from_wkt("POLYGON ((0 0, 1"), "an outline cannot be used"),
    "topology": (lambda: BOW.intersection(BOW.buffer(0).boundary.union(BOW)), "an outline cannot be used"),
    "CRS": (lambda: pyproj.CRS.from_epsg(1), "coordinates cannot be converted"),
    "vector": (lambda: geopandas.read_file("/nowhere.gpkg"), "a vector file cannot be read"),
    "raster": (lambda: rasterio.open("/nowhere.tif"), "an image cannot be read"),
    "parquet": (lambda: pa.ipc.open_file(pa.py_buffer(b"x" * 50)), "a table cannot be read"),
    "encoding": (b"\xd6tztal".decode, "save the file as UTF-8"),
    "address": (lambda: requests.get("http://127.0.0.1:1/", timeout=1), "127.0.0.1"),
    "full disk": (_no_space, "/data/cube: No space left on device"),
    "folder": (lambda: Path("/").read_bytes(), "/: Is a directory"),
    "zip": (lambda: zipfile.ZipFile(__file__), "a zip file is damaged"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_library_errors_have_a_message(name: str) -> None:
    action, words = CAUSES[name]
    message = foreseen(raised(action))
    assert message is not None and words in message and "\n" not in message


@pytest.mark.parametrize("fault", [KeyError("x"), TypeError("x"), ValueError("x"), AssertionError("x")])
def test_faults_of_the_program_keep_their_traceback(fault: Exception) -> None:
    assert foreseen(fault) is None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO region (name) VALUES ('')", "the database refused a row"),
        ("SELECT * FROM nothing", "the database refused a query"),
        ("SELECT 1 / 0", "the database cannot hold a value"),
    ],
)
def test_errors_of_the_database(database: Database, statement: str, words: str) -> None:
    with database.begin() as conn:
        message = foreseen(raised(lambda: conn.execute(text(statement))))
        conn.rollback()
    assert message is not None and message.startswith(words) and "[SQL" not in message


def test_a_command_prints_the_message_and_the_place(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path, tmp_path)
    with mock.patch.object(Workspace, "open", side_effect=PermissionError(13, "Permission denied", "x.gpkg")):
        answer = monitor("status", "-w", folder)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert "error: x.gpkg: Permission denied (in monitor/cli/status.py, line" in answer.stderr
    assert "give this user the right to it" in answer.stderr
