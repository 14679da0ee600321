"""The embedded server: as root and as a plain user, shared by processes, killed, and refused."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from storage import embedded_system
from storage.embedded import LONGEST_SOCKET, EmbeddedPostgis
from storage.errors import StorageError

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0

USE_AND_WAIT = """
import sys, time
from storage.embedded import EmbeddedPostgis
with EmbeddedPostgis(sys.argv[1], durable=False) as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(module_workspace: Path) -> Path:
    """One cluster for this module, because its creation takes seconds. Each test leaves it stopped."""
    server = EmbeddedPostgis(module_workspace / "postgis", durable=False)
    if server.folder.exists():
        server.wait_stopped()
    return server.folder


def fetch_value(url: str, query: str) -> str:
    engine = create_engine(url)
    with engine.begin() as conn:
        answer = str(conn.execute(text(query)).scalar_one())
    engine.dispose()
    return answer


def another_user(folder: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", USE_AND_WAIT, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql+psycopg://")
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def server_pid(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, "the server outlived its users"
        time.sleep(0.02)


def test_a_postgis_is_created_and_keeps_its_data(folder: Path) -> None:
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT postgis_version()").startswith("3.")
        engine = create_engine(url)
        with engine.begin() as conn:
            conn.execute(text("CREATE TABLE kept AS SELECT 7 AS seven"))
        engine.dispose()
        pid = server_pid(folder)
    wait_gone(pid)
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT seven FROM kept") == "7"


def test_no_network_access_and_no_other_users(folder: Path) -> None:
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SHOW listen_addresses") == ""
        assert folder.stat().st_mode & 0o077 == 0


def test_the_server_outlives_the_first_process_while_a_second_uses_it(folder: Path) -> None:
    first = another_user(folder)
    pid = server_pid(folder)
    with EmbeddedPostgis(folder, durable=False) as url:
        assert server_pid(folder) == pid
        kill(first)
        time.sleep(0.5)
        assert fetch_value(url, "SELECT 1") == "1"
        assert server_pid(folder) == pid
    wait_gone(pid)


def test_kill_9_of_the_only_user_ends_the_server_and_the_next_start_works(folder: Path) -> None:
    user = another_user(folder)
    pid = server_pid(folder)
    kill(user)
    wait_gone(pid)
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT 1") == "1"


def test_a_start_right_after_kill_9_works_with_and_without_a_running_server(folder: Path) -> None:
    for pause in (0.0, 0.05, 0.1, 0.15, 0.2):
        kill(another_user(folder))
        time.sleep(pause)
        with EmbeddedPostgis(folder, durable=False) as url:
            assert fetch_value(url, "SELECT 1") == "1"


def test_kill_9_of_keeper_and_server_leaves_a_stale_pid_file_that_does_not_block(folder: Path) -> None:
    user = another_user(folder)
    pid = server_pid(folder)
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(keeper, signal.SIGSTOP)  # prevents its cleanup
    os.kill(pid, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    kill(user)
    assert (folder / "data" / "postmaster.pid").exists()
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT 1") == "1"


def test_kill_9_of_the_keeper_ends_the_server(folder: Path) -> None:
    with EmbeddedPostgis(folder, durable=False):
        pid = server_pid(folder)
        keeper = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(keeper, signal.SIGKILL)
        wait_gone(pid)
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT 1") == "1"


def test_a_killed_initdb_is_repeated(workspace: Path) -> None:
    half = workspace / "postgis" / "data.partial"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")
    with EmbeddedPostgis(workspace / "postgis", durable=False) as url:
        assert fetch_value(url, "SELECT 1") == "1"
    assert not half.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_link(workspace: Path) -> None:
    deep = workspace / ("x" * 120) / "postgis"
    with EmbeddedPostgis(deep, durable=False) as url:
        assert fetch_value(url, "SELECT 1") == "1"
    server = EmbeddedPostgis(deep)
    assert len(os.fsencode(server.socket_folder)) < LONGEST_SOCKET
    server.wait_stopped()
    shutil.rmtree(server.socket_folder)


def test_works_as_a_plain_user(workspace: Path) -> None:
    """As root: run by the system's Python, because a plain user may have no access to this one."""
    python = "/usr/bin/python3" if AS_ROOT else sys.executable
    nobody = pwd.getpwnam("nobody") if AS_ROOT else None
    if AS_ROOT and subprocess.run([python, "-c", "import enum; enum.StrEnum"], check=False).returncode:
        pytest.skip("no /usr/bin/python3 of 3.11 or later for a plain user to run")
    home = workspace / "home"
    workspace.chmod(0o755)
    shutil.copytree(ROOT / "storage", home / "code" / "storage")
    if nobody:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import os, sys; assert os.geteuid() != 0\n"
        "from storage.embedded import EmbeddedPostgis\n"
        "with EmbeddedPostgis(sys.argv[1], durable=False) as url:\n"
        "    with EmbeddedPostgis(sys.argv[1]) as again: assert again == url\n"
        "    print(os.stat(sys.argv[1] + '/data').st_uid == os.geteuid())\n"
    )
    done = subprocess.run(
        [python, "-c", script, str(home / "postgis")],
        user=nobody and nobody.pw_uid,
        group=nobody and nobody.pw_gid,
        extra_groups=[] if nobody else None,
        env={"PYTHONPATH": str(home / "code"), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    EmbeddedPostgis(home / "postgis").wait_stopped()


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as another account")
def test_as_root_it_works_below_a_folder_closed_to_the_servers_account(workspace: Path) -> None:
    hidden = workspace / "home"
    hidden.mkdir(mode=0o700)
    folder = hidden / "postgis"
    with EmbeddedPostgis(folder, durable=False) as url:
        assert fetch_value(url, "SELECT postgis_version()").startswith("3.")
        assert fetch_value(url, "SELECT sum(n) FROM generate_series(1, 1000000) AS n") == "500000500000"
        pid = server_pid(folder)
        assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("postgres").pw_uid
    wait_gone(pid)
    assert hidden.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def copy_of(folder: Path, tmp_path: Path) -> Path:
    """A copy as `cp -r` makes it: of another owner where root copies, readable by everybody."""
    with EmbeddedPostgis(folder, durable=False):
        pass
    EmbeddedPostgis(folder).wait_stopped()
    target = tmp_path / "copy"
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("socket"))
    for path in (target, *target.rglob("*")):
        path.chmod(0o755)
    return target


def test_a_copied_folder_gets_the_owner_and_mode_that_the_server_needs(copy_of: Path) -> None:
    server = EmbeddedPostgis(copy_of, durable=False)
    with server as url:
        assert fetch_value(url, "SELECT postgis_version()").startswith("3.")
        assert (copy_of / "data").stat().st_mode & 0o077 == 0
    server.wait_stopped()


def test_a_copy_without_its_empty_folders_is_refused(copy_of: Path) -> None:
    for name in ("pg_notify", "pg_twophase"):
        (copy_of / "data" / name).rmdir()
    with pytest.raises(StorageError, match=r"lost folders: pg_notify, pg_twophase.*`cp -a` or `tar`"):
        EmbeddedPostgis(copy_of).__enter__()


def test_a_copy_of_a_running_server_is_refused(folder: Path, copy_of: Path) -> None:
    with EmbeddedPostgis(folder, durable=False):
        shutil.copy(folder / "data" / "postmaster.pid", copy_of / "data")
        with pytest.raises(StorageError, match=r"postmaster\.pid names the running server of another folder"):
            EmbeddedPostgis(copy_of).__enter__()


@pytest.mark.skipif(not AS_ROOT, reason="needs root to give files to another user")
def test_a_copy_with_files_of_another_user_is_refused(copy_of: Path) -> None:
    os.chown(copy_of / "data" / "PG_VERSION", 12345, 12345)
    with pytest.raises(StorageError, match=r"PG_VERSION belongs to another user.*`chown -R postgres "):
        EmbeddedPostgis(copy_of).__enter__()


def test_a_folder_with_other_content_is_never_used(workspace: Path) -> None:
    (workspace / "thesis.tex").write_text("precious")
    with pytest.raises(StorageError, match=r"not the embedded database's own folder.*thesis\.tex"):
        EmbeddedPostgis(workspace).__enter__()
    assert (workspace / "thesis.tex").stat().st_uid == os.geteuid()


def test_no_postgis_installed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_system, "INSTALLED", (str(workspace / "nothing" / "*" / "bin"),))
    with pytest.raises(StorageError, match=r"No PostgreSQL with PostGIS .*apt-get install .*postgis"):
        EmbeddedPostgis(workspace / "postgis").__enter__()
    assert not (workspace / "postgis").exists()


def test_a_cluster_of_another_version_is_refused(workspace: Path) -> None:
    data = workspace / "postgis" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(StorageError, match="made by PostgreSQL 9, which is not installed"):
        EmbeddedPostgis(workspace / "postgis").__enter__()
