"""s3:// addresses, read with the options of the profiles from a local store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from monitor.archive.profiles import CatalogProfile, read_profile
from monitor.archive.retries import TRIES, TRIES_ABSENT
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import geobox_at
from tests.support.httpserver import Answer, HttpServer, Request, part_of, serving
from tests.support.rasters import read

GEOBOX = geobox_at(32643, 529_200, 50_400, (64, 64))


class Store(HttpServer):
    """One object, `/bucket/vv.tif`. `payer` is the required value of x-amz-request-payer."""

    def __init__(self, content: bytes, payer: str | None) -> None:
        super().__init__(self._object)
        self.content, self.payer = content, payer

    def _object(self, request: Request) -> Answer:
        if request.headers.get("x-amz-request-payer") != self.payer:
            return Answer(403, _error("AccessDenied", "Access Denied"))
        if request.path == "/bucket/bare.tif":
            return Answer(404)
        if request.path != "/bucket/vv.tif":
            return Answer(404, _error("NoSuchKey", "The specified key does not exist."))
        return part_of(self.content, request)


def _error(code: str, message: str) -> bytes:
    """Body of an error as Amazon's S3 sends it."""
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


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
    store = Store((tmp_path / "vv.tif").read_bytes(), "requester")
    with serving(store):
        yield store


def local_profile(name: str, store: Store) -> CatalogProfile:
    """The profile with the address of the local store; everything else is unchanged."""
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


#: of GDAL, for an object that cannot be opened
REQUESTS_OF_A_TRY = 3
BANDS = {"keys": {"VV": "vv"}, "nodata": 0}


def test_requester_pays_and_requests_are_signed(store: Store, numbers: np.ndarray) -> None:
    """Earth Search's radar: every request is marked as paid by the requester, and signed for the bucket's
    region."""
    assert np.array_equal(read(scene(), BANDS, local_profile("earth-search", store), GEOBOX)["VV"], numbers)
    assert store.requests
    for request in store.requests:
        headers = request.headers
        assert request.path == "/bucket/vv.tif" and headers["x-amz-request-payer"] == "requester"
        assert (
            "Credential=someone/" in headers["authorization"]
            and "/eu-central-1/s3/" in headers["authorization"]
        )


def test_cdse_requests_are_not_requester_pays(store: Store, numbers: np.ndarray) -> None:
    store.payer = None
    assert np.array_equal(read(scene(), BANDS, local_profile("cdse", store), GEOBOX)["VV"], numbers)
    assert all("x-amz-request-payer" not in request.headers for request in store.requests)


def test_a_refusal_reports_item_asset_and_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.archive.retries.FIRST_PAUSE", 0.01)
    store.payer = "somebody else"
    with pytest.raises(AssetError, match=r"one: asset vv at s3://bucket/vv\.tif cannot be read"):
        read(scene(), BANDS, local_profile("earth-search", store), GEOBOX)


@pytest.mark.parametrize(
    ("key", "payer", "message", "tries"),
    [
        ("gone.tif", "requester", "The specified key does not exist", TRIES_ABSENT),
        ("bare.tif", "requester", "HTTP response code: 404", TRIES_ABSENT),
        ("vv.tif", "somebody else", "Access Denied", TRIES),
    ],
)
def test_a_missing_object_is_retried_less_often(
    key: str, payer: str, message: str, tries: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known by GDAL's error number, or by its message where the response has no body."""
    monkeypatch.setattr("monitor.archive.retries.FIRST_PAUSE", 0.01)
    store.payer = payer
    with pytest.raises(AssetError, match=message):
        read(scene(key), BANDS, local_profile("earth-search", store), GEOBOX)
    assert len(store.requests) == REQUESTS_OF_A_TRY * tries
