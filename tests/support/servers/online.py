"""A simulated archive online, from the client's side."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from .faults import Rule
from .process import BLOB_HOST, CATALOG_HOST, CONTAINER, OPEN_HOST, TOKEN_HOST, Conditions, Traffic, run


def signed_href(path: str) -> str:
    """Address in blob storage, which requires a signature."""
    return f"http://{BLOB_HOST}/{CONTAINER}/{path}"


def open_href(path: str) -> str:
    """Address of the same file on a host without signatures."""
    return f"http://{OPEN_HOST}/{CONTAINER}/{path}"


@dataclass(frozen=True)
class OnlineArchive:
    """Addresses and environment of an archive online, and control of its network."""

    #: value of `catalog.location`
    catalog_url: str
    #: environment variables that direct a process to the servers and nowhere else
    environment: dict[str, str]
    _servers: Connection

    @property
    def file_hosts(self) -> list[str]:
        """Value of `catalog.hosts`."""
        return [f"http://{BLOB_HOST}", f"http://{OPEN_HOST}"]

    def begin(
        self,
        *rules: Rule,
        seed: int = 0,
        latency_s: float = 0.0,
        bytes_per_second: float = math.inf,
        token_lifetime_s: float = 3600.0,
    ) -> None:
        """Start a run under these conditions and reset all counts. Without arguments there are no faults and
        no delays.

        Args:
            rules: the faults. The first rule whose pattern matches a request's URL applies.
            seed: changes the selection of the requests that fail.
            latency_s: seconds before each response.
            bytes_per_second: bandwidth shared by all responses.
            token_lifetime_s: validity in seconds of the tokens issued in this run.
        """
        self._servers.send(Conditions(rules, seed, latency_s, bytes_per_second, token_lifetime_s))
        self._servers.recv()

    def traffic(self) -> Traffic:
        """Requests, reads and injected faults since `begin`."""
        self._servers.send(None)
        traffic: Traffic = self._servers.recv()
        return traffic


@contextmanager
def archive_online(
    folder: Path, postgis_url: str, href: Callable[[str], str] = signed_href
) -> Iterator[OnlineArchive]:
    """Put the archive in `folder` online until the block ends.

    `href`, a module-level function, returns the address of an asset, given its path below the folder:
    `signed_href`, `open_href`, or a mix of both.
    """
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=run, args=(child_end, folder, postgis_url, href))
    process.start()
    child_end.close()
    try:
        try:
            proxy: str = parent_end.recv()
        except EOFError:
            raise RuntimeError("the servers did not start; see stderr of their process") from None
        yield OnlineArchive(f"http://{CATALOG_HOST}/", _environment(proxy), parent_end)
    finally:
        parent_end.close()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()
            raise RuntimeError("the servers did not stop and were killed")
        process.close()


def _environment(proxy: str) -> dict[str, str]:
    """Proxy variables in both spellings: libcurl reads `http_proxy` only, others prefer upper case."""
    names = {f"{scheme}_proxy": f"http://{proxy}" for scheme in ("http", "https", "all")} | {"no_proxy": ""}
    both = names | {name.upper(): value for name, value in names.items()}
    return both | {"PC_SDK_SAS_URL": f"http://{TOKEN_HOST}/token"}
