"""A local model hub: it resolves files as the Hugging Face hub does, with a separate store."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support import httpserver
from tests.support.httpserver import Answer, HttpServer, Request

REPOSITORY = "glaciers/lakes"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The files of the hub, and the requests it received.

    Large files are answered with a redirect to a store of another origin, as on the real hub.
    """

    #: content by path in the repository
    files: dict[str, bytes]
    repository: str = REPOSITORY
    #: number of bytes after which a response is cut, and number of responses to cut
    cut_after: int = 0
    cuts: int = 0
    closed: bool = False
    endpoint: str = ""
    store: str = ""
    #: method, path and Range header of each request, in order
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def resolve(self, request: Request) -> Answer:
        """HEAD and GET of /{repository}/resolve/{revision}/{file}."""
        self._note(request)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", request.path)
        if self.closed:
            return Answer(401, headers={"X-Error-Code": "GatedRepo"})
        if found is None or found[1] != self.repository:
            return Answer(404, headers={"X-Error-Code": "RepoNotFound"})
        if found[2] not in ("main", COMMIT):
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        content = self.files.get(found[3])
        if content is None:
            return Answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.store}/{digest}",
        }
        return Answer(302, headers=headers)

    def serve(self, request: Request) -> Answer:
        """GET of a file in the store, from the start or from an offset."""
        self._note(request)
        content = next(c for c in self.files.values() if hashlib.sha256(c).hexdigest() == request.path[1:])
        start = int((re.match(r"bytes=(\d+)-", request.headers.get("range", "")) or [0, 0])[1])
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        fault = ("cut", self.cut_after) if self.cuts > 0 else None
        self.cuts -= fault is not None
        return Answer(206 if start else 200, content[start:], headers, fault)

    def _note(self, request: Request) -> None:
        self.requests.append((request.method, request.target, request.headers.get("range", "")))


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the hub and its store on two local ports."""
    with (
        httpserver.serving(HttpServer(hub.resolve)) as front,
        httpserver.serving(HttpServer(hub.serve)) as back,
    ):
        hub.endpoint, hub.store = front.url, back.url
        yield hub
