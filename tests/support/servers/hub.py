"""A model hub on this machine: resolves files as the Hugging Face hub does, with a store elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")
REPOSITORY = "glaciers/lakes"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub has, and what was asked of it.

    Large files are answered with a redirect to a store of another origin, as on the real hub.
    """

    #: by path in the repository
    files: dict[str, bytes]
    repository: str = REPOSITORY
    #: a reply is cut after this many bytes, this many times
    cut_after: int = 0
    cuts: int = 0
    closed: bool = False
    endpoint: str = ""
    store: str = ""
    #: method, path and range, in order
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        """HEAD and GET of /{repository}/resolve/{revision}/{file}."""
        self._note(request)
        found = request.match_info
        if self.closed:
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo"})
        if f"{found['owner']}/{found['name']}" != self.repository:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if found["revision"] not in ("main", COMMIT):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        content = self.files.get(found["file"])
        if content is None:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            return web.Response(status=404, headers=headers)
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.store}/{digest}",
        }
        return web.Response(status=302, headers=headers)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET of a file in the store, the whole or the rest of it."""
        self._note(request)
        content = next(c for c in self.files.values() if hashlib.sha256(c).hexdigest() == request.path[1:])
        wanted = request.http_range
        part = content[wanted]
        response = web.StreamResponse(status=206 if wanted.start else 200)
        response.content_length = len(part)
        if wanted.start:
            response.headers["Content-Range"] = f"bytes {wanted.start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        if self.cuts > 0:
            self.cuts -= 1
            await response.write(part[: self.cut_after])
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(part)
        return response

    def _note(self, request: web.Request) -> None:
        self.asked.append((request.method, request.path, request.headers.get("Range", "")))


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a port of this machine and its store on another, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start(handler: str, path: str) -> tuple[web.AppRunner, str]:
        app = web.Application()
        app.router.add_get(path, getattr(hub, handler))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, "http://{}:{}".format(*runner.addresses[0][:2])

    def wait(work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    front, hub.endpoint = wait(start("resolve", "/{owner}/{name}/resolve/{revision}/{file:.+}"))
    back, hub.store = wait(start("serve", "/{digest}"))
    try:
        yield hub
    finally:
        wait(front.cleanup())
        wait(back.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
