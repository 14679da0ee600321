"""Recorded answers of the real catalogues (VCR cassettes), served again over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.samples import sample

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: path and query of a request, and its body where it is a POST
Question = tuple[str, str, str]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    source: str
    method: str
    url: str
    body: Any
    status: int
    answer: str

    @property
    def question(self) -> Question:
        return ask(self.method, self.url, self.body)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def features(self) -> list[dict[str, Any]]:
        """The STAC items of the answer."""
        content = json.loads(self.answer)
        found = content.get("features", [content] if content.get("type") == "Feature" else [])
        return list(found)


def ask(method: str, url: str, body: Any) -> Question:
    parts = urlsplit(url)
    return method, f"{parts.path.rstrip('/')}?{parts.query}", json.dumps(body, sort_keys=True)


def exchanges() -> list[Exchange]:
    """Every recorded exchange."""
    folder = sample("stac/cassettes")
    return [exchange for path in sorted(folder.glob("*.yaml")) for exchange in _of(path)]


def _of(path: Path) -> Iterator[Exchange]:
    for entry in yaml.load(path.read_text(), Loader=LOADER)["interactions"]:
        request, response = entry["request"], entry["response"]
        body = json.loads(request["body"]) if request["body"] else None
        text = response["body"]["string"]
        yield Exchange(path.name, request["method"], request["uri"], body, response["status"]["code"], text)


@dataclass
class Replay:
    """A catalogue that answers what was recorded of it.

    Attributes:
        url: its address, in place of the recorded one.
        faults: how the next requests fail, one entry each: a status with its headers, or "cut" for an answer
            that breaks off, "reset" for a connection that is closed without one.
        asked: every request that came in.
    """

    url: str = ""
    faults: list[tuple[int, dict[str, str]] | str] = field(default_factory=list)
    always: int | None = None
    asked: list[Question] = field(default_factory=list)


@contextmanager
def replay(recorded: list[Exchange], root: str) -> Iterator[Replay]:
    """Serve what was recorded of the API at `root`; a page that was not recorded is empty."""
    answers = {exchange.question: exchange for exchange in recorded if exchange.url.startswith(root)}
    state = Replay()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", None)

        def do_POST(self) -> None:
            self._answer("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, method: str, body: Any) -> None:
            question = ask(method, self.path, body)
            state.asked.append(question)
            status, headers, text = 404, {}, '{"code": "NotFound"}'
            fault = state.faults.pop(0) if state.faults else None
            exchange = answers.get(question)
            if state.always is not None:
                status, text = state.always, "at rest"
            elif isinstance(fault, tuple):
                (status, headers), text = fault, "not now"
            elif exchange is not None:
                status, text = exchange.status, exchange.answer.replace(root, state.url)
            elif method == "POST":
                status, text = 200, '{"type": "FeatureCollection", "features": []}'
            content = text.encode()
            if fault == "reset":
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Type": "application/geo+json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if fault == "cut":
                content, self.close_connection = content[: len(content) // 2], True
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}{urlsplit(root).path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
