"""Byte ranges are those of the file, every read is recorded, and GDAL reads through the proxy."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import requests

from tests.support.servers.conftest import RemoteFile, get
from tests.support.servers.files import Read
from tests.support.servers.online import OnlineArchive


@pytest.mark.parametrize(
    ("range_", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-16383", slice(0, 16384)),
        ("bytes=1000-70000", slice(1000, 70001)),
        ("bytes=300000-", slice(300000, None)),
        ("bytes=-517", slice(-517, None)),
        ("bytes=300000-99999999", slice(300000, None)),
    ],
)
def test_a_range_is_the_files_bytes(
    archive_online: OnlineArchive, remote: RemoteFile, range_: str, part: slice
) -> None:
    answer = get(remote.open_url, range_)
    expected = remote.content[part]
    start, stop, _ = part.indices(len(remote.content))
    assert answer.status_code == 206 and answer.content == expected
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(remote.content)}"
    read = Read("GET", f"/archive/{remote.path}", range_, 206, len(expected))
    assert archive_online.traffic().reads == [read]


def test_a_range_beyond_the_end(remote: RemoteFile) -> None:
    answer = get(remote.open_url, "bytes=99999999-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(remote.content)}"


def test_head_has_the_length_of_get(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    head = requests.head(remote.open_url, timeout=3)
    whole = get(remote.open_url)
    assert head.status_code == whole.status_code == 200 and whole.content == remote.content
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(remote.content))
    assert head.headers["Accept-Ranges"] == "bytes" and head.headers["ETag"] == whole.headers["ETag"]
    assert [read.size for read in archive_online.traffic().reads] == [0, len(remote.content)]


def test_a_range_of_another_version_is_the_whole_file(remote: RemoteFile) -> None:
    tag = requests.head(remote.open_url, timeout=3).headers["ETag"]
    assert get(remote.open_url, "bytes=0-9", **{"If-Range": tag}).status_code == 206
    other = get(remote.open_url, "bytes=0-9", **{"If-Range": '"older"'})
    assert other.status_code == 200 and other.content == remote.content


@pytest.mark.usefixtures("remote")
def test_absent_files_are_404() -> None:
    for path in ("absent.tif", "sentinel-2-l2a", ""):
        assert get(f"http://archive.test/archive/{path}").status_code == 404, path
    assert get("http://archive.test/other/catalog.json").status_code == 404


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_gdal_reads_the_same_pixels(archive_online: OnlineArchive, remote: RemoteFile, http: str) -> None:
    with rasterio.open(remote.local) as local:
        expected, profile = local.read(), local.profile
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_VERSION": http}
    # a separate address for each, because GDAL caches content by address
    with rasterio.Env(**options), rasterio.open(f"/vsicurl/{remote.open_url}?{http}") as opened:
        np.testing.assert_array_equal(opened.read(), expected)
        assert opened.profile == profile
    traffic = archive_online.traffic()
    assert not traffic.unknown_hosts and traffic.requests.total() == len(traffic.reads)
    got = [read for read in traffic.reads if read.method == "GET"]
    assert all(read.status == 206 for read in got)
    assert len(remote.content) * 0.9 < sum(read.size for read in got) <= len(remote.content)
