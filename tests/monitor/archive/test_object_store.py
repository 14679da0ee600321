"""s3:// addresses, read as the profiles say, from a store on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely

from monitor.archive.profiles import CatalogProfile, read_profile
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import geobox_at
from tests.support.rasters import read

GEOBOX = geobox_at(32643, 529_200, 50_400, (64, 64))


class Store(ThreadingHTTPServer):
    """One object, `/bucket/vv.tif`; `payer` is what a request must say of who pays."""

    def __init__(self, content: bytes, payer: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.content, self.payer = content, payer
        self.asked: list[tuple[str, dict[str, str]]] = []


class _Asked(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        content, status = self.server.content, 200
        if headers.get("x-amz-request-payer") != self.server.payer:
            content, status = b"<Error><Code>AccessDenied</Code></Error>", 403
        elif self.path != "/bucket/vv.tif":
            content, status = b"<Error><Code>NoSuchKey</Code></Error>", 404
        whole = len(content)
        self.send_response(206 if status == 200 and "range" in headers else status)
        if status == 200 and "range" in headers:
            first, last = headers["range"].removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{whole}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 900, (64, 64)).astype(np.uint16)


@pytest.fixture
def store(tmp_path: Path, numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    shape = {"height": 64, "width": 64, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(
        tmp_path / "vv.tif", "w", driver="COG", crs=GEOBOX.crs.to_wkt(), transform=GEOBOX.affine, **shape
    ) as file:
        file.write(numbers, 1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = Store((tmp_path / "vv.tif").read_bytes(), "requester")
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def here(name: str, store: Store) -> CatalogProfile:
    """The profile with the store on this machine in place of its own; all else as it is."""
    profile = read_profile(name, Path())
    local = {
        "AWS_S3_ENDPOINT": f"127.0.0.1:{store.server_port}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
    return profile.model_copy(update={"gdal": profile.gdal | local})


def scene(key: str = "vv.tif") -> Scene:
    item = {
        "geometry": shapely.geometry.mapping(GEOBOX.geographic_extent.geom),
        "assets": {"vv": {"href": f"s3://bucket/{key}"}},
    }
    return Scene("one", "sentinel-1-grd", datetime(2022, 8, 1, tzinfo=UTC), item)


BANDS = {"keys": {"VV": "vv"}, "nodata": 0}


def test_the_reader_pays_and_signs(store: Store, numbers: np.ndarray) -> None:
    """Earth Search's radar: every request says who pays, and is signed for the bucket's region."""
    assert np.array_equal(read(scene(), BANDS, here("earth-search", store), GEOBOX)["VV"], numbers)
    assert store.asked
    for path, headers in store.asked:
        assert path == "/bucket/vv.tif" and headers["x-amz-request-payer"] == "requester"
        assert (
            "Credential=someone/" in headers["authorization"]
            and "/eu-central-1/s3/" in headers["authorization"]
        )


def test_nobody_pays_at_cdse(store: Store, numbers: np.ndarray) -> None:
    store.payer = None
    assert np.array_equal(read(scene(), BANDS, here("cdse", store), GEOBOX)["VV"], numbers)
    assert all("x-amz-request-payer" not in headers for _, headers in store.asked)


def test_a_refusal_names_item_asset_and_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.archive.retries.FIRST_PAUSE", 0.01)
    store.payer = "somebody else"
    with pytest.raises(AssetError, match=r"one: asset vv at s3://bucket/vv\.tif cannot be read"):
        read(scene(), BANDS, here("earth-search", store), GEOBOX)
