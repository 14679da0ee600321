"""Damaged blocks, whose pixels GDAL returns without an error, are refused by their checksum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from monitor.archive import retries
from monitor.errors import AssetError
from monitor.grid import geobox_at
from tests.support.httpserver import FileServer, serving
from tests.support.rasters import (
    BOX,
    EPSG,
    GRIDS,
    PROFILE,
    around,
    bands,
    classes,
    numbers,
    read,
    scene,
    write,
)

GRID = GRIDS["same pixels"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "COG": {},
    "no predictor": {"predictor": 1},
    "strips": {"driver": "GTiff", "blocksize": None},
    "overviews": {"overviews": "AUTO"},
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer(tmp_path)) as server:
        yield server


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_blocks(layout: str, tmp_path: Path, server: FileServer) -> None:
    options = {name: value for name, value in LAYOUTS[layout].items() if value is not None}
    if layout == "strips":
        options |= {"tiled": False, "blockysize": 40}
    path = write(tmp_path / "a.tif", GRID, numbers(GRID[2]), **options)
    content = path.read_bytes()
    here = read(scene(path), bands(), PROFILE, BOX)["band"]
    assert np.array_equal(read(scene(f"{server.url}/a.tif"), bands(), PROFILE, BOX)["band"], here)
    rng = np.random.default_rng(2)
    refused = 0
    for number in range(10):
        at, size = int(rng.integers(3000, len(content))), int(rng.integers(1, 200))
        damaged = bytearray(content)
        size = len(damaged[at : at + size])
        damaged[at : at + size] = bytes(size) if number % 2 else rng.bytes(size)
        path.write_bytes(damaged)
        for place in (path, f"{server.url}/a.tif")[: 1 + (number > 7)]:
            try:
                found = read(scene(place), bands(), PROFILE, BOX)["band"]
            except AssetError as error:
                assert "item: asset a at" in str(error)
                refused += 1
            else:
                assert np.array_equal(found, here, equal_nan=True), "outside of the box"
    assert refused >= 4


def test_bands_and_overviews(tmp_path: Path) -> None:
    """Several bands, interleaved or not; a missing block is no damage."""
    grid = around(EPSG, 20, 600)
    many = np.stack([numbers(grid[2], seed=seed) for seed in range(3)])
    box = GeoBox((150, 150), grid[1] @ grid[1].scale(4), f"EPSG:{EPSG}")
    for number, interleave in enumerate(("pixel", "band")):
        path = write(tmp_path / f"{number}.tif", grid, many, interleave=interleave, overviews="AUTO",
                     overview_resampling="nearest")  # fmt: skip
        for arguments in (bands(), classes()):
            assert np.isfinite(read(scene(path), arguments, PROFILE, box)["band"]).all()
    holed = numbers(GRID[2])
    holed[:200] = 0
    path = write(tmp_path / "sparse.tif", GRID, holed, sparse_ok=True)
    found = read(scene(path), bands(), PROFILE, geobox_at(EPSG, 687_900, 50_000, (200, 200)))["band"]
    assert np.isnan(found).any()
