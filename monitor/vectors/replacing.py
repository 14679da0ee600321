"""Replacing a GeoPackage: SQLite keeps a part of its content in files beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from monitor.errors import RefusedError

#: endings of the files beside an SQLite file
BESIDE = ("-wal", "-shm", "-journal")


def refuse_open(path: Path) -> None:
    """Check that a file can be replaced: no program has it open with content beside it.

    SQLite would apply a `-wal` or `-journal` of the former file to the new one, and so destroy it. Where no
    other program has the file open, its content is moved into the file first.

    Raises:
        RefusedError: another program has it open, or content of a file that is gone lies beside it.
    """
    if not _beside(path):
        return
    if path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode=DELETE").fetchone()
                database.execute("BEGIN EXCLUSIVE")
                database.execute("COMMIT")
        except sqlite3.Error:
            pass  # of a file that is open elsewhere, or damaged: its content stays beside it
    if left := _beside(path):
        names = ", ".join(file.name for file in left)
        raise RefusedError(
            f"{path} cannot be replaced: a part of its content is in {names} beside it. Close the file in "
            f"the program that has it open (QGIS ...); if there is none, remove {names}; or use another name"
        )


def _beside(path: Path) -> list[Path]:
    return [file for ending in BESIDE if (file := path.with_name(path.name + ending)).exists()]
