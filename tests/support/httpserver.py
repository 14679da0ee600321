"""HTTP server for tests, in this process. A function gives each response, complete or with a fault."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: seconds that a stalled response stays open
STALL = 1.0
#: fault of a response: "reset" closes the connection without a response, "crawl" sends byte by byte; with a
#: number of bytes, "short" sends only these and declares them as Content-Length, "cut" closes and "stall"
#: waits after these
Fault = str | tuple[str, int] | None


@dataclass
class Request:
    """A request, and the status and size of its response."""

    method: str
    #: path and query as in the request line
    target: str
    #: names in lower case
    headers: Mapping[str, str]
    body: bytes = b""
    status: int = 0
    #: bytes of the response body that were sent
    sent: int = 0

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last byte of the Range header, None without one."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return None if found is None else (int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Answer:
    """Response to a request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = None


def part_of(content: bytes, request: Request) -> Answer:
    """Return the content, or the requested range of it."""
    headers = {"ETag": f'"{hash(content)}"'}
    if request.span is None:
        return Answer(200, content, headers)
    first, last = request.span
    headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
    return Answer(206, content[first : last + 1], headers)


class HttpServer(ThreadingHTTPServer):
    """Server whose responses are the return values of `answer`; `requests` holds all requests in order."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.url = answer, f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.requests: list[Request] = []
        self.busy = self.most_busy = 0
        #: seconds before each response
        self.delay = 0.0
        #: seconds by which the server's clock is ahead, for its `Date`
        self.clock_ahead = 0.0

    @property
    def sent(self) -> int:
        """Total bytes of all response bodies."""
        return sum(request.sent for request in self.requests)

    def handle_error(self, *_: Any) -> None:
        """Ignore connections closed by the client."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.clock_ahead)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        with self.server.lock:
            self.server.requests.append(request)
            self.server.busy += 1
            self.server.most_busy = max(self.server.busy, self.server.most_busy)
        try:
            time.sleep(self.server.delay)
            self._send(request, self.server.answer(request))
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.busy -= 1

    do_HEAD = do_POST = do_GET

    def _send(self, request: Request, answer: Answer) -> None:
        if answer.fault == "reset":
            linger = struct.pack("ii", 1, 0)  # linger of zero seconds: the kernel sends RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            raise ConnectionResetError
        kind, size = answer.fault if isinstance(answer.fault, tuple) else (answer.fault, len(answer.body))
        part = answer.body[:size] if self.command != "HEAD" else b""
        request.status, request.sent = answer.status, len(part)
        self.send_response(answer.status)
        # "short" declares the length that it sends
        length = len(part if kind == "short" else answer.body)
        for name, value in {**answer.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if kind == "crawl":
            for byte in range(len(part)):
                self.wfile.write(part[byte : byte + 1])
                time.sleep(0.05)
            return
        self.wfile.write(part)
        if kind in ("cut", "stall"):
            self.wfile.flush()
            time.sleep(STALL if kind == "stall" else 0)
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Suppress the log, which would fill the tests' output."""


@contextmanager
def serving(server: HttpServer) -> Iterator[HttpServer]:
    """Serve on a free local port until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class FileServer(HttpServer):
    """Serve a folder with byte ranges. `fault` is called per request; `pages` are generated contents."""

    def __init__(self, folder: Any) -> None:
        super().__init__(self._find)
        self.folder = folder
        self.reset()

    def reset(self) -> None:
        self.fault: Callable[[Request, int], int | Fault] = lambda request, number: None
        self.pages: dict[str, Callable[[], bytes]] = {}
        #: headers that replace those of a response, by request and its number
        self.heads: Callable[[Request, int], Mapping[str, str]] = lambda request, number: {}
        self.requests = []
        self.busy = self.most_busy = 0
        self.delay = self.clock_ahead = 0.0

    def _find(self, request: Request) -> Answer:
        with self.lock:
            number = next(at for at, each in enumerate(self.requests) if each is request)
        fault = self.fault(request, number)
        page, file = self.pages.get(request.path), self.folder / request.path.lstrip("/")
        heads = self.heads(request, number)
        if isinstance(fault, int):
            return Answer(fault, b"sorry", heads)
        if page is None and not file.is_file():
            return Answer(404, b"sorry", fault="reset" if fault == "reset" else None)
        found = part_of(file.read_bytes() if page is None else page(), request)
        return replace(found, headers={**found.headers, **heads}, fault=fault)
