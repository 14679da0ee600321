"""The process that runs the servers, and what is said between it and a test.

A process of its own, because GDAL waits for the network with Python's interpreter lock held: a thread of the
reading process could never answer it.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from .faults import Fault, Faults, Injection, Rule
from .files import Files, Read
from .proxy import Link, Proxy
from .tokens import SasTokens

CONTAINER = "archive"
CATALOG_HOST, TOKEN_HOST, OPEN_HOST = "catalog.test", "sas.test", "archive.test"
BLOB_HOST = "lakes.blob.core.windows.net"
_LANDING_PAGE = {
    "STAC_FASTAPI_LANDING_ID": "simulated",
    "STAC_FASTAPI_TITLE": "Simulated archive",
    "STAC_FASTAPI_DESCRIPTION": "Simulated scenes: no real data",
    "STAC_FASTAPI_VERSION": "1",
}


@dataclass(frozen=True)
class Conditions:
    """What the network and the tokens are like in a run."""

    rules: tuple[Rule, ...]
    seed: int
    latency_s: float
    bytes_per_second: float
    token_lifetime_s: float


@dataclass(frozen=True)
class Seen:
    """What happened in a run."""

    #: requests by host, those of unknown hosts as well
    asked: Counter[str]
    #: requests for hosts that are not ours: the real internet
    strangers: Counter[str]
    #: in the order they happened
    injected: list[Injection]
    #: requests that reached the files, in the order they were answered
    reads: list[Read]
    token_requests: int

    @property
    def faults(self) -> Counter[Fault]:
        """How many faults of each kind were injected."""
        return Counter(injection.fault for injection in self.injected)


class Servers:
    """All servers of one archive."""

    def __init__(self, files: Files, tokens: SasTokens, proxy: Proxy) -> None:
        self._files, self._tokens, self._proxy = files, tokens, proxy

    def begin(self, conditions: Conditions) -> None:
        """Every count at zero, every request asked for the first time."""
        link = Link(conditions.latency_s, conditions.bytes_per_second)
        self._proxy.begin(Faults(conditions.rules, conditions.seed), link)
        self._tokens.begin(conditions.token_lifetime_s)
        self._files.reads.clear()

    def seen(self) -> Seen:
        """What happened since `begin`."""
        asked = self._proxy.asked.copy()
        return Seen(
            asked=asked,
            strangers=Counter(
                {host: count for host, count in asked.items() if host not in self._proxy.routes}
            ),
            injected=list(self._proxy.faults.injected),
            reads=list(self._files.reads),
            token_requests=self._tokens.requests,
        )


def run(connection: Connection, folder: Path, postgis_url: str, href: Callable[[str], str]) -> None:
    """Serve until the other end of `connection` is closed, by a test that ended or one that was killed.

    Says the proxy's address first; then every message is answered with what was seen, conditions begin a run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started us closes the connection
    with _servers(folder, postgis_url, href) as (address, servers):
        connection.send(address)
        while True:
            try:
                conditions: Conditions | None = connection.recv()
            except EOFError:
                return
            if conditions is not None:
                servers.begin(conditions)
            connection.send(servers.seen())


@contextmanager
def _servers(folder: Path, postgis_url: str, href: Callable[[str], str]) -> Iterator[tuple[str, Servers]]:
    """Start all servers; gives the proxy's address."""
    os.environ |= _LANDING_PAGE  # read when the API's modules are imported
    from .api import pgstac_database, read_archive, stac_api
    from .serve import serving

    tokens = SasTokens()
    files = Files(folder, CONTAINER, tokens)
    with ExitStack() as stack:
        database = stack.enter_context(pgstac_database(postgis_url, *read_archive(folder, href)))
        portal = stack.enter_context(start_blocking_portal())

        def start(server: AbstractAsyncContextManager[str]) -> str:
            return stack.enter_context(portal.wrap_async_context_manager(server))

        storage = start(serving(files))
        catalog, endpoint = start(serving(stac_api(database))), start(serving(tokens.app()))
        routes = {CATALOG_HOST: catalog, TOKEN_HOST: endpoint, BLOB_HOST: storage, OPEN_HOST: storage}
        proxy = Proxy(routes)
        yield start(proxy.serving()), Servers(files, tokens, proxy)
