"""The process that runs the servers, and its messages with the test.

It is a separate process because GDAL holds Python's interpreter lock while it waits for the network: a thread
of the reading process could never respond.
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
    """Conditions of the network and the tokens in a run."""

    rules: tuple[Rule, ...]
    seed: int
    latency_s: float
    bytes_per_second: float
    token_lifetime_s: float


@dataclass(frozen=True)
class Traffic:
    """Requests, reads and faults of a run."""

    #: requests by host, unknown hosts included
    requests: Counter[str]
    #: requests for hosts that are not served here: the real internet
    unknown_hosts: Counter[str]
    #: in order of time
    injected: list[Injection]
    #: requests that reached the files, in the order of their responses
    reads: list[Read]
    token_requests: int

    @property
    def faults(self) -> Counter[Fault]:
        """Number of injected faults of each kind."""
        return Counter(injection.fault for injection in self.injected)


class Servers:
    """All servers of one archive."""

    def __init__(self, files: Files, tokens: SasTokens, proxy: Proxy) -> None:
        self._files, self._tokens, self._proxy = files, tokens, proxy

    def begin(self, conditions: Conditions) -> None:
        """Reset all counts; the next repetition of a request is its first."""
        link = Link(conditions.latency_s, conditions.bytes_per_second)
        self._proxy.begin(Faults(conditions.rules, conditions.seed), link)
        self._tokens.begin(conditions.token_lifetime_s)
        self._files.reads.clear()

    def traffic(self) -> Traffic:
        """Requests, reads and faults since `begin`."""
        requests = self._proxy.requests.copy()
        return Traffic(
            requests=requests,
            unknown_hosts=Counter(
                {host: count for host, count in requests.items() if host not in self._proxy.routes}
            ),
            injected=list(self._proxy.faults.injected),
            reads=list(self._files.reads),
            token_requests=self._tokens.requests,
        )


def run(connection: Connection, folder: Path, postgis_url: str, href: Callable[[str], str]) -> None:
    """Serve until the test closes the other end of `connection`, by ending or by being killed.

    The first message sent is the proxy's address. Each message received is answered with the traffic so far;
    received conditions start a run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the test closes the connection
    with _servers(folder, postgis_url, href) as (address, servers):
        connection.send(address)
        while True:
            try:
                conditions: Conditions | None = connection.recv()
            except EOFError:
                return
            if conditions is not None:
                servers.begin(conditions)
            connection.send(servers.traffic())


@contextmanager
def _servers(folder: Path, postgis_url: str, href: Callable[[str], str]) -> Iterator[tuple[str, Servers]]:
    """Start all servers; yield the proxy's address and the servers."""
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
