"""The private cache: only files that this installation wrote, unchanged and unreachable for others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segmenter import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "cache" / "lake-monitor"


def writing(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def test_a_kept_file_is_found_and_private(folder: Path, tmp_path: Path) -> None:
    assert cache.lookup("a.pt2") is None
    path = cache.store("a.pt2", writing(b"one"))
    assert path is not None and path.read_bytes() == b"one"
    assert cache.lookup("a.pt2") == path == folder / "a.pt2"
    assert folder.stat().st_mode & 0o777 == 0o700 and path.stat().st_mode & 0o777 == 0o600
    key = tmp_path / "state" / "lake-monitor" / cache.KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    assert cache.store("a.pt2", writing(b"two")) is not None
    assert cache.lookup("a.pt2") == path and path.read_bytes() == b"two"
    assert sorted(each.name for each in folder.iterdir()) == ["a.pt2", "a.pt2.hmac"]


def swapped(path: Path) -> None:
    path.write_bytes(b"other")


def renamed(path: Path) -> None:
    """A file of the cache, with its record, under the name of another."""
    other = cache.store("b.pt2", writing(b"other"))
    assert other is not None
    for suffix in ("", ".hmac"):
        shutil.move(f"{other}{suffix}", f"{path}{suffix}")


def without_record(path: Path) -> None:
    path.with_name("a.pt2.hmac").unlink()


def writable_by_others(path: Path) -> None:
    path.chmod(0o622)


def folder_writable_by_others(path: Path) -> None:
    path.parent.chmod(0o777)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def of_another_key(path: Path) -> None:
    """As in a cache that was copied from another installation."""
    (path.parents[2] / "state" / "lake-monitor" / cache.KEY_FILE).write_bytes(bytes(32))


def key_readable_by_others(path: Path) -> None:
    (path.parents[2] / "state" / "lake-monitor" / cache.KEY_FILE).chmod(0o644)


DAMAGE = (swapped, renamed, without_record, writable_by_others, folder_writable_by_others, linked,
          of_another_key, key_readable_by_others)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_file_that_others_could_have_changed_is_not_used(damage: Callable[[Path], None]) -> None:
    path = cache.store("a.pt2", writing(b"one"))
    assert path is not None
    damage(path)
    assert cache.lookup("a.pt2") is None
    if damage is not key_readable_by_others:
        assert cache.store("a.pt2", writing(b"again")) is not None
        assert cache.lookup("a.pt2") is not None, "it was made again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_or_a_folder_of_another_user_is_not_used(folder: Path) -> None:
    path = cache.store("a.pt2", writing(b"one"))
    assert path is not None
    os.chown(path, 1, 1)
    assert cache.lookup("a.pt2") is None
    os.chown(path, 0, 0)
    assert cache.lookup("a.pt2") == path
    os.chown(folder, 1, 1)
    assert cache.lookup("a.pt2") is None
    assert cache.store("a.pt2", writing(b"two")) is None
    with cache.alone("a.pt2"):
        pass


def test_without_a_cache_nothing_is_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.write_text("a file in its place")
    with cache.alone("a.pt2"):
        assert cache.store("a.pt2", writing(b"one")) is None
    assert "cannot be kept" in caplog.text
    assert cache.lookup("a.pt2") is None


def test_several_at_once(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda n: cache.store(f"{n}.pt2", writing(b"x")), range(4)))
    assert all(kept) and all(cache.lookup(f"{n}.pt2") for n in range(4))


def test_the_oldest_are_forgotten(folder: Path) -> None:
    for number in range(cache.KEPT + 2):
        path = cache.store(f"{number}.pt2", writing(b"x"))
        assert path is not None
        os.utime(path, (number, number))
    assert {path.name for path in folder.glob("*.pt2")} == {f"{n}.pt2" for n in range(2, cache.KEPT + 2)}
