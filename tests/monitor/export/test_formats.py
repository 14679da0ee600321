"""Files that are replaced, and what other programs keep beside them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from monitor.errors import RefusedError
from monitor.export.formats import part_of, refuse_existing


def test_statistics_and_overviews_of_a_former_raster_are_removed(tmp_path: Path) -> None:
    raster = tmp_path / "mask.tif"
    beside = [tmp_path / f"mask.tif{ending}" for ending in (".aux.xml", ".ovr", ".msk")]
    for path in (raster, *beside, tmp_path / "other.tif.ovr"):
        path.write_text("former")
    with part_of(raster) as part:
        part.write_text("new")
        assert all(path.exists() for path in beside)
    assert raster.read_text() == "new" and (tmp_path / "other.tif.ovr").exists()
    assert not any(path.exists() for path in beside)


def test_a_geopackage_opened_while_the_new_one_is_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lakes.gpkg"
    with sqlite3.connect(path) as first:
        first.execute("create table former as select 1 as n")
    first.close()
    refuse_existing([path], force=True)
    with pytest.raises(RefusedError, match="cannot be replaced"), part_of(path) as part:
        part.write_text("new")
        other = sqlite3.connect(path)
        other.execute("pragma journal_mode=wal")
        other.execute("select n from former").fetchall()
    assert other.execute("select n from former").fetchall() == [(1,)]
    other.close()
    assert [file.name for file in tmp_path.iterdir()] == ["lakes.gpkg"]
    with pytest.raises(RefusedError, match="exists already; --force"):
        refuse_existing([path], force=False)
