"""Ctrl-C ends a command at once, also while a server does not answer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import dask
import pytest

from monitor.compute.cluster import Workers
from monitor.settings import ClusterSettings
from tests.support.httpserver import Answer, HttpServer, Request, serving
from tests.support.workspaces import COMMAND, make_workspace

pytestmark = pytest.mark.slow

#: seconds in which a command ends
SOON = 5.0
RELEASED = threading.Event()


def _wait() -> None:
    """A tile that takes long."""
    RELEASED.wait(60)


def test_a_server_that_does_not_answer_is_not_waited_for(small_archive: Path, tmp_path: Path) -> None:
    archive = shutil.copytree(small_archive, tmp_path / "archive")
    asked, ended = threading.Event(), threading.Event()

    def silent(request: Request) -> Answer:
        asked.set()
        ended.wait(60)
        return Answer(503)

    with serving(HttpServer(silent)) as server:
        for path in archive.rglob("*.json"):
            content = json.loads(path.read_text())
            for key, asset in content.get("assets", {}).items():
                if key == "SCL":
                    asset["href"] = f"{server.url}/SCL.tif"
            path.write_text(json.dumps(content))
        catalog = {"profile": "planetary-computer", "location": str(archive), "hosts": [server.url]}
        folder = make_workspace(tmp_path / "workspace", archive, catalog=catalog)
        command = [*COMMAND, "scenes", "--season", "2022", "-w", str(folder)]
        process = subprocess.Popen(
            command, env={**os.environ, "no_proxy": "127.0.0.1"}, stderr=subprocess.PIPE, text=True
        )
        try:
            assert asked.wait(60)
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
            assert time.monotonic() - started < SOON
            assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said
        finally:
            ended.set()
            process.kill()


def test_workers_do_not_wait_for_their_tiles() -> None:
    workers = Workers(ClusterSettings())
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), workers:
        workers._client = workers._connect()
        workers._client.submit(_wait)
        time.sleep(0.2)
        started = time.monotonic()
        raise KeyboardInterrupt
    took = time.monotonic() - started
    RELEASED.set()
    assert took < SOON
    assert workers._abandoned is not None
    workers._abandoned.close()
    dask.config.config.pop("scheduler", None)  # a client that was left does not take its setting back
