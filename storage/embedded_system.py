"""System requirements of the embedded database: binaries, a user account and accessible folders."""

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
    "log_tail",
    "mend_copied",
    "refuse_foreign",
    "server_account",
    "wait_for_orphan",
    "within_reach",
]

SERVER_ACCOUNT = "postgres"  # for root, as which the server does not run; created by the packages
PORT = 5432  # only part of the socket's name
SOCKET_NAME = f".s.PGSQL.{PORT}"
#: folders of every cluster, several of them empty, since PostgreSQL 13
CLUSTER_FOLDERS = (
    *("base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings"),
    *("pg_logical/snapshots", "pg_multixact", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots"),
    *("pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal", "pg_wal/archive_status"),
    "pg_xact",
)
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/bin",
)


@dataclass(frozen=True)
class Installation:
    """An installed PostgreSQL with PostGIS."""

    bin: Path
    major: str


def installed(data: Path) -> Installation:
    """The PostgreSQL with PostGIS that made the cluster in `data`; the newest when there is no cluster.

    Raises StorageError when none is installed.
    """
    found = {}
    for folder in (path for pattern in INSTALLED for path in sorted(Path("/").glob(pattern.lstrip("/")))):
        if (folder / "initdb").exists() and (folder / "pg_config").exists():
            outputs = [_pg_config(folder, option) for option in ("--version", "--sharedir")]
            major = outputs[0].split()[1].split(".")[0]
            if (Path(outputs[1]) / "extension" / "postgis.control").exists():
                found[major] = Installation(folder, major)
    if not found:
        raise StorageError(
            f"No PostgreSQL with PostGIS was found in {', '.join(INSTALLED)}. Install it (on Debian or "
            "Ubuntu: `apt-get install --no-install-recommends postgresql postgresql-postgis`), or set "
            "database.url to an existing PostGIS database."
        )
    if not (data / "PG_VERSION").exists():
        return found[max(found, key=int)]
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by not in found:
        raise StorageError(
            f"The database in {data} was made by PostgreSQL {made_by}, which is not installed with PostGIS "
            f"(found: {', '.join(sorted(found))}). Install postgresql-{made_by}-postgis-3, or use another "
            "workspace."
        )
    return found[made_by]


def client_program(name: str) -> Path | None:
    """A program of PostgreSQL such as `psql`: on the path, else of the newest installation, else None."""
    if found := shutil.which(name):
        return Path(found)
    places = (path for pattern in INSTALLED for path in Path("/").glob(f"{pattern.lstrip('/')}/{name}"))
    return max(places, default=None, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])


def _pg_config(folder: Path, option: str) -> str:
    result = subprocess.run([str(folder / "pg_config"), option], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def server_account() -> pwd.struct_passwd:
    """The account that runs the server for root. Raises StorageError when there is none."""
    try:
        return pwd.getpwnam(SERVER_ACCOUNT)
    except KeyError as error:
        raise StorageError(
            f"The database server cannot run as root, and the account {SERVER_ACCOUNT} to run it does not "
            "exist. Run as another user, or install the PostgreSQL package of the distribution, which "
            "creates that account."
        ) from error


def environment() -> dict[str, str]:
    """The caller's environment without PGPORT, PGHOST and other PG variables, which redirect the tools."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", "PGOPTIONS": "-c client_min_messages=warning"}


def refuse_foreign(folder: Path) -> None:
    """Raise StorageError for a folder with other contents, whose ownership must not be changed."""
    own = {"data", "data.partial", "socket", "server.log", "users.lock", "start.lock"}
    names = (entry.name for entry in folder.iterdir())
    others = [name for name in names if name not in own and not name.startswith(SOCKET_NAME)]
    owners = {os.geteuid(), server_account().pw_uid if os.geteuid() == 0 else os.geteuid()}
    if others or folder.is_symlink() or folder.stat().st_uid not in owners:
        raise StorageError(
            f"{folder} is not the embedded database's own folder: it is a link, belongs to another user, or "
            f"holds other files ({', '.join(sorted(others)[:3]) or 'none'}). Choose another workspace."
        )


def mend_copied(data: Path) -> None:
    """Give a cluster that was copied the owner and the mode that the server needs.

    Raises StorageError where the copy cannot be used: it belongs to another user, or has lost folders.
    """
    if not data.exists():
        return
    account = server_account() if os.geteuid() == 0 else None
    owner, group = (account.pw_uid, account.pw_gid) if account else (os.geteuid(), os.getegid())
    for place, folders, files in os.walk(data):
        for path in (Path(place), *(Path(place, name) for name in (*folders, *files))):
            state = path.lstat()
            if state.st_uid == owner:
                continue
            if account is None or state.st_uid != 0:
                raise StorageError(
                    f"{path} belongs to another user, so the database in {data} cannot start. If it was "
                    f"copied, run `chown -R {pwd.getpwuid(owner).pw_name} {data.parent}` as root."
                )
            os.chown(path, owner, group, follow_symlinks=False)
    if data.stat().st_mode & 0o077:
        data.chmod(0o700)
    lost = [name for name in CLUSTER_FOLDERS if not (data / name).is_dir()]
    if lost:
        raise StorageError(
            f"The database in {data} has lost folders: {', '.join(lost)}. A copy without empty folders is "
            "not complete; copy the workspace again, with `cp -a` or `tar`, while no command uses it."
        )


@contextmanager
def within_reach(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Return a path of the folder that the server's account can open, and the descriptors to pass to it.

    A server that root starts runs as another account, which has no access to a workspace below root's home.
    It inherits a descriptor of the folder instead and opens it without traversing the folders above.
    """
    if os.geteuid() != 0:
        yield folder, ()
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}"), (descriptor,)
    finally:
        os.close(descriptor)


def wait_for_orphan(data: Path, seconds: float) -> None:
    """Wait until a server whose keeper was killed has stopped; only then can another start.

    Raises StorageError where the server of another folder is named, so that this one is a copy of it.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            number = int((data / "postmaster.pid").read_text().split()[0])
            name = Path(f"/proc/{number}/comm").read_text().strip()
        except (OSError, ValueError, IndexError):
            return
        if name == "postgres" and _works_elsewhere(number, data):
            raise StorageError(
                f"{data / 'postmaster.pid'} names the running server of another folder: the workspace was "
                "copied while a command used it, and the copy is not complete. Copy it again while nothing "
                "uses it; if it was not copied, remove that file."
            )
        if name != "postgres":
            return
        time.sleep(0.05)


def _works_elsewhere(process: int, data: Path) -> bool:
    try:
        return not Path(f"/proc/{process}/cwd").samefile(data)
    except OSError:  # it has ended, and waits for its parent
        return False


def log_tail(log: Path) -> str:
    """The last three lines of a log, joined."""
    lines = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    return " / ".join(lines) or "its log is empty."
