"""Recorded answers of the real catalogues (VCR cassettes), served again over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.httpserver import Answer, Asked, HttpServer, serving
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

    def answer(asked: Asked) -> Answer:
        question = ask(asked.method, asked.target, json.loads(asked.body) if asked.body else None)
        state.asked.append(question)
        fault = state.faults.pop(0) if state.faults else None
        if state.always is not None:
            return Answer(state.always, b"at rest")
        if isinstance(fault, tuple):
            return Answer(fault[0], b"not now", fault[1])
        status, text = 404, '{"code": "NotFound"}'
        exchange = answers.get(question)
        if exchange is not None:
            status, text = exchange.status, exchange.answer.replace(root, state.url)
        elif asked.method == "POST":
            status, text = 200, '{"type": "FeatureCollection", "features": []}'
        broken = ("cut", len(text.encode()) // 2) if fault == "cut" else fault
        return Answer(status, text.encode(), {"Content-Type": "application/geo+json"}, broken)

    with serving(HttpServer(answer)) as server:
        state.url = f"{server.url}{urlsplit(root).path}"
        yield state
