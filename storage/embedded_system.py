"""What the embedded database needs of the machine: binaries, an account, folders it may use."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StorageError

__all__ = [
    "PORT",
    "SERVER_ACCOUNT",
    "SOCKET_NAME",
    "Installation",
    "client_program",
    "environment",
    "installed",
    "last_words",
    "outlast_orphan",
    "refuse_foreign",
    "server_account",
    "within_reach",
]

SERVER_ACCOUNT = "postgres"  # the server refuses to run as root; the packages make this account
PORT = 5432  # only names the socket
SOCKET_NAME = f".s.PGSQL.{PORT}"
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/bin",
)


@dataclass(frozen=True)
class Installation:
    """One installed PostgreSQL that has PostGIS."""

    bin: Path
    major: str


def installed(data: Path) -> Installation:
    """The installed PostgreSQL with PostGIS that fits the cluster in `data`, else the newest."""
    found = {}
    for folder in (path for pattern in INSTALLED for path in sorted(Path("/").glob(pattern.lstrip("/")))):
        if (folder / "initdb").exists() and (folder / "pg_config").exists():
            answers = [_pg_config(folder, question) for question in ("--version", "--sharedir")]
            major = answers[0].split()[1].split(".")[0]
            if (Path(answers[1]) / "extension" / "postgis.control").exists():
                found[major] = Installation(folder, major)
    if not found:
        raise StorageError(
            f"No PostgreSQL with PostGIS was found (looked in {', '.join(INSTALLED)}). Install it, "
            "on Debian or Ubuntu "
            "by `apt-get install --no-install-recommends postgresql postgresql-postgis`, or set "
            "database.url to a "
            "PostGIS of your own."
        )
    if not (data / "PG_VERSION").exists():
        return found[max(found, key=int)]
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by not in found:
        raise StorageError(
            f"The database in {data} was made by PostgreSQL {made_by}, which is not installed with "
            "PostGIS (found: "
            f"{', '.join(sorted(found))}). Install postgresql-{made_by}-postgis-3, or use another workspace."
        )
    return found[made_by]


def client_program(name: str) -> Path | None:
    """A program of PostgreSQL such as `psql`: on the path, else of the newest installation, else None."""
    if found := shutil.which(name):
        return Path(found)
    places = (path for pattern in INSTALLED for path in Path("/").glob(f"{pattern.lstrip('/')}/{name}"))
    return max(places, default=None, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])


def _pg_config(folder: Path, question: str) -> str:
    asked = subprocess.run([str(folder / "pg_config"), question], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def server_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVER_ACCOUNT)
    except KeyError as error:
        raise StorageError(
            f"The database server refuses to run as root, and there is no account {SERVER_ACCOUNT} "
            "to run it. Run as "
            "a plain user, or install the distribution's PostgreSQL package, which makes that account."
        ) from error


def environment() -> dict[str, str]:
    """The caller's environment without PGPORT, PGHOST and the like, which would lead the tools elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", "PGOPTIONS": "-c client_min_messages=warning"}


def refuse_foreign(folder: Path) -> None:
    """The folder is about to be given to the server's account: never one that holds anything else."""
    ours = {"data", "data.partial", "socket", "server.log", "users.lock", "start.lock"}
    names = (entry.name for entry in folder.iterdir())
    others = [name for name in names if name not in ours and not name.startswith(SOCKET_NAME)]
    owners = {os.geteuid(), server_account().pw_uid if os.geteuid() == 0 else os.geteuid()}
    if others or folder.is_symlink() or folder.stat().st_uid not in owners:
        raise StorageError(
            f"{folder} is not the embedded database's own folder (it is a link, somebody else's, or holds "
            f"{', '.join(sorted(others)[:3]) or 'nothing'}). Choose another workspace."
        )


@contextmanager
def within_reach(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """The folder by a name the server's account can use, and the descriptors to hand on to it.

    A server that root starts runs as another account, which cannot pass through root's home to a workspace.
    It inherits the opened folder instead and reaches it without passing through those above.
    """
    if os.geteuid() != 0:
        yield folder, ()
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}"), (descriptor,)
    finally:
        os.close(descriptor)


def outlast_orphan(data: Path, seconds: float) -> None:
    """Wait for a server whose keeper was killed: it is stopping, and a new one cannot start before it has."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            number = int((data / "postmaster.pid").read_text().split()[0])
            name = Path(f"/proc/{number}/comm").read_text().strip()
        except (OSError, ValueError, IndexError):
            return
        if name != "postgres":
            return
        time.sleep(0.05)


def last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    return " / ".join(lines) or "it said nothing."
