"""A client in this process that knows the way to the servers, and a file to ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.servers.online import OnlineArchive, open_href, signed_href


@dataclass(frozen=True)
class RemoteFile:
    """One asset of the archive, where everybody may read."""

    local: Path
    #: below the archive's folder
    path: str

    @property
    def open_url(self) -> str:
        return open_href(self.path)

    @property
    def blob_url(self) -> str:
        """Where a signature is needed."""
        return signed_href(self.path)

    @property
    def content(self) -> bytes:
        return self.local.read_bytes()


@pytest.fixture
def remote(archive_online: OnlineArchive, small_archive: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteFile:
    """A green band, and the environment that leads to it."""
    for name, value in archive_online.environment.items():
        monkeypatch.setenv(name, value)
    local = min(small_archive.rglob("*_B03_10m.tif"))
    return RemoteFile(local, local.relative_to(small_archive).as_posix())


def get(url: str, range_: str | None = None, **headers: str) -> requests.Response:
    """One GET on a connection of its own, without retries."""
    asked = {**headers, **({"Range": range_} if range_ else {})}
    return requests.get(url, headers=asked, timeout=(2, 3))
