"""Reading over HTTP: each block is read once, damaged responses are detected, failed requests are retried."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from monitor.archive import ranges, retries, signing
from monitor.archive.retries import TRIES, TRIES_ABSENT
from monitor.archive.sessions import Session
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


def pixels(source: str | Path) -> np.ndarray:
    return read(scene(source), bands(), PROFILE, SMALL)["band"]


VERSIONS: dict[str, Callable[[int], dict[str, str]]] = {
    "mirrors": lambda number: {"ETag": f'"mirror {number % 2}"'},
    "three mirrors": lambda number: {"ETag": f'"mirror {number % 3}"'},
    "weak": lambda number: {"ETag": f'{"W/" * (number % 2)}"same"'},
    "weak, of each response": lambda number: {"ETag": f'W/"{number}"'},
    "times": lambda number: {"ETag": "", "Last-Modified": f"Mon, 01 Aug 2022 00:00:0{number % 2} GMT"},
    "not always": lambda number: {"ETag": '"x"' if number % 2 else ""},
}


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_file_whose_version_is_named_differently(kind: str, server: FileServer, folder: Path) -> None:
    server.heads = lambda request, number: VERSIONS[kind](number)
    assert np.array_equal(pixels(f"{server.url}/plain.tif"), pixels(folder / "plain.tif"), equal_nan=True)
    assert len(server.requests) <= 12


def test_mirrors_with_other_content_are_never_combined(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two uncompressed files of one size and header, each with its own ETag, served in turn."""
    monkeypatch.setattr(ranges, "TRIES", 2)
    monkeypatch.setattr(retries, "TRIES", 2)
    write(folder / "other.tif", GRID, numbers(GRID[2], 0.05, 7), compress="NONE")
    contents = [(folder / name).read_bytes() for name in ("plain.tif", "other.tif")]
    assert len(contents[0]) == len(contents[1])
    server.pages["/mixed.tif"] = lambda: contents[len(server.requests) % 2]
    with pytest.raises(AssetError, match="replaced by another file while it was read"):
        pixels(f"{server.url}/mixed.tif")


@pytest.mark.parametrize("name", ["a.tif", "plain.tif", "tiny.tif"])
def test_a_server_that_does_not_state_the_size(name: str, server: FileServer, folder: Path) -> None:
    grid = around(EPSG, 60, 40)
    write(folder / "tiny.tif", grid, numbers(grid[2]))

    def star(request: Request, number: int) -> dict[str, str]:
        first, last = request.span or (0, 0)
        end = min(last, (folder / name).stat().st_size - 1)
        return {"Content-Range": f"bytes {first}-{end}/*"}

    server.heads = star
    assert np.array_equal(pixels(f"{server.url}/{name}"), pixels(folder / name), equal_nan=True)
    assert len(server.requests) <= 4, "one more than with a size"


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("ahead", [0, -7200, 7200], ids=["right clock", "clock behind", "clock ahead"])
def test_retry_after(form: str, ahead: float, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date is compared with the server's own clock."""
    waited: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", waited.append)
    server.clock_ahead = ahead
    until = time.time() + ahead + 25

    def heads(request: Request, number: int) -> dict[str, str]:
        return (
            {} if number else {"Retry-After": "25" if form == "seconds" else formatdate(until, usegmt=True)}
        )

    server.heads, server.fault = heads, lambda request, number: None if number else 503
    assert pixels(f"{server.url}/a.tif") is not None
    (pause,) = filter(None, waited)  # the server's own pauses are 0
    assert 20 < pause <= 26


NETRC = "default login someone password secret"


@pytest.mark.parametrize(
    ("entry", "query", "sent"),
    [
        (NETRC, "?sig=abc", None),
        (NETRC, "", None),
        ("machine 127.0.0.1 login u password secret", "", "Basic dTpzZWNyZXQ="),
        ("machine 127.0.0.1 login u password secret", "?sig=abc", None),
        ("machine other.org login u password secret", "", None),
        ("no entry at all", "", None),
    ],
)
def test_a_password_goes_only_to_its_own_host(
    entry: str,
    query: str,
    sent: str | None,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text(entry)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert pixels(f"{server.url}/a.tif{query}") is not None
    assert {request.headers.get("authorization") for request in server.requests} == {sent}


def test_a_password_is_not_sent_to_the_host_of_a_redirect(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"{NETRC}\nmachine localhost login u password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    server.fault = lambda request, number: 302 if number == 0 else None
    server.heads = lambda request, number: {} if number else {"Location": f"{server.url}/a.tif"}
    with Session() as session:
        answer = session.get(f"{server.url.replace('127.0.0.1', 'localhost')}/old.tif")
    assert answer.ok and [one.headers.get("authorization") for one in server.requests] == [
        "Basic dTpzZWNyZXQ=",
        None,
    ]


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

    def __init__(self, server: FileServer, lifetime: float = 3600, ahead: float = 0) -> None:
        """`ahead`: seconds by which the server's clock differs from this machine's."""
        self.given: list[str] = []
        self.ahead = ahead
        server.clock_ahead = ahead
        self.lifetime, self.refused = lifetime, set[str]()
        server.pages["/token/account/container"] = self.give
        server.fault = self.check

    def give(self) -> bytes:
        self.given.append(f"sig=secret{len(self.given)}")
        ends = datetime.now(UTC) + timedelta(seconds=self.lifetime + self.ahead)
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


def test_a_token_is_renewed_before_it_expires(
    server: FileServer, signed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(server, lifetime=signing.EARLY + 100)
    read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert len(tokens.given) == 1
    now = time.monotonic
    monkeypatch.setattr(signing.time, "monotonic", lambda: now() + 90)
    read(scene(f"{signed}/b.tif"), bands(), PC, SMALL)
    assert len(tokens.given) == 1
    monkeypatch.setattr(signing.time, "monotonic", lambda: now() + 101)
    read(scene(f"{signed}/c.tif"), bands(), PC, SMALL)
    assert len(tokens.given) == 2


@pytest.mark.parametrize("ahead", [-5400, 5400], ids=["behind", "ahead"])
def test_the_lifetime_of_a_token_does_not_depend_on_this_machines_clock(
    ahead: float, server: FileServer, signed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the difference between the end of a token and the `Date` of its response is used."""
    tokens = Tokens(server, ahead=-ahead)
    hrefs = [f"{signed}/{name}.tif" for name in "abc"]
    for href in hrefs:
        signing.sign(href, PC)
    assert len(tokens.given) == 1
    now = time.monotonic
    monkeypatch.setattr(signing.time, "monotonic", lambda: now() + tokens.lifetime)
    signing.sign(hrefs[0], PC)
    assert len(tokens.given) == 2


def test_a_token_that_ended_before_it_was_issued_is_used(server: FileServer, signed: str) -> None:
    tokens = Tokens(server, lifetime=-900)
    assert read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert len(tokens.given) == 1


@pytest.mark.parametrize("text", [b"[]", b"{}", b"no JSON", b'{"msft:expiry": null, "token": null}'])
def test_a_response_that_is_no_token_is_named(
    text: bytes, server: FileServer, signed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tokens(server)
    server.pages["/token/account/container"] = lambda: text
    with pytest.raises(AssetError, match="the response of the token service is not a token"):
        read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)


def test_a_missing_token_is_reported_for_the_asset(server: FileServer, signed: str) -> None:
    server.fault = lambda request, number: 503
    with pytest.raises(AssetError, match=r"/a\.tif cannot be read: 503 Server Error") as caught:
        read(scene(f"{signed}/a.tif"), bands(), PC, SMALL)
    assert caught.value.asset == "a" and len(server.requests) == TRIES
