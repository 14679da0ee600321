"""`monitor db`: the way in to the workspace's own database, and to another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from tests.support.places import ROOT
from tests.support.workspaces import COMMAND, make_workspace, monitor


@pytest.fixture
def place(workspace: Path) -> Path:
    return make_workspace(workspace, workspace / "archive")


def test_the_shell_of_the_own_database(place: Path) -> None:
    answer = monitor("db", "shell", "-w", place, "--", "-Atc", "SELECT count(*) FROM lake", timeout=60)
    assert (answer.returncode, answer.stdout) == (0, "0\n"), answer.stderr
    piped = monitor("-w", place, "db", "shell", input="SELECT postgis_lib_version() IS NOT NULL AS there;")
    assert "there" in piped.stdout
    wrong = monitor(
        "db", "shell", "-w", place, "--", "-v", "ON_ERROR_STOP=1", "-c", "SELECT nothing", timeout=60
    )
    assert wrong.returncode == 1
    assert 'column "nothing" does not exist' in wrong.stderr


def test_the_url_leads_to_the_own_database_while_it_is_kept_open(place: Path) -> None:
    command = [*COMMAND, "db", "url", "--keep-open", "-w", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as kept:
        assert kept.stdout is not None
        url = kept.stdout.readline().strip()
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT count(*) FROM lake").fetchone() == (0,)
        kept.send_signal(signal.SIGINT)
        assert kept.wait(timeout=30) == 0
    deadline = time.monotonic() + 30
    while (place / "postgis/data/postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    alone = monitor("db", "url", "-w", place)
    assert alone.stdout == f"{url}\n"
    assert "--keep-open" in alone.stderr


def test_another_database_is_reached_with_its_password(place: Path, postgis_url: str) -> None:
    admin = create_engine(make_url(postgis_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text("CREATE DATABASE other"))
    secret = make_url(postgis_url).set(database="other", password="p@ss word")
    make_workspace(place, place / "archive", database={"url": secret.render_as_string(hide_password=False)})
    assert monitor("db", "upgrade", "-w", place).returncode == 0
    told = json.loads(monitor("db", "url", "-w", place, "--json").stdout)
    assert told["own"] is False
    assert make_url(told["url"]) == secret.set(drivername="postgresql")
    script = r"\! tr '\0' ' ' < /proc/$PPID/cmdline; echo; printenv PGPASSWORD"
    asked = monitor("db", "shell", "-w", place, input=script)
    assert "p@ss word" in asked.stdout
    command_line = next(line for line in asked.stdout.splitlines() if "psql" in line)
    assert "p@ss" not in command_line and "p%40ss" not in command_line
    with admin.connect() as conn:
        conn.execute(text("DROP DATABASE other WITH (FORCE)"))
    admin.dispose()


def test_without_psql_the_url_is_told(place: Path, tmp_path: Path) -> None:
    script = (
        "import storage.embedded_system as e; e.client_program = lambda name: None; "
        "from monitor.cli.main import main; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, "db", "shell", "-w", str(place)],
        check=False, capture_output=True, text=True, cwd=ROOT, env={**os.environ},
    )  # fmt: skip
    assert answer.returncode == 2
    assert "psql was not found" in answer.stderr
    assert "`monitor db url --keep-open`" in answer.stderr
