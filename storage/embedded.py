"""A private PostGIS inside a folder: made on first use, started on entry, gone with the last one who uses it.

    with EmbeddedPostgis(workspace / "postgis") as url:
        ...

It listens on a unix socket only, in a folder only its owner can enter. Who uses it and when it stops is ruled
by one lock file, so that several processes can share it and any of them may be killed:

- everyone who uses the server holds a shared lock on `users.lock`; the kernel lets it go however they end;
- the first to come starts a keeper (`embedded_keeper.py`), which runs the server as its child and waits for
  the exclusive lock, that is, for the last user to leave; then it stops the server; - if the keeper itself is
  killed, the kernel interrupts the server (PR_SET_PDEATHSIG), and the next user starts anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

from storage.embedded_system import (
    PORT,
    SERVER_ACCOUNT,
    SOCKET_NAME,
    Installation,
    environment,
    installed,
    last_words,
    outlast_orphan,
    refuse_foreign,
    server_account,
    within_reach,
)
from storage.errors import StorageError, full_disk_is_clear

__all__ = ["EmbeddedPostgis"]

USER = DATABASE = "lake"
LONGEST_SOCKET = 107  # bytes in sockaddr_un
START_SECONDS = 60
_KEEPERS: list[subprocess.Popen[bytes]] = []  # kept, since they may outlive whoever started them


class EmbeddedPostgis:
    """The server of one folder; a context manager that gives its SQLAlchemy URL.

    durable: False switches fsync off, for tests on a RAM disk. Raises StorageError when no PostGIS is
    installed, when the folder cannot be used (as root: not reachable by the account that runs the server), or
    the disk is full.
    """

    def __init__(self, folder: Path | str, *, durable: bool = True) -> None:
        self.folder = Path(folder).absolute()
        self.durable = durable
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._users: IO[str] | None = None

    @property
    def socket_folder(self) -> Path:
        """In the cluster's folder; where that path is too long for a socket, under the system's temp."""
        inside = self.folder / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= LONGEST_SOCKET:
            return inside
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lake-postgis-{name}"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the lake database (valid while the server is in use)."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(self.socket_folder))}&port={PORT}"

    def __enter__(self) -> str:
        with full_disk_is_clear(f"the database in {self.folder}"):
            installation = installed(self.data)
            self._make_folders()
            users = (self.folder / "users.lock").open("a")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper stops the server
                with (self.folder / "start.lock").open("a") as starting:
                    fcntl.flock(starting, fcntl.LOCK_EX)
                    if not self._answers(installation):
                        self._start(installation)
                    self._make_database(installation)
            except BaseException:
                users.close()
                raise
        self._users = users
        return self.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._users is not None:
            self._users.close()
            self._users = None

    def wait_stopped(self) -> None:
        """Wait until everyone has left and the server is down, so that the folder can be moved or removed."""
        with (self.folder / "users.lock").open("a") as users:
            while True:
                fcntl.flock(users, fcntl.LOCK_EX)
                if not (self.data / "postmaster.pid").exists():
                    return
                fcntl.flock(users, fcntl.LOCK_UN)
                time.sleep(0.05)

    def _make_folders(self) -> None:
        """Folders that the server's account owns and nobody else can enter."""
        for folder in (self.folder, self.socket_folder):
            try:
                folder.mkdir(mode=0o700, parents=folder == self.folder, exist_ok=True)
                refuse_foreign(folder)
                if os.geteuid() == 0:
                    account = server_account()
                    os.chown(folder, account.pw_uid, account.pw_gid)
                folder.chmod(0o700)
            except OSError as error:
                raise StorageError(
                    f"The database's folder {folder} cannot be used: {error}. Check its rights, or "
                    "choose another "
                    "workspace."
                ) from error

    def _start(self, installation: Installation) -> None:
        """Make the cluster if there is none, start the keeper and wait until the server answers."""
        if not self.data.exists():
            self._make_cluster(installation)
        outlast_orphan(self.data, START_SECONDS)
        inside_temp = self.socket_folder.parent != self.folder
        with self.log.open("a") as log, within_reach(self.folder) as (folder, handed_on):
            sockets = self.socket_folder if inside_temp else folder / self.socket_folder.name
            server = [str(installation.bin / "postgres"), "-D", str(folder / self.data.name)]
            server += ["-k", str(sockets), "-p", str(PORT)]
            server += [part for setting in self._settings() for part in ("-c", setting)]
            keeper = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(Path(__file__).with_name("embedded_keeper.py"))),
                    *(str(self.folder / "users.lock"), SERVER_ACCOUNT if os.geteuid() == 0 else "", *server),
                ],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=handed_on,
                start_new_session=True,  # Ctrl-C is for the command, which then leaves in good order
            )
        _KEEPERS.append(keeper)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(installation):
            if keeper.poll() is not None or time.monotonic() > deadline:
                keeper.terminate()
                raise StorageError(
                    f"The database in {self.folder} did not start: {last_words(self.log)} The whole log is "
                    f"{self.log}."
                )
            time.sleep(0.02)

    def _settings(self) -> list[str]:
        settings = ["listen_addresses=", "max_connections=60", "jit=off", "timezone=UTC"]
        # Containers give /dev/shm 64 MB, which one parallel query outgrows.
        settings += ["shared_buffers=256MB", "max_wal_size=2GB", "dynamic_shared_memory_type=sysv"]
        if not self.durable:
            settings += ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        return settings

    def _make_cluster(self, installation: Installation) -> None:
        """initdb beside the final place, then rename: if killed, nothing looks like a cluster."""
        partial = self.folder / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        account = server_account() if os.geteuid() == 0 else None
        with within_reach(self.folder) as (folder, handed_on):
            made = subprocess.run(
                [
                    *(str(installation.bin / "initdb"), "-D", str(folder / partial.name), "-U", USER),
                    *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
                    *(() if self.durable else ("--no-sync",)),
                ],
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[] if account else None,
                pass_fds=handed_on,
                cwd="/",
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if made.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise StorageError(f"No database could be made in {self.folder}: {made.stderr.strip()}")
        partial.rename(self.data)

    def _make_database(self, installation: Installation) -> None:
        known = self._sql(installation, "postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")
        if not known.strip():
            self._sql(installation, "postgres", f"CREATE DATABASE {DATABASE}")
        self._sql(installation, DATABASE, "CREATE EXTENSION IF NOT EXISTS postgis")

    def _answers(self, installation: Installation) -> bool:
        return self._client(installation, "pg_isready", "-q").returncode == 0

    def _sql(self, installation: Installation, database: str, statement: str) -> str:
        options = ("-X", "-q", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)
        done = self._client(installation, "psql", *options)
        if done.returncode != 0:
            raise StorageError(f"The database in {self.folder} refused to be set up: {done.stderr.strip()}")
        return done.stdout

    def _client(
        self, installation: Installation, name: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        place = ("-h", str(self.socket_folder), "-p", str(PORT), "-U", USER)
        command = [str(installation.bin / name), *place, *options]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
