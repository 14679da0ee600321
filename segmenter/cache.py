"""The private cache of programs, which hold code: only files that this installation wrote are opened.

Opening a program can run code, so a program is never taken from a model's folder, which is copied from person
to person. It is made from the weights, and kept in the user's cache. A file of the cache is opened only if

- the folder and the file belong to this user, and nobody else can write to them;
- the record beside the file is the HMAC-SHA256 (RFC 2104) of its name and content, with the key of this
  installation. The key is in the user's state folder, so a cache that was copied from elsewhere is not used.

A file that fails a check is made again.
"""

import hashlib
import hmac
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock

APPLICATION = "lake-monitor"
KEY_FILE = "program.key"
#: programs that are kept, by their last use: those of five sets of sensors of some models. One of a large
#: network takes more than a gigabyte
KEPT = 24
_KEY_BYTES = 32
_RECORD = ".hmac"
_log = logging.getLogger(__name__)


def lookup(name: str) -> Path | None:
    """The file of this name in the cache, if this installation wrote it and it is unchanged."""
    path = place(name)
    try:
        _refuse_foreign(path.parent, stat.S_ISDIR)
        _refuse_foreign(path, stat.S_ISREG)
        record = path.with_name(name + _RECORD).read_text()
        if not hmac.compare_digest(record, _code(path, name, _key())):
            raise ValueError("it is not the file that was written here")
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s: is not used (%s); it is made again", path, error)
        return None
    return path


def store(name: str, write: Callable[[Path], None]) -> Path | None:
    """Keep the file that `write` writes to the path it is given; None, with a warning, where it cannot be."""
    path = place(name)
    beside = path.with_name(f"{os.getpid()}-{name}")
    record = beside.with_name(beside.name + _RECORD)
    try:
        _make_private(path.parent)
        key = _key(make=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"):
            pass  # private before it has content
        try:
            write(beside)
            beside.chmod(0o600)
            record.write_text(_code(beside, name, key))
            record.replace(path.with_name(name + _RECORD))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
            record.unlink(missing_ok=True)
        _forget_others(path.parent)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        _log.warning("%s: cannot be kept (%s); every start takes longer", path, error)
        return None
    return path


@contextmanager
def alone(name: str) -> Iterator[None]:
    """While one process makes a file, the others wait. Without effect where no file can be kept."""
    path = place(name)
    try:
        _make_private(path.parent)
        lock = FileLock(path.with_name(f"{name}.lock"))
        lock.acquire()
    except (OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def place(name: str) -> Path:
    """Path of a file in the cache."""
    return platformdirs.user_cache_path(APPLICATION) / name


def _code(path: Path, name: str, key: bytes) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return hmac.new(key, f"{name}|{digest}".encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool = False) -> bytes:
    """The key of this installation. Raises OSError or ValueError when it is absent or not private."""
    path = platformdirs.user_state_path(APPLICATION) / KEY_FILE
    if make and not path.exists():
        _make_private(path.parent)
        beside = path.with_name(f"{KEY_FILE}.{os.getpid()}-{secrets.token_hex(4)}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(beside, path)  # another process may have made it meanwhile: then its key stands
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    _refuse_foreign(path.parent, stat.S_ISDIR)
    _refuse_foreign(path, stat.S_ISREG, private=True)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path} is no key; delete it, and a new one is made")
    return key


def _make_private(folder: Path) -> None:
    """Create a folder that only this user can enter. Raises OSError or ValueError when it is another's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
        folder.chmod(0o700)
    _refuse_foreign(folder, stat.S_ISDIR)


def _refuse_foreign(path: Path, kind: Callable[[int], bool], *, private: bool = False) -> None:
    """Raise ValueError for a link, another user's file, or one that others can write (private: or read)."""
    found = path.lstat()
    others = stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWGRP | stat.S_IWOTH
    if not kind(found.st_mode):
        raise ValueError(f"{path} is a link or not of the expected kind")
    if found.st_uid != os.geteuid():
        raise ValueError(f"{path} belongs to another user ({found.st_uid})")
    if found.st_mode & others:
        raise ValueError(f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):o})")


def _forget_others(folder: Path) -> None:
    """Delete all but the `KEPT` files that were used last."""
    recorded = [path for path in folder.iterdir() if path.with_name(path.name + _RECORD).exists()]
    for path in sorted(recorded, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        for each in (path, path.with_name(path.name + _RECORD), path.with_name(f"{path.name}.lock")):
            each.unlink(missing_ok=True)
