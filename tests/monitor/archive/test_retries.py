"""Retries: how often and how long, by the status of the response."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.archive import retries
from monitor.archive.profiles import read_profile
from monitor.archive.retries import TRIES, TRIES_ABSENT, GivenUp, HttpError, fetch, tried
from monitor.errors import AssetError
from tests.support.httpserver import Answer, HttpServer, Request, serving

PROFILE = read_profile("plain", Path())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """Answers /404 with this status, and so on; the first request for /later is to come again in a second."""

    def answer(request: Request) -> Answer:
        if request.path == "/later":
            first = len(server.requests) == 1
            return Answer(503, headers={"Retry-After": "1"}) if first else Answer(200, b"here")
        return Answer(int(request.path[1:4]), fault="reset" if "reset" in request.path else None)

    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HttpServer(answer)
    with serving(server):
        yield server


@pytest.mark.parametrize(
    ("path", "tries", "cause"),
    [
        ("404", TRIES_ABSENT, "HTTP 404 Not Found"),
        ("403", TRIES, "HTTP 403 Forbidden"),
        ("500", TRIES, "HTTP 500 Internal Server Error"),
        ("404-reset", TRIES, "404-reset|reset by peer|aborted"),
    ],
)
def test_the_status_decides_the_number_of_tries(
    path: str, tries: int, cause: str, server: HttpServer
) -> None:
    """The status of the response, not a number in its address or in a message."""
    with pytest.raises(AssetError, match=cause) as caught:
        tried("one", ("noise", f"{server.url}/{path}?sig=secret"), PROFILE, fetch)
    assert len(server.requests) == tries
    assert caught.value.href == f"{server.url}/{path}" and "secret" not in str(caught.value)


def test_retry_after_is_waited(server: HttpServer) -> None:
    start = time.monotonic()
    assert tried("one", ("noise", f"{server.url}/later"), PROFILE, fetch) == b"here"
    assert time.monotonic() - start >= 1 and len(server.requests) == 2


def test_a_response_is_an_error_with_its_status(server: HttpServer) -> None:
    with pytest.raises(HttpError, match="HTTP 503 Service Unavailable") as caught:
        fetch(f"{server.url}/later")
    assert (caught.value.status, caught.value.later) == (503, 1.0)


@pytest.mark.parametrize("error", [GivenUp("6 tries"), ValueError("no vectors"), SyntaxError("no XML")])
def test_what_no_retry_can_change_is_not_tried_again(error: Exception) -> None:
    calls = []

    def job(address: str) -> None:
        calls.append(address)
        raise error

    with pytest.raises(AssetError, match=str(error)):
        tried("one", ("noise", "https://x.test/noise.xml"), PROFILE, job)
    assert calls == ["https://x.test/noise.xml"]


def test_a_local_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "noise.xml").write_bytes(b"<noise/>")
    assert tried("one", ("noise", str(tmp_path / "noise.xml")), PROFILE, fetch) == b"<noise/>"
    start = time.monotonic()
    with pytest.raises(AssetError, match="No such file"):
        tried("one", ("noise", str(tmp_path / "gone.xml")), PROFILE, fetch)
    assert time.monotonic() - start < retries.FIRST_PAUSE / 2, "no pause"
