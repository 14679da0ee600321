"""Serve a folder over HTTP with byte ranges, as blob storage does, and record the reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from .tokens import REFUSAL, SIGNED_HOSTS, SasTokens


@dataclass(frozen=True)
class Read:
    """One request that reached the files."""

    method: str
    #: /{container}/{path below the folder}
    path: str
    #: the Range header, None for the whole file
    range: str | None
    status: int
    #: bytes of the body that were sent
    size: int


class Files:
    """ASGI application: GET and HEAD of /{container}/{path below `folder`}.

    Hosts *.blob.core.windows.net require a signature of `tokens` for their account and container; other hosts
    require none. Every response is added to `reads`.
    """

    def __init__(self, folder: Path, container: str, tokens: SasTokens) -> None:
        self.reads: list[Read] = []
        self._tokens = tokens
        self._app = Starlette(routes=[Mount(f"/{container}", StaticFiles(directory=folder))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        status = size = 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Record the read before the last bytes are sent, so that it is in `reads` when the client has
                # its response.
                range_ = request.headers.get("range")
                self.reads.append(Read(request.method, request.url.path, range_, status, size))
            await send(message)

        app = self._app if self._allows(request) else Response(REFUSAL, 403, media_type="application/xml")
        await app(scope, receive, counted)

    def _allows(self, request: Request) -> bool:
        host = request.url.hostname or ""
        if not host.endswith(SIGNED_HOSTS):
            return True
        container = request.url.path.split("/")[1]
        return self._tokens.valid(host.removesuffix(SIGNED_HOSTS), container, request.query_params)
