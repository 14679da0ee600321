"""Recorded responses of the real catalogues (VCR cassettes), served again over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.httpserver import Answer, HttpServer, Request, serving
from tests.support.samples import sample

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: method, path with query, and JSON body of a request
RequestKey = tuple[str, str, str]


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its response."""

    source: str
    method: str
    url: str
    body: Any
    status: int
    answer: str

    @property
    def key(self) -> RequestKey:
        return request_key(self.method, self.url, self.body)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def features(self) -> list[dict[str, Any]]:
        """The STAC items of the response."""
        content = json.loads(self.answer)
        found = content.get("features", [content] if content.get("type") == "Feature" else [])
        return list(found)


def request_key(method: str, url: str, body: Any) -> RequestKey:
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
    """A local catalogue that replays recorded responses.

    Attributes:
        url: the local address, which replaces the recorded one.
        faults: faults of the next requests, one entry per request: a status with its headers, "cut" for a
            response that ends early, "reset" for a connection closed without a response.
        always: status returned for every request, None for recorded responses.
        requests: all requests received, in order.
    """

    url: str = ""
    faults: list[tuple[int, dict[str, str]] | str] = field(default_factory=list)
    always: int | None = None
    requests: list[RequestKey] = field(default_factory=list)


@contextmanager
def replay(recorded: list[Exchange], root: str) -> Iterator[Replay]:
    """Serve the recorded responses of the API at `root`. Other searches return an empty page."""
    answers = {exchange.key: exchange for exchange in recorded if exchange.url.startswith(root)}
    state = Replay()

    def answer(request: Request) -> Answer:
        key = request_key(request.method, request.target, json.loads(request.body) if request.body else None)
        state.requests.append(key)
        fault = state.faults.pop(0) if state.faults else None
        if state.always is not None:
            return Answer(state.always, b"at rest")
        if isinstance(fault, tuple):
            return Answer(fault[0], b"not now", fault[1])
        status, text = 404, '{"code": "NotFound"}'
        exchange = answers.get(key)
        if exchange is not None:
            status, text = exchange.status, exchange.answer.replace(root, state.url)
        elif request.method == "POST":
            status, text = 200, '{"type": "FeatureCollection", "features": []}'
        broken = ("cut", len(text.encode()) // 2) if fault == "cut" else fault
        return Answer(status, text.encode(), {"Content-Type": "application/geo+json"}, broken)

    with serving(HttpServer(answer)) as server:
        state.url = f"{server.url}{urlsplit(root).path}"
        yield state
