"""A simulated archive as a catalogue of the internet, from the side of who reads it."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from .faults import Rule
from .process import BLOB_HOST, CATALOG_HOST, CONTAINER, OPEN_HOST, TOKEN_HOST, Conditions, Seen, run


def signed_href(path: str) -> str:
    """Address in blob storage, where reading needs a signature."""
    return f"http://{BLOB_HOST}/{CONTAINER}/{path}"


def open_href(path: str) -> str:
    """Address of the same file where everybody may read."""
    return f"http://{OPEN_HOST}/{CONTAINER}/{path}"


@dataclass(frozen=True)
class OnlineArchive:
    """Where it is, and how it behaves."""

    #: for `catalog.location`
    catalog_url: str
    #: variables that lead a process to it and nowhere else
    environment: dict[str, str]
    _servers: Connection

    def begin(
        self,
        *rules: Rule,
        seed: int = 0,
        latency_s: float = 0.0,
        bytes_per_second: float = math.inf,
        token_lifetime_s: float = 3600.0,
    ) -> None:
        """Begin a run under these conditions, counts at zero; without arguments a clean and fast one.

        Args:
            rules: what fails; the first whose pattern is in a request's URL decides about it.
            seed: changes which requests fail.
            latency_s: seconds before each answer.
            bytes_per_second: of all answers together.
            token_lifetime_s: seconds that a token issued from now on is valid.
        """
        self._servers.send(Conditions(rules, seed, latency_s, bytes_per_second, token_lifetime_s))
        self._servers.recv()

    def seen(self) -> Seen:
        """What was asked, read and injected since `begin`."""
        self._servers.send(None)
        seen: Seen = self._servers.recv()
        return seen


@contextmanager
def archive_online(
    folder: Path, postgis_url: str, href: Callable[[str], str] = signed_href
) -> Iterator[OnlineArchive]:
    """Put the archive in `folder` online; its servers end with the block.

    `href`, a function of a module, gives an asset's address for its path below the folder: `signed_href`,
    `open_href`, or a mix of both.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, folder, postgis_url, href))
    process.start()
    theirs.close()
    try:
        try:
            proxy: str = ours.recv()
        except EOFError:
            raise RuntimeError("the servers did not start; their process says why on stderr") from None
        yield OnlineArchive(f"http://{CATALOG_HOST}/", _environment(proxy), ours)
    finally:
        ours.close()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()
            raise RuntimeError("the servers did not stop and were killed")
        process.close()


def _environment(proxy: str) -> dict[str, str]:
    """Both spellings, since libcurl reads `http_proxy` only and others prefer the capitals."""
    names = {f"{scheme}_proxy": f"http://{proxy}" for scheme in ("http", "https", "all")} | {"no_proxy": ""}
    both = names | {name.upper(): value for name, value in names.items()}
    return both | {"PC_SDK_SAS_URL": f"http://{TOKEN_HOST}/token"}
