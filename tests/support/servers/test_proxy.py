"""Every fault as a real client receives it, the speed of the link, and unknown hosts."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
import requests
from pystac_client import Client
from pystac_client.exceptions import APIError
from rasterio.errors import RasterioIOError
from urllib3 import Retry

from tests.support.servers.conftest import RemoteFile, get
from tests.support.servers.faults import Fault, Injection, Rule
from tests.support.servers.online import OnlineArchive
from tests.support.servers.proxy import SLOW_S

REMOTE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_TIMEOUT": "2"}


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.MISSING, Fault.THROTTLED, Fault.UNAVAILABLE])
def test_an_error_status(archive_online: OnlineArchive, remote: RemoteFile, fault: Fault) -> None:
    archive_online.begin(Rule("B03_10m", kinds=(fault,)))
    answer = get(remote.open_url, "bytes=0-9")
    assert answer.status_code == int(fault)
    assert (answer.headers.get("Retry-After") == "1") == (fault is Fault.THROTTLED)
    assert get(remote.open_url.replace("B03", "B02"), "bytes=0-9").status_code == 206
    traffic = archive_online.traffic()
    assert traffic.injected == [Injection(fault, "GET", remote.open_url, "bytes=0-9", 0)]
    assert len(traffic.reads) == 1, "the response is the fault's, not the file's"


def test_a_reset(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.RESET,), times=1))
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        get(remote.open_url)
    assert get(remote.open_url).content == remote.content


def test_a_truncated_body(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.TRUNCATED,), times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match=r"500 bytes read, 500 more expected"):
        get(remote.open_url, "bytes=0-999")
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        requests.head(remote.open_url, timeout=3)  # HEAD has no body to cut
    assert get(remote.open_url, "bytes=0-999").content == remote.content[:1000]


def test_a_slow_body_is_complete(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.SLOW,)))
    start = time.monotonic()
    with requests.get(remote.open_url, stream=True, timeout=3) as answer:
        headers_s = time.monotonic() - start
        assert answer.content == remote.content
    assert headers_s < SLOW_S / 2 < SLOW_S <= time.monotonic() - start


def test_a_stalled_body_ends_at_the_timeout(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.STALLED,)))
    with requests.get(remote.open_url, headers={"Range": "bytes=0-999"}, stream=True, timeout=0.5) as answer:
        assert answer.status_code == 206 and answer.raw.read(500) == remote.content[:500]
        with pytest.raises(requests.ConnectionError, match="Read timed out"):
            _ = answer.content


def test_a_client_that_honours_retry_after(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.THROTTLED,), times=1))
    with requests.Session() as session:
        retry = Retry(3, status_forcelist=[429])
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        start = time.monotonic()
        assert session.get(remote.open_url, timeout=3).content == remote.content
    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.SLOW])
def test_gdal_fails_and_recovers(archive_online: OnlineArchive, remote: RemoteFile, fault: Fault) -> None:
    """Without retries GDAL reports each fault as an error, never as wrong pixels; the next address is
    readable."""
    archive_online.begin(Rule(f"{fault}-broken", kinds=(fault,)))
    with rasterio.Env(**REMOTE):
        with (
            pytest.raises(RasterioIOError),
            rasterio.open(f"/vsicurl/{remote.open_url}?{fault}-broken") as file,
        ):
            file.read()
        with (
            rasterio.open(f"/vsicurl/{remote.open_url}?{fault}-whole") as file,
            rasterio.open(remote.local) as local,
        ):
            np.testing.assert_array_equal(file.read(), local.read())
    assert archive_online.traffic().faults[fault] >= 1


def test_gdal_retries_unavailable_responses(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(Rule(kinds=(Fault.UNAVAILABLE,), times=1))
    patient = {**REMOTE, "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.1"}
    with rasterio.Env(**patient), rasterio.open(f"/vsicurl/{remote.open_url}?patient") as opened:
        assert opened.read().any()
    assert archive_online.traffic().faults[Fault.UNAVAILABLE] >= 2


def test_a_search_that_fails(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    client = Client.open(archive_online.catalog_url)
    archive_online.begin(Rule("/search", kinds=(Fault.MISSING,), times=1))
    with pytest.raises(APIError) as refused:
        list(client.search(limit=100).items())
    assert refused.value.status_code == 404
    assert list(client.search(limit=100).items())
    (injected,) = archive_online.traffic().injected
    assert injected.method == "POST" and injected.url == "http://catalog.test/search"


def test_a_slow_link(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    """Two responses share the bandwidth; the latencies overlap."""
    speed = 2 * len(remote.content) / 0.8
    archive_online.begin(latency_s=0.2, bytes_per_second=speed)
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        assert [answer.content for answer in pool.map(get, [remote.open_url] * 2)] == [remote.content] * 2
    assert 1.0 <= time.monotonic() - start < 2.0
    archive_online.begin()
    start = time.monotonic()
    get(remote.open_url)
    assert time.monotonic() - start < 0.3


def test_nothing_reaches_the_internet(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    assert get("http://unknown.test/").status_code == 502
    with pytest.raises(requests.exceptions.ProxyError):
        get("https://planetarycomputer.microsoft.com/api/stac/v1")
    with pytest.raises(RasterioIOError):
        rasterio.open("/vsicurl/https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif")
    unknown_hosts = set(archive_online.traffic().unknown_hosts)
    assert unknown_hosts == {
        "unknown.test", "planetarycomputer.microsoft.com", "sentinel-cogs.s3.us-west-2.amazonaws.com",
    }  # fmt: skip
