"""HTML pages of the API. They bring their own script and style, and load nothing from other hosts.

Names, notes and attributes are written by other people. The templates escape them, the script sets them as
text, and the policy of the pages (Content-Security-Policy) forbids scripts in a page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.drawing.palette import VERDICTS

_FOLDER = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def templates() -> Jinja2Templates:
    """Templates of all pages; one that has no file of its own is shown as `record.html`."""
    files = jinja2.FileSystemLoader(_FOLDER / "templates")
    record = (_FOLDER / "templates" / "record.html").read_text("utf-8")
    loader = jinja2.ChoiceLoader([files, jinja2.FunctionLoader(lambda _: record)])
    environment = jinja2.Environment(autoescape=True, loader=loader)
    environment.globals["colours"] = {str(verdict): colour for verdict, colour in VERDICTS.items()}
    return Jinja2Templates(env=environment)


def add_pages(app: FastAPI, pages: Jinja2Templates) -> None:
    """Add the script and style of the pages, the documentation of the API, and the policy of responses."""
    app.mount("/pages", StaticFiles(directory=_FOLDER / "static"), name="pages")

    # the name by which tipg links to the documentation
    @app.get("/api.html", include_in_schema=False, name="swagger_ui_html")
    def documentation(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        context: dict[str, Any] = {
            "template": {"api_root": base, "title": app.title},
            "paths": app.openapi()["paths"],
        }
        return pages.TemplateResponse(request, "api.html", context)

    app.add_middleware(Policy)
    app.add_middleware(HeadRequests)


class Policy:
    """Middleware: pages run no script but ours, and browsers take no response for a type that it is not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, with_policy)


class HeadRequests:
    """Middleware: HEAD is answered as GET; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)
