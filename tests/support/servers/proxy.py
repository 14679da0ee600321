"""A forward proxy, the only way to the servers. It maps host names to addresses, and adds delays and faults.

Clients find it through `http_proxy`, which requests and GDAL (libcurl) read. Any host name can be served
without DNS. Requests for an unknown host and for https are refused and counted, so nothing reaches the real
internet.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Never
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from .faults import Fault, Faults
from .tokens import REFUSAL

RETRY_AFTER_S = 1
#: duration of a slow response
SLOW_S = 1.0
#: time that a stalled response stays open for a client without a time limit
STALL_S = 120.0
_PART = 64 * 1024
_DRIBS = 8
_ANSWERS: dict[Fault, dict[str, Any]] = {
    Fault.FORBIDDEN: {"status": 403, "text": REFUSAL, "content_type": "application/xml"},
    Fault.MISSING: {"status": 404, "text": "The specified blob does not exist."},
    Fault.THROTTLED: {"status": 429, "headers": {"Retry-After": str(RETRY_AFTER_S)}},
    Fault.UNAVAILABLE: {"status": 503, "text": "The server is busy."},
}
#: headers of one connection, not of the message (RFC 9110, 7.6.1)
_HOP_BY_HOP = {
    *("connection", "proxy-connection", "keep-alive", "upgrade", "http2-settings"),
    *("proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
}


class Link:
    """A link shared by all responses: seconds before each, bytes per second of all together."""

    def __init__(self, latency_s: float = 0.0, bytes_per_second: float = math.inf) -> None:
        self.latency_s, self.bytes_per_second = latency_s, bytes_per_second
        self._free_at = 0.0

    async def carry(self, size: int) -> None:
        """Wait for the time that the link needs for `size` bytes, after the bytes already queued."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + size / self.bytes_per_second
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Proxy:
    """Forward requests for the hosts of `routes` (host name to `address:port`), and inject faults."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self.routes = routes
        self.begin(Faults(), Link())

    def begin(self, faults: Faults, link: Link) -> None:
        """Use these faults and this link from now on, and reset the counts."""
        self.faults, self.link = faults, link
        #: requests by host, unknown hosts included
        self.requests: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; yield its `127.0.0.1:PORT`."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            server = web.Server(self._handle, access_log=None, handler_cancellation=True)
            runner = web.ServerRunner(server, shutdown_timeout=1.0)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, port = runner.addresses[0][:2]
                yield f"{host}:{port}"
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        url = urlsplit(request.raw_path)
        host = url.hostname or request.host.partition(":")[0]
        self.requests[host] += 1
        if url.scheme != "http" or host not in self.routes:
            return web.Response(status=502, text=f"unknown host {host}")
        body = await request.read()
        fault = self.faults.decide(request.method, url.geturl(), request.headers.get("Range"), body)
        await asyncio.sleep(self.link.latency_s)
        if fault in _ANSWERS:
            return web.Response(**_ANSWERS[fault])
        if fault is Fault.RESET:
            await _hang_up(request, reset=True)
        target = URL(url._replace(netloc=self.routes[host]).geturl(), encoded=True)
        async with self._session.request(
            request.method,
            target,
            headers=_end_to_end(request.headers),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(_end_to_end(answer.headers))
        if request.method != "HEAD":
            response.content_length = len(content)
        await self._send(request, response, content, fault)
        return response

    async def _send(
        self, request: web.BaseRequest, response: web.StreamResponse, content: bytes, fault: Fault | None
    ) -> None:
        cut = fault in (Fault.TRUNCATED, Fault.STALLED)
        if cut and not content:
            await _hang_up(request, reset=True)  # no body to withhold
        size, pause = _PART, 0.0
        if fault is Fault.SLOW:
            size, pause = math.ceil(len(content) / _DRIBS) or 1, SLOW_S / _DRIBS
        await response.prepare(request)
        sent = content[: len(content) // 2] if cut else content
        for start in range(0, len(sent), size):
            part = sent[start : start + size]
            await self.link.carry(len(part))
            await asyncio.sleep(pause)
            await response.write(part)
        if cut:
            await asyncio.sleep(STALL_S if fault is Fault.STALLED else 0)
            await _hang_up(request)


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Headers of the message, for the next connection."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in _HOP_BY_HOP | named)


async def _hang_up(request: web.BaseRequest, reset: bool = False) -> Never:
    """Close the client's connection after the bytes written, or reset it at once. Ends in cancellation."""
    assert request.transport is not None
    if reset:
        linger = struct.pack("ii", 1, 0)  # linger of zero seconds: the kernel sends RST instead of FIN
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    else:
        request.transport.close()
    await asyncio.sleep(STALL_S)  # the lost connection cancels this task
    raise AssertionError("a closed connection was not noticed")
