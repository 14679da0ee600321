"""A private PostGIS server in a folder: created on first use, started on entry, stopped by the last user.

    with EmbeddedPostgis(workspace / "postgis") as url:
        ...

The server listens only on a unix socket, in a folder that only its owner can enter. A lock file controls when
it stops, so that several processes can share the server and any of them may be killed:

- each process that uses the server holds a shared lock on `users.lock`; the kernel releases the lock when the
  process ends, for whatever reason;
- the first process starts a keeper (`embedded_keeper.py`), which runs the server as its child and waits for
  the exclusive lock, that is, until the last user has left; then it stops the server;
- if the keeper is killed, the kernel interrupts the server (PR_SET_PDEATHSIG), and the next user starts both
  again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
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
    log_tail,
    mend_copied,
    refuse_foreign,
    server_account,
    wait_for_orphan,
    within_reach,
)
from storage.errors import StorageError, storage_error_on_full_disk

__all__ = ["EmbeddedPostgis"]

USER = DATABASE = "lake"
LONGEST_SOCKET = 107  # bytes in sockaddr_un
START_SECONDS = 60


class EmbeddedPostgis:
    """The server of one folder, as a context manager that returns its SQLAlchemy URL.

    durable: False disables fsync, for tests on a RAM disk. Raises StorageError when no PostGIS is installed,
    when the folder cannot be used (as root: the server's account has no access), or when the disk is full.
    """

    def __init__(self, folder: Path | str, *, durable: bool = True) -> None:
        self.folder = Path(folder).absolute()
        self.durable = durable
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._users: IO[str] | None = None

    @property
    def socket_folder(self) -> Path:
        """Folder of the socket: in the cluster's folder, or in a temporary one if that path is too long."""
        inside = self.folder / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= LONGEST_SOCKET:
            return inside
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lake-postgis-{name}"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the lake database, valid while the server is in use."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(self.socket_folder))}&port={PORT}"

    def __enter__(self) -> str:
        with storage_error_on_full_disk(f"the database in {self.folder}"):
            installation = installed(self.data)
            self._make_folders()
            self._refuse_unwritable()
            users = (self.folder / "users.lock").open("a")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper is stopping the server
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
        """Wait until the server has stopped, so that the folder can be moved or removed."""
        with (self.folder / "users.lock").open("a") as users:
            while True:
                fcntl.flock(users, fcntl.LOCK_EX)
                if not (self.data / "postmaster.pid").exists():
                    return
                fcntl.flock(users, fcntl.LOCK_UN)
                time.sleep(0.05)

    def read_all_files(self) -> str:
        """Let the running server read all its files from disk, and return its warnings of damaged pages.

        The files are those of a backup (`pg_basebackup`), which is not kept. Raises StorageError when it
        fails for another reason than damage.
        """
        options = ("-D", "-", "-F", "t", "-X", "none", "--no-slot", "--no-manifest", "-c", "fast")
        done = self._client(installed(self.data), "pg_basebackup", *options, output=subprocess.DEVNULL)
        if done.returncode != 0 and "checksum" not in done.stderr:
            raise StorageError(f"The database in {self.folder} cannot be read: {done.stderr.strip()}")
        return done.stderr

    def _make_folders(self) -> None:
        """Create folders that the server's account owns and only it can enter."""
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
                    f"The database's folder {folder} cannot be used: {error}. Check its permissions, or "
                    "choose another workspace."
                ) from error

    def _refuse_unwritable(self) -> None:
        """The files of a copied folder can belong to another user, although the folder does not."""
        for name in ("users.lock", "start.lock", "server.log"):
            if (self.folder / name).exists() and not os.access(self.folder / name, os.W_OK):
                raise StorageError(
                    f"The database's file {self.folder / name} may not be written by this user. If the "
                    f"workspace was copied, give it to this user as root: `chown -R USER {self.folder}`."
                )

    def _start(self, installation: Installation) -> None:
        """Create the cluster if there is none, start the keeper and wait until the server answers."""
        if not self.data.exists():
            self._make_cluster(installation)
        mend_copied(self.data)
        wait_for_orphan(self.data, START_SECONDS)
        self._add_checksums(installation)
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
                start_new_session=True,  # so that Ctrl-C does not reach the server
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(installation):
            if keeper.poll() is not None or time.monotonic() > deadline:
                keeper.terminate()
                raise StorageError(
                    f"The database in {self.folder} did not start: {log_tail(self.log)} The whole log is "
                    f"{self.log}."
                )
            time.sleep(0.02)
        keeper.returncode = 0  # it outlives this process on purpose, which Popen would warn of

    def _settings(self) -> list[str]:
        settings = ["listen_addresses=", "max_connections=60", "jit=off", "timezone=UTC"]
        # Containers limit /dev/shm to 64 MB, which a single parallel query can exceed.
        settings += ["shared_buffers=256MB", "max_wal_size=2GB", "dynamic_shared_memory_type=sysv"]
        if not self.durable:
            settings += ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        return settings

    def _make_cluster(self, installation: Installation) -> None:
        """Run initdb in a temporary folder and rename it, so that an interrupted initdb leaves no `data`."""
        partial = self.folder / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        options = ("-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
        sync = () if self.durable else ("--no-sync",)
        made = self._offline(installation, partial, "initdb", *options, *sync)
        if made.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise StorageError(f"No database could be created in {self.folder}: {made.stderr.strip()}")
        partial.rename(self.data)

    def _add_checksums(self, installation: Installation) -> None:
        """Add checksums to the pages of a cluster that an earlier version made; takes seconds, and only once.

        A server that was not stopped regularly recovers first, and gets them at its next start.
        """
        control = self._offline(installation, self.data, "pg_controldata")
        if re.search(r"checksum version:\s+0$", control.stdout, re.MULTILINE):
            self._offline(installation, self.data, "pg_checksums", "--enable")

    def _offline(
        self, installation: Installation, data: Path, name: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the files of a cluster that is not running, as the account that owns them."""
        account = server_account() if os.geteuid() == 0 else None
        with within_reach(self.folder) as (folder, handed_on):
            return subprocess.run(
                [str(installation.bin / name), *options, "-D", str(folder / data.name)],
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
            raise StorageError(f"The database in {self.folder} could not be set up: {done.stderr.strip()}")
        return done.stdout

    def _client(
        self, installation: Installation, name: str, *options: str, output: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        place = ("-h", str(self.socket_folder), "-p", str(PORT), "-U", USER)
        command = [str(installation.bin / name), *place, *options]
        return subprocess.run(
            command, env=environment(), stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
