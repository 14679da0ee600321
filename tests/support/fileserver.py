"""A folder over HTTP with ranges of bytes, in this process, whose next answers can be told to fail."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: seconds that a stalled answer stays open
STALL = 1.0


@dataclass
class Asked:
    """One request and what became of it."""

    #: as the client wrote it, with its query
    target: str
    #: first and last byte asked for
    span: tuple[int, int] | None
    status: int = 0
    #: bytes of the body that were sent
    sent: int = 0


#: what a request meets in place of its answer: a status, "reset", "crawl", or "short", "cut" or "stall" after
#: so many bytes
Fault = int | str | tuple[str, int] | None


class FileServer(ThreadingHTTPServer):
    """`fault` decides about every request; `asked` remembers them."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.url = folder, f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.fault: Callable[[Asked, int], Fault] = lambda asked, number: None
        self.asked: list[Asked] = []
        #: answers to addresses that are no files: path to body
        self.pages: dict[str, Callable[[], bytes]] = {}
        self.busy = self.most_busy = 0
        self.delay = 0.0

    @property
    def sent(self) -> int:
        return sum(asked.sent for asked in self.asked)

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        asked = Asked(self.path, (int(told[1]), int(told[2])) if told else None)
        with self.server.lock:
            number = len(self.server.asked)
            self.server.asked.append(asked)
            self.server.busy += 1
            self.server.most_busy = max(self.server.busy, self.server.most_busy)
        try:
            time.sleep(self.server.delay)
            self._answer(asked, self.server.fault(asked, number))
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def _answer(self, asked: Asked, fault: Fault) -> None:
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)  # of zero seconds: the kernel sends RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            raise ConnectionResetError
        path = urlsplit(self.path).path
        page, file = self.server.pages.get(path), self.server.folder / path.lstrip("/")
        if isinstance(fault, int) or (page is None and not file.is_file()):
            self._send(asked, fault if isinstance(fault, int) else 404, {}, b"sorry")
            return
        content = page() if page is not None else file.read_bytes()
        headers = {"ETag": f'"{hash(content)}"'}
        status = 200
        if asked.span is not None:
            first, last = asked.span
            headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(asked, status, headers, content, fault)

    def _send(
        self, asked: Asked, status: int, headers: dict[str, str], content: bytes, fault: Fault = None
    ) -> None:
        kind, size = fault if isinstance(fault, tuple) else (fault, len(content))
        part = content[:size]
        asked.status, asked.sent = status, len(part)
        self.send_response(status)
        # a short answer is whole by its own account
        headers |= {"Content-Length": str(len(part if kind == "short" else content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if kind == "crawl":
            for byte in range(len(part)):
                self.wfile.write(part[byte : byte + 1])
                time.sleep(0.05)
            return
        self.wfile.write(part)
        if kind in ("cut", "stall"):
            time.sleep(STALL if kind == "stall" else 0)
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """Serve `folder` on a free port of this machine."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
