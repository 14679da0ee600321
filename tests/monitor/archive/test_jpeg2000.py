"""JPEG 2000 files, which GDAL decodes in several threads: errors of reading never become pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
from rasterio.io import MemoryFile

from monitor.archive import ranges, retries
from monitor.errors import AssetError
from tests.support.httpserver import Fault, FileServer, Request, serving
from tests.support.rasters import BOX, EPSG, PROFILE, Grid, around, bands, read, scene

GRID = around(EPSG, 10, 300)
#: lossless files: tiles smaller than the box, and one tile
KINDS = {
    "tiles": {"BLOCKXSIZE": 128, "BLOCKYSIZE": 128},
    "one tile": {"BLOCKXSIZE": 1024, "BLOCKYSIZE": 1024},
}


def write_jp2(path: Path, grid: Grid, values: np.ndarray, **options: Any) -> Path:
    epsg, transform, (height, width) = grid
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=1, dtype=values.dtype,
            crs=f"EPSG:{epsg}", transform=transform,
        ) as file:  # fmt: skip
            file.write(values, 1)
        with memory.open() as file:
            rasterio.shutil.copy(file, path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", **options)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jp2")
    rows, cols = np.indices(GRID[2])
    noise = np.random.default_rng(1).integers(0, 200, GRID[2])
    values = (1500 + 500 * np.sin(rows / 40) * np.cos(cols / 30) + noise).astype(np.uint16)
    for name, options in KINDS.items():
        write_jp2(folder / f"{name.replace(' ', '_')}.jp2", GRID, values, **options)
    return folder


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, folder: Path) -> Path:
    return folder / f"{request.param.replace(' ', '_')}.jp2"


@pytest.fixture(scope="module")
def _server(folder: Path) -> Iterator[FileServer]:
    with serving(FileServer(folder)) as server:
        yield server


@pytest.fixture
def server(_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    _server.reset()
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # of the user, which the reader overrides
    monkeypatch.setenv("GDAL_NUM_THREADS", "ALL_CPUS")
    return _server


def test_over_http_as_from_disk(server: FileServer, path: Path) -> None:
    here = read(scene(path), bands(), PROFILE, BOX)["band"]
    assert np.isfinite(here).all()
    for _ in range(3):
        found = read(scene(f"{server.url}/{path.name}"), bands(), PROFILE, BOX)["band"]
        assert np.array_equal(found, here)


@pytest.mark.parametrize("fault", [404, "reset", ("cut", 0), ("short", 1)])
def test_what_was_not_served_does_not_become_pixels(
    fault: int | Fault, server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request from the first to the last fails in turn, for ever."""
    monkeypatch.setattr(ranges, "TRIES", 1)
    monkeypatch.setattr(ranges, "TRIES_ABSENT", 1)
    here = read(scene(path), bands(), PROFILE, BOX)["band"]
    read(scene(f"{server.url}/{path.name}"), bands(), PROFILE, BOX)
    needed = len(server.requests)
    for which in range(0, needed + 1, max(needed // 3, 1)):
        server.requests.clear()

        def fails(request: Request, number: int, which: int = which) -> int | Fault:
            return fault if number >= which else None

        server.fault = fails
        if which == needed:
            assert np.array_equal(
                read(scene(f"{server.url}/{path.name}"), bands(), PROFILE, BOX)["band"], here
            )
            continue
        with pytest.raises(AssetError, match="item: asset a at http"):
            read(scene(f"{server.url}/{path.name}"), bands(), PROFILE, BOX)


def test_a_cut_file_is_refused(path: Path, server: FileServer, folder: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for part in (0.02, 0.3, 0.7):
        cut = content[: int(part * len(content))]
        (tmp_path / "cut.jp2").write_bytes(cut)
        (folder / "cut.jp2").write_bytes(cut)
        for place in (tmp_path / "cut.jp2", f"{server.url}/cut.jp2"):
            with pytest.raises(AssetError, match="cannot be read"):
                read(scene(place), bands(), PROFILE, BOX)
