"""Reading over HTTP: each block is read once, damaged responses are detected, failed requests are retried."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from monitor.archive import ranges, retries, signing
from monitor.archive.retries import TRIES, TRIES_ABSENT
from monitor.errors import AssetError
from monitor.grid import geobox_at
from tests.support.httpserver import STALL, Fault, FileServer, Request, serving
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

PC = PROFILE.model_copy(update={"signing": "planetary-computer"})
GRID = GRIDS["10 m, shifted"]
PLACE = ("OFFSET", "SIZE")
#: 2 x 2 of the file's 4 x 4 blocks
SMALL = geobox_at(EPSG, 688_100, 50_060, (90, 120))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for index, name in enumerate("abcdefgh"):
        write(folder / f"{name}.tif", GRID, numbers(GRID[2], 0.05, index))
    write(folder / "plain.tif", GRID, numbers(GRID[2]), compress="NONE")
    return folder


@pytest.fixture(scope="module")
def _server(folder: Path) -> Iterator[FileServer]:
    with serving(FileServer(folder)) as server:
        yield server


@pytest.fixture
def server(_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A server without delays and faults; pauses between retries are short."""
    _server.reset()
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return _server


def least(path: Path, box: GeoBox) -> tuple[int, int]:
    """Smallest number of requests, header included, and bytes without the header, for the blocks around
    `box`."""
    blocks = []
    with rasterio.open(path) as file:
        left, bottom, right, top = box.boundingbox.bbox
        rows, cols = file.window(left - 10, bottom - 10, right + 10, top + 10).toslices()
        (side, _), *_ = file.block_shapes
        for y in range(int(rows.start) // side, int(rows.stop) // side + 1):
            for x in range(int(cols.start) // side, int(cols.stop) // side + 1):
                where = [file.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=1) for what in PLACE]
                blocks.append([int(number) for number in where])
    blocks.sort()
    ends = [offset + size for offset, size in blocks]
    gaps = sum(start - end > 16 for end, (start, _) in zip(ends, blocks[1:], strict=False))
    return 2 + gaps, sum(size for _, size in blocks)


def test_each_block_once(server: FileServer, folder: Path) -> None:
    found = read(scene(f"{server.url}/a.tif"), bands(), PROFILE, SMALL)["band"]
    here = read(scene(folder / "a.tif"), bands(), PROFILE, SMALL)["band"]
    assert np.array_equal(found, here, equal_nan=True)
    requests, size = least(folder / "a.tif", SMALL)
    assert len(server.requests) == requests == 3
    assert all(request.status == 206 and request.span for request in server.requests), "only range requests"
    blocks = server.requests[1:]
    assert sum(request.sent for request in blocks) <= 1.01 * size
    assert server.requests[0].span == (0, ranges.HEADER - 1)


def test_a_file_shorter_than_a_header(server: FileServer, folder: Path) -> None:
    grid = around(EPSG, 60, 40)
    write(folder / "small.tif", grid, numbers(grid[2]))
    found = read(scene(f"{server.url}/small.tif"), bands(), PROFILE, BOX)["band"]
    here = read(scene(folder / "small.tif"), bands(), PROFILE, BOX)["band"]
    assert np.array_equal(found, here, equal_nan=True) and len(server.requests) == 1
    assert (folder / "small.tif").stat().st_size < ranges.HEADER


def test_only_the_header_of_a_file_outside_the_box_is_read(server: FileServer) -> None:
    far = geobox_at(EPSG, 695_000, 50_000, (40, 50))
    assert np.isnan(read(scene(f"{server.url}/a.tif"), bands(), PROFILE, far)["band"]).all()
    assert [request.span for request in server.requests] == [(0, ranges.HEADER - 1)]


def test_an_overview_of_numbers_costs_two_requests(server: FileServer, folder: Path) -> None:
    grid = around(EPSG, 20, 2048)
    write(folder / "numbers.tif", grid, numbers(grid[2]), overviews="AUTO")
    coarse = GeoBox((256, 256), grid[1] @ grid[1].scale(8), f"EPSG:{EPSG}")
    read(scene(f"{server.url}/numbers.tif"), bands(), PROFILE, coarse)
    assert len(server.requests) == 2 and server.sent < 0.05 * (folder / "numbers.tif").stat().st_size


def test_an_overview_of_classes_costs_two_more_to_be_checked(server: FileServer, folder: Path) -> None:
    grid = around(EPSG, 20, 2048)
    write(folder / "classes.tif", grid, numbers(grid[2]), overviews="AUTO", overview_resampling="NEAREST")
    coarse = GeoBox((256, 256), grid[1] @ grid[1].scale(8), f"EPSG:{EPSG}")
    found = read(scene(f"{server.url}/classes.tif"), classes(), PROFILE, coarse)["band"]
    with rasterio.open(folder / "classes.tif", overview_level=2) as file:
        assert np.array_equal(found, file.read(1))
    assert len(server.requests) == 4 and server.sent < 0.06 * (folder / "classes.tif").stat().st_size


def test_header_longer_than_the_first_request(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a file of very many blocks: the rest of its index is requested."""
    monkeypatch.setattr(ranges, "HEADER", 400)
    found = read(scene(f"{server.url}/a.tif"), bands(), PROFILE, BOX)["band"]
    here = read(scene(folder / "a.tif"), bands(), PROFILE, BOX)["band"]
    assert np.array_equal(found, here, equal_nan=True)


FAULTS: dict[str, Fault] = {
    "expired": 403,
    "missing": 404,
    "too many": 429,
    "server error": 500,
    "unavailable": 503,
    "reset": "reset",
    "cut": ("cut", 2000),
    "cut at once": ("cut", 0),
    "short": ("short", 2000),
    "stalled": ("stall", 2000),
    "crawling": "crawl",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_temporary_faults_do_not_change_the_values(
    kind: str, server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request of a read fails once, and only failed requests are repeated."""
    monkeypatch.setattr(ranges, "TIMEOUT", (1.0, STALL / 4))
    monkeypatch.setattr(ranges, "LEAST_SPEED", 1e6)
    here = read(scene(folder / "a.tif"), bands(), PROFILE, SMALL)["band"]
    failed: set[str] = set()

    def once(request: Request, number: int) -> int | Fault:
        if str(request.span) in failed:
            return None
        failed.add(str(request.span))
        return FAULTS[kind]

    server.fault = once
    found = read(scene(f"{server.url}/a.tif"), bands(), PROFILE, SMALL)["band"]
    assert np.array_equal(found, here, equal_nan=True)
    assert len(failed) == 3 and len(server.requests) == 6


@pytest.mark.parametrize(
    ("kind", "words", "tries"),
    [
        ("expired", "HTTP 403 Forbidden", TRIES),
        ("missing", "HTTP 404 Not Found", TRIES_ABSENT),
        ("unavailable", "HTTP 503 Service Unavailable", TRIES),
        ("reset", "reset by peer", TRIES),
        ("cut", "", TRIES),
        ("short", "", TRIES),
    ],
)
def test_permanent_faults_are_reported(
    kind: str, words: str, tries: int, server: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.fault = lambda request, number: FAULTS[kind] if number else None
    with pytest.raises(AssetError) as caught:
        read(scene(f"{server.url}/a.tif?sig=SECRET"), bands(), PROFILE, SMALL)
    error = caught.value
    assert (error.item, error.asset, error.href) == ("item", "a", f"{server.url}/a.tif")
    assert words in error.cause and f"({tries} tries)" in error.cause
    assert len(server.requests) == 1 + tries
    assert "SECRET" in server.requests[0].target
    assert "SECRET" not in str(error) + caplog.text and "/a.tif" in caplog.text
    server.fault = lambda request, number: None
    assert read(scene(f"{server.url}/a.tif"), bands(), PROFILE, SMALL), "the next read succeeds"


@pytest.mark.parametrize("way", ["cut", "short"])
def test_damaged_responses_never_give_values(
    way: str, server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uncompressed file, where missing bytes could be read as zeros; every response is cut, at a random
    place."""
    monkeypatch.setattr(ranges, "TRIES", 1)
    here = read(scene(folder / "plain.tif"), bands(), PROFILE, BOX)["band"]
    rng = np.random.default_rng(4)
    for _ in range(20):
        server.requests.clear()
        which, part = int(rng.integers(4)), rng.random()

        def cut(request: Request, number: int, which: int = which, part: float = part) -> int | Fault:
            first, last = request.span or (0, 0)
            return (way, int(part * (min(last, 600_000) - first))) if number >= which else None

        server.fault = cut
        try:
            found = read(scene(f"{server.url}/plain.tif"), bands(), PROFILE, BOX)["band"]
        except AssetError:
            continue
        assert len(server.requests) <= which and np.array_equal(found, here, equal_nan=True)


def test_a_file_truncated_on_the_server_is_refused(server: FileServer, folder: Path) -> None:
    for part in (0.001, 0.3, 0.6):
        shutil.copy(folder / "plain.tif", folder / "half.tif")
        with (folder / "half.tif").open("r+b") as file:
            file.truncate(int(part * (folder / "plain.tif").stat().st_size))
        with pytest.raises(AssetError, match="asset a at"):
            read(scene(f"{server.url}/half.tif"), bands(), PROFILE, BOX)


def test_a_file_replaced_while_it_is_read(server: FileServer, folder: Path) -> None:
    """The header of one file is never combined with blocks of the other: the new file is read again."""
    contents = [(folder / f"{name}.tif").read_bytes() for name in "ab"]
    server.pages["/new.tif"] = lambda: contents[len(server.requests) > 2]
    found = read(scene(f"{server.url}/new.tif"), bands(), PROFILE, SMALL)["band"]
    after = read(scene(folder / "b.tif"), bands(), PROFILE, SMALL)["band"]
    assert np.array_equal(found, after, equal_nan=True) and len(server.requests) == 6


def test_connections_are_bounded(server: FileServer) -> None:
    """The limit applies to all reads of a process together."""
    profile = PROFILE.model_copy(update={"connections": 3})
    hrefs = {name: f"{server.url}/{name}.tif" for name in "abcdefgh"}
    server.delay = 0.01
    with ThreadPoolExecutor(4) as pool:
        kind = {"keys": {name: name for name in hrefs}, "nodata": 0}
        found = list(pool.map(lambda _: read(scene(hrefs["a"], **hrefs), kind, profile, SMALL), range(4)))
    assert server.most_busy == 3 and len(found) == 4
    assert all(np.array_equal(found[0][name], one[name], equal_nan=True) for one in found for name in hrefs)


class Tokens:
    """Signatures for one container, issued at /token and required for every file."""

    def __init__(self, server: FileServer, lifetime: float = 3600) -> None:
        self.given: list[str] = []
        self.lifetime, self.refused = lifetime, set[str]()
        server.pages["/token/account/container"] = self.give
        server.fault = self.check

    def give(self) -> bytes:
        self.given.append(f"sig=secret{len(self.given)}")
        ends = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        return json.dumps({"msft:expiry": ends.isoformat(), "token": self.given[-1]}).encode()

    def check(self, request: Request, number: int) -> int | Fault:
        if "/token/" in request.target:
            return None
        return None if self.given and request.target.endswith(f"?{self.given[-1]}") else 403


@pytest.fixture
def signed(server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder as a container of blob storage. The server acts as its proxy."""
    from planetary_computer.settings import Settings

    (folder / "container").mkdir(exist_ok=True)
    for name in "abcdefgh":
        shutil.copy(folder / f"{name}.tif", folder / "container")
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("PC_SDK_SAS_URL", "http://tokens.test/token")
    monkeypatch.setattr(signing, "_tokens", {})
    Settings.get.cache_clear()
    yield "http://account.blob.core.windows.net/container"
    Settings.get.cache_clear()


def test_one_token_for_all_threads(server: FileServer, signed: str) -> None:
    tokens = Tokens(server)
    server.delay = 0.01
    hrefs = {name: f"{signed}/{name}.tif" for name in "abcdefgh"}
    read(scene(hrefs["a"], **hrefs), {"keys": {name: name for name in hrefs}, "nodata": 0}, PC, SMALL)
    assert len(tokens.given) == 1
    read(scene(f"{signed}/a.tif?st=1&se=2&sp=r&sig=yesterday"), bands(), PC, SMALL)
    assert len(tokens.given) == 1


def test_a_refused_token_is_replaced(server: FileServer, signed: str) -> None:
    """A token may be refused between two requests of one file."""
    tokens = Tokens(server)
    expired = threading.Event()

    def check(request: Request, number: int) -> int | Fault:
        if number == 2 and not expired.is_set():  # token, header, and now the first blocks
            expired.set()
            tokens.given.append("sig=unknown to the reader")
        return tokens.check(request, number)

    server.fault = check
    assert read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert [re.sub(r".*/", "", request.target).partition("?")[2] for request in server.requests] == [
        "", "sig=secret0", "sig=secret0", "", "sig=secret2", "sig=secret2",
    ]  # fmt: skip


def test_a_token_is_renewed_before_it_expires(server: FileServer, signed: str) -> None:
    tokens = Tokens(server, lifetime=signing.EARLY - 1)
    read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert len(tokens.given) == 4, "one for the file and one per request: none is valid long enough for two"


def test_a_missing_token_is_reported_for_the_asset(server: FileServer, signed: str) -> None:
    server.fault = lambda request, number: 503
    with pytest.raises(AssetError, match=r"/a\.tif cannot be read: 503 Server Error") as caught:
        read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert caught.value.asset == "a" and len(server.requests) == TRIES
