"""A client in this process whose environment points to the servers, and one remote file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.servers.online import OnlineArchive, open_href, signed_href


@dataclass(frozen=True)
class RemoteFile:
    """One asset of the archive."""

    local: Path
    #: path below the archive's folder
    path: str

    @property
    def open_url(self) -> str:
        return open_href(self.path)

    @property
    def blob_url(self) -> str:
        """Address in the container that requires a signature."""
        return signed_href(self.path)

    @property
    def content(self) -> bytes:
        return self.local.read_bytes()


@pytest.fixture
def remote(archive_online: OnlineArchive, small_archive: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteFile:
    """A green band, and an environment that points to its server."""
    for name, value in archive_online.environment.items():
        monkeypatch.setenv(name, value)
    local = min(small_archive.rglob("*_B03_10m.tif"))
    return RemoteFile(local, local.relative_to(small_archive).as_posix())


def get(url: str, range_: str | None = None, **headers: str) -> requests.Response:
    """Send one GET on its own connection, without retries."""
    all_headers = {**headers, **({"Range": range_} if range_ else {})}
    return requests.get(url, headers=all_headers, timeout=(2, 3))
