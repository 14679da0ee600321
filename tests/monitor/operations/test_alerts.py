"""Alerts: each condition is sent once to a real server, and ends when its cause has ended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.operations import schedule
from monitor.operations.alerts import beat, conditions, notify
from monitor.progress import SILENT
from monitor.workspace import System, Workspace, open_database, open_system
from storage import alerts
from storage.errors import StorageError
from tests.support.httpserver import Answer, HttpServer, Request, serving
from tests.support.workspaces import make_workspace, monitor, run_here

pytestmark = pytest.mark.slow

NOW = datetime(2022, 8, 20, 12, tzinfo=UTC)
WINTER = datetime(2022, 12, 30, 12, tzinfo=UTC)
SECRET = "a-token-that-is-secret"


class Inbox:
    """A server that receives messages and heartbeats; `down` while it refuses them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.down = False

    def answer(self, request: Request) -> Answer:
        if not self.down:
            self.requests.append(request)
        return Answer(503 if self.down else 200)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self.requests if each.method == "POST"]

    @property
    def beats(self) -> list[str]:
        return [each.path for each in self.requests if each.method == "GET"]


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, str]]:
    received = Inbox()
    with serving(HttpServer(received.answer)) as server:
        yield received, server.url


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def archive(small_archive: Path, workspace: Path) -> Path:
    return Path(shutil.copytree(small_archive, workspace / "archive"))


def alerting(folder: Path, archive: Path, url: str, **changes: Any) -> Path:
    to = f"{url.replace('http://', 'json://')}/{SECRET}"
    settings = {"to": [to], "heartbeat": f"{url}/beat", "disk_gb": 0, **changes}
    return make_workspace(folder, archive, model="index-baseline", alerts=settings)


def set_alerts(folder: Path, **changes: Any) -> None:
    path = folder / "monitor.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["alerts"] |= changes
    path.write_text(yaml.safe_dump(settings))


def kinds(folder: Path, now: datetime = NOW) -> set[str]:
    with open_system(Workspace.open(folder)) as system, system.database.connect() as conn:
        return {condition.kind for condition in conditions(conn, system, now)}


def truncate(archive: Path, pattern: str, year: int) -> dict[Path, bytes]:
    """Cut the files of an archive; return what they held."""
    whole = {path: path.read_bytes() for path in archive.rglob(pattern) if str(year) in str(path)}
    assert whole
    for path, content in whole.items():
        path.write_bytes(content[: len(content) * 6 // 10])
    return whole


def test_a_failed_night_is_sent_once_and_ends_when_it_is_mended(
    workspace: Path, archive: Path, inbox: tuple[Inbox, str]
) -> None:
    received, url = inbox
    folder = alerting(workspace / "own", archive, url)
    whole = truncate(archive, "*vv*.tif", 2022)
    opened = Workspace.open(folder)
    with open_database(opened) as database:

        def night(day: int) -> None:
            at = datetime(2022, 8, day, 12, tzinfo=UTC)
            assert schedule.run_due(System(Workspace.open(folder), database), lambda _: SILENT, at, at)

        night(20)
        (sent,) = received.messages
        assert received.beats == ["/beat/start", "/beat/fail"]
        assert sent["title"] == "Lake monitor, own: run failed, season incomplete"
        assert "demo 2022: 1 of 1 tiles failed: " in sent["message"]
        assert "`monitor run --region demo --season 2022` tries them again" in sent["message"]
        night(21)
        assert [each["title"] for each in received.messages[1:]] == ["Lake monitor, own: run failed"]
        for path, content in whole.items():
            path.write_bytes(content)
        night(22)
        assert len(received.messages) == 2 and received.beats[-2:] == ["/beat/start", "/beat"]
        with database.connect() as conn:
            assert alerts.alerts(conn) == []
            ended = alerts.alerts(conn, ended=True)
        assert sorted(row.kind for row in ended) == ["run failed", "run failed", "season incomplete"]
        assert all(row.sent_at and row.ended_at for row in ended)
        truncate(archive, "*vv*.tif", 2022)
        with database.connect() as conn:
            stored = conn.exec_driver_sql("SELECT settings::text FROM run").scalars().all()
    assert stored and not any(SECRET in text or "/beat" in text for text in stored)


def test_a_message_that_was_not_received_is_sent_later(
    workspace: Path, archive: Path, inbox: tuple[Inbox, str], caplog: pytest.LogCaptureFixture
) -> None:
    received, url = inbox
    folder = alerting(workspace / "own", archive, url, disk_gb=1e9)
    received.down = True
    with open_system(Workspace.open(folder)) as system:
        assert notify(system, WINTER) == []
        beat(system.workspace.settings.alerts.heartbeat)
        assert "1 alerts could not be sent" in caplog.text and "heartbeat was not received" in caplog.text
        received.down = False
        (sent,) = notify(system, WINTER)
        assert sent.kind == "disk nearly full" and notify(system, WINTER) == []
    assert SECRET not in caplog.text and url not in caplog.text
    (message,) = received.messages
    assert "less than 1e+09 GB" in message["message"]


def test_an_acknowledged_alert_is_not_sent(workspace: Path, archive: Path, inbox: tuple[Inbox, str]) -> None:
    received, url = inbox
    folder = alerting(workspace / "own", archive, url, disk_gb=1e9)
    dry = monitor("alerts", "send", "--dry-run", "-w", folder)
    assert dry.returncode == 0 and "disk nearly full: " in dry.stdout and SECRET not in dry.stdout
    assert received.messages == []
    assert json.loads(monitor("alerts", "list", "--json", "-w", folder).stdout) == [], "nothing was written"
    with open_system(Workspace.open(folder)) as system, system.database.begin() as conn:
        found = conditions(conn, system, WINTER)
        alerts.bring_up_to_date(conn, ["demo"], found)
        (row,) = alerts.alerts(conn)
    done = monitor("alerts", "ack", row.short_id, "--by", "Aizhan", "-w", folder)
    assert done.returncode == 0, done.stderr
    assert monitor("alerts", "send", "-w", folder).stdout.startswith("0 alerts sent")
    listed = monitor("alerts", "list", "-w", folder).stdout
    assert "acknowledged by Aizhan" in " ".join(listed.split())
    again = monitor("alerts", "ack", row.short_id, "--by", "Bek", "-w", folder)
    assert again.returncode == 1 and "was acknowledged by Aizhan already" in again.stderr
    assert received.messages == []
    set_alerts(folder, disk_gb=0)
    assert monitor("alerts", "send", "-w", folder).returncode == 0
    assert "There is no alert" in monitor("alerts", "list", "-w", folder).stdout


def test_conditions_of_seasons(workspace: Path, archive: Path) -> None:
    """Lakes that drained, an archive that stands still, and a queue, in a workspace of two seasons."""
    folder = alerting(workspace / "own", archive, "http://127.0.0.1:9", queue=0)
    run_here(folder, 2021, 2022)
    found = kinds(folder)
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        drained = conn.exec_driver_sql(
            "SELECT count(*) FROM lake_drainage WHERE season_to = 2022 AND NOT suspect AND NOT split"
        ).scalar_one()
        flags = conn.exec_driver_sql(
            "SELECT count(*) FROM review_queue WHERE verdict IS NULL AND NOT explained"
        ).scalar_one()
    assert ("drainage candidate" in found) == (drained > 0)
    assert ("long review queue" in found) == (flags > 0)
    assert found <= {"drainage candidate", "long review queue", "suspect season"}
    late = datetime(2022, 10, 30, 12, tzinfo=UTC)
    assert "nothing new" in kinds(folder, late)
    assert "nothing new" not in kinds(folder, WINTER)
    set_alerts(folder, quiet_days=300, queue=10_000)
    assert not kinds(folder, late) & {"nothing new", "long review queue"}


def test_addresses_of_the_environment(
    workspace: Path, archive: Path, inbox: tuple[Inbox, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    received, url = inbox
    folder = alerting(workspace / "own", archive, url, to=["env:LAKE_ALERTS"], disk_gb=1e9)
    missing = monitor("alerts", "send", "-w", folder)
    assert missing.returncode == 2 and "environment variable LAKE_ALERTS is not set" in missing.stderr
    monkeypatch.setenv("LAKE_ALERTS", f"nothing://{SECRET}")
    unknown = monitor("alerts", "send", "-w", folder)
    assert unknown.returncode == 2 and "address 1 is of no kind that apprise supports" in unknown.stderr
    assert SECRET not in unknown.stderr + unknown.stdout
    monkeypatch.setenv("LAKE_ALERTS", f"{url.replace('http://', 'json://')}/{SECRET}")
    assert monitor("alerts", "send", "-w", folder).stdout.startswith("1 alerts sent")
    assert len(received.messages) == 1


def test_an_alert_that_is_not_known(workspace: Path, archive: Path) -> None:
    folder = alerting(workspace / "own", archive, "http://127.0.0.1:9")
    with open_database(Workspace.open(folder)) as database, database.begin() as conn:
        for start in ("", "zz", "0"):
            with pytest.raises(StorageError, match="No standing alert begins with"):
                alerts.acknowledge(conn, start, "me")
