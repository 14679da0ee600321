"""Sizes that files state are checked before they are believed."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from monitor.archive.catalog import FolderCatalog
from monitor.archive.limits import ANNOTATION, DEPTH, PIXELS, check_xml, content_of
from monitor.archive.ranges import HttpFile
from monitor.archive.retries import GivenUp, tried
from monitor.errors import AssetError, MonitorError
from tests.monitor.archive.test_jpeg2000 import write_jp2
from tests.support.httpserver import Answer, HttpServer, serving
from tests.support.rasters import BOX, EPSG, GRIDS, PROFILE, around, bands, classes, numbers, read, scene

TILED = {"width": 10**6, "height": 10**6, "tiled": True, "blockxsize": 4096, "blockysize": 4096}


def sparse(path: Path, pixel: float, **options: Any) -> Path:
    """A file of some kilobytes without any block."""
    epsg, transform, _ = GRIDS["same pixels"]
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", crs=f"EPSG:{epsg}", sparse_ok=True, compress="deflate",
        transform=Affine(pixel, 0, transform.c, 0, -pixel, transform.f), bigtiff="yes",
        **{"count": 1} | options,
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 10**6
    return path


@pytest.mark.parametrize("arguments", [bands(), classes()])
@pytest.mark.parametrize(
    ("pixel", "options", "words"),
    [
        (0.01, TILED, "of its pixels are needed at once"),
        (10, {"width": 70_000, "height": 100_000, "blockysize": 100_000}, "14.0 GB when decompressed"),
        (10, TILED | {"blockxsize": 65_536, "blockysize": 65_536}, "8.6 GB when decompressed"),
        (10, {"width": 20_000, "height": 100, "count": 600, "interleave": "pixel", "blockysize": 100},
         "2.4 GB when decompressed"),
    ],
)  # fmt: skip
def test_small_files_of_huge_images(
    pixel: float, options: dict[str, Any], words: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    path = sparse(tmp_path / "a.tif", pixel, **options)
    started = time.monotonic()
    with pytest.raises(AssetError, match=words):
        read(scene(path), arguments, PROFILE, BOX)
    assert time.monotonic() - started < 5


def test_a_huge_image_of_which_little_is_needed_is_read(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a.tif", 10, **TILED)
    assert np.isnan(read(scene(path), bands(), PROFILE, BOX)["band"]).all(), "it has no block"


def test_a_jpeg_2000_that_states_a_huge_image(tmp_path: Path) -> None:
    grid = around(EPSG, 10, 300)
    path = write_jp2(tmp_path / "a.jp2", grid, numbers(grid[2]))
    content = bytearray(path.read_bytes())
    # image and tile size in the SIZ marker of the codestream, and the image size in the header of the file
    size, header = content.index(b"\xff\x51"), content.index(b"ihdr")
    for at in (size + 6, size + 22, header + 4):
        content[at : at + 8] = struct.pack(">II", 10**6, 10**6)
    path.write_bytes(content)
    with pytest.raises(AssetError, match="it states 1000000 x 1000000 pixels"):
        read(scene(path), bands(), PROFILE, BOX)


def test_a_range_of_gigabytes_is_not_requested() -> None:
    claims = {"Content-Range": f"bytes 0-32767/{10**15}", "ETag": '"1"'}
    with serving(HttpServer(lambda request: Answer(206, bytes(32768), claims))) as server:
        file = HttpFile(f"{server.url}/a.tif", PROFILE)
        assert file.size() == 10**15
        assert file.read(0, 2 * PIXELS) == b""
        assert isinstance(file.fault, GivenUp) and "needed at once" in str(file.fault)
        assert len(server.requests) == 1


def test_memory_that_is_not_there_fails_by_name() -> None:
    def job(address: str) -> None:
        raise MemoryError

    with pytest.raises(AssetError, match=r"item: asset a at /a\.tif cannot be read: it does not fit"):
        tried("item", ("a", "/a.tif"), PROFILE, job)


@pytest.mark.parametrize("error", [RuntimeError("odd"), RecursionError(), ArithmeticError()])
def test_any_error_of_a_library_fails_by_name(error: Exception) -> None:
    def job(address: str) -> None:
        raise error

    with pytest.raises(AssetError, match=f"cannot be read: {type(error).__name__}"):
        tried("item", ("a", "/a.tif"), PROFILE, job)


def test_ctrl_c_is_not_an_error_of_a_file() -> None:
    def job(address: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried("item", ("a", "/a.tif"), PROFILE, job)


LAUGHS = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize("content", [LAUGHS, LAUGHS.decode().encode("utf-16")])
def test_entities_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="document type declaration"):
        check_xml(content)


def test_nested_elements_are_refused() -> None:
    check_xml(b"<a>" * DEPTH + b"</a>" * DEPTH)
    with pytest.raises(ValueError, match="nested more than"):
        check_xml(b"<a>" * 200_000 + b"</a>" * 200_000)
    with pytest.raises(SyntaxError):
        check_xml(b"<a><b></a>")


def test_small_files_are_bounded(tmp_path: Path) -> None:
    with (tmp_path / "a.xml").open("wb") as file:
        file.truncate(ANNOTATION + 1)
    with pytest.raises(ValueError, match="more than 64 MB"):
        content_of(tmp_path / "a.xml", ANNOTATION)


@pytest.mark.parametrize("content", ["[" * 200_000 + "]" * 200_000, '{"a":' * 200_000])
def test_an_item_nested_200_000_deep_is_refused_by_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    try:
        found = FolderCatalog(tmp_path).always("c", (-180, -90, 180, 90))
    except MonitorError as error:
        assert "bad.json" in str(error)
    else:
        assert [item for item in found if item.assets] == []
