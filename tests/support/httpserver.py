"""The tests' HTTP server: in this process, with answers that a function gives, whole or broken on purpose."""

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

#: seconds that a stalled answer stays open
STALL = 1.0
#: how an answer is broken: "reset" in place of it, "crawl" byte by byte, or after so many bytes of the body
#: "short" (whole by its own account), "cut" (closed) or "stall" (left open)
Fault = str | tuple[str, int] | None


@dataclass
class Asked:
    """One request, and what became of it."""

    method: str
    #: path as the client wrote it, with its query
    target: str
    #: names in small letters
    headers: Mapping[str, str]
    body: bytes = b""
    status: int = 0
    #: bytes of the body that were sent
    sent: int = 0

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last byte asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return None if found is None else (int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Answer:
    """What a request is answered with."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = None


def part_of(content: bytes, asked: Asked) -> Answer:
    """The content, or the range of it that was asked for."""
    headers = {"ETag": f'"{hash(content)}"'}
    if asked.span is None:
        return Answer(200, content, headers)
    first, last = asked.span
    headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
    return Answer(206, content[first : last + 1], headers)


class HttpServer(ThreadingHTTPServer):
    """Answers every request by `answer`; `asked` holds the requests in order."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.url = answer, f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.asked: list[Asked] = []
        self.busy = self.most_busy = 0
        #: seconds before each answer
        self.delay = 0.0

    @property
    def sent(self) -> int:
        """Bytes of all answers' bodies."""
        return sum(asked.sent for asked in self.asked)

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.busy += 1
            self.server.most_busy = max(self.server.busy, self.server.most_busy)
        try:
            time.sleep(self.server.delay)
            self._send(asked, self.server.answer(asked))
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.busy -= 1

    do_HEAD = do_POST = do_GET

    def _send(self, asked: Asked, answer: Answer) -> None:
        if answer.fault == "reset":
            linger = struct.pack("ii", 1, 0)  # of zero seconds: the kernel sends RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            raise ConnectionResetError
        kind, size = answer.fault if isinstance(answer.fault, tuple) else (answer.fault, len(answer.body))
        part = answer.body[:size] if self.command != "HEAD" else b""
        asked.status, asked.sent = answer.status, len(part)
        self.send_response(answer.status)
        # a short answer is whole by its own account
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
        """Keep the tests' output clean."""


@contextmanager
def serving(server: HttpServer) -> Iterator[HttpServer]:
    """Serve on a free port of this machine until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class FileServer(HttpServer):
    """A folder with ranges of bytes; `fault` decides about every request, `pages` are not files."""

    def __init__(self, folder: Any) -> None:
        super().__init__(self._find)
        self.folder = folder
        self.reset()

    def reset(self) -> None:
        self.fault: Callable[[Asked, int], int | Fault] = lambda asked, number: None
        self.pages: dict[str, Callable[[], bytes]] = {}
        self.asked = []
        self.busy = self.most_busy = 0
        self.delay = 0.0

    def _find(self, asked: Asked) -> Answer:
        with self.lock:
            number = next(at for at, each in enumerate(self.asked) if each is asked)
        fault = self.fault(asked, number)
        page, file = self.pages.get(asked.path), self.folder / asked.path.lstrip("/")
        if isinstance(fault, int):
            return Answer(fault, b"sorry")
        if page is None and not file.is_file():
            return Answer(404, b"sorry", fault="reset" if fault == "reset" else None)
        return replace(part_of(file.read_bytes() if page is None else page(), asked), fault=fault)
