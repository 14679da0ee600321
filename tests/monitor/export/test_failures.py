"""Files that cannot be written: a named error, nothing half-written, and the file before stays."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monitor.drawing.pictures import check_picture, save_picture
from monitor.errors import MonitorError, RefusedError
from monitor.export import items, rasters
from monitor.export.formats import RasterFormat, TableFormat, table_format
from monitor.export.lakes import LakesRequest, export_lakes
from monitor.export.masks import MasksRequest, export_masks
from monitor.review.export import export_queue
from monitor.workspace import open_system
from tests.support.exporting import Kept, kept_world


@pytest.fixture(scope="module")
def world(postgis_url: str, migrated_template: str, module_workspace: Path) -> Iterator[Kept]:
    with kept_world(postgis_url, migrated_template, module_workspace) as made:
        yield made


@pytest.fixture
def kept(world: Kept, tmp_path: Path) -> Kept:
    """The database is only read; each test writes to a folder of its own."""
    return replace(world, out=tmp_path)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", [*TableFormat])
@pytest.mark.parametrize("limit", [0, 1000])
def test_lakes_on_a_full_disk(kept: Kept, kind: TableFormat, limit: int) -> None:
    suffix = "parquet" if kind is TableFormat.GEOPARQUET else kind.value
    request = LakesRequest(kept.out / f"lakes.{suffix}", kind, history=True, force=True)
    for written in (False, True):
        if written:
            export_lakes(kept.database, kept.workspace, request)
        before = content(kept.out)
        assert bool(before) == written
        with full_disk(limit), pytest.raises(MonitorError, match="could not be written"):
            export_lakes(kept.database, kept.workspace, request)
        assert content(kept.out) == before


def test_no_file_without_its_item(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(items.json, "dumps", full)
    with pytest.raises(MonitorError, match=r"lakes\.csv\.json could not be written"):
        export_lakes(kept.database, kept.workspace, LakesRequest(kept.out / "lakes.csv", TableFormat.CSV))
    assert content(kept.out) == {}


@pytest.mark.parametrize("damage", ["cut", "sparse"])
def test_a_geotiff_that_lacks_blocks_is_refused(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """GDAL's threads report no error of a full disk: the end of the file is missing, or blocks are."""
    copy = rasters.rasterio.shutil.copy

    def cut(source: Path, target: Path, **options: Any) -> None:
        if damage == "sparse":
            with rasters.rasterio.open(source, "r+") as file:
                file.write(file.read(1, window=((0, 32), (0, 32))) * 0 + 255, 1, window=((0, 32), (0, 32)))
        copy(source, target, **options)
        if damage == "cut":
            with target.open("r+b") as opened:
                opened.truncate(target.stat().st_size * 2 // 3)

    monkeypatch.setattr(rasters.rasterio.shutil, "copy", cut)
    with open_system(kept.workspace) as system:
        request = MasksRequest(kept.out / "out", RasterFormat.COG, 2021)
        with pytest.raises(MonitorError, match="could not be written"):
            export_masks(system, kept.workspace.region("demo"), request)
    assert content(kept.out) == {}


def test_pixels_on_a_full_disk(kept: Kept) -> None:
    with open_system(kept.workspace) as system:
        request = MasksRequest(kept.out / "out", RasterFormat.ZARR, 2021)
        with full_disk(1000), pytest.raises(MonitorError, match="could not be written"):
            export_masks(system, kept.workspace.region("demo"), request)
    assert content(kept.out) == {}


def test_a_picture_on_a_full_disk(tmp_path: Path) -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    save_picture(figure, tmp_path / "a.png")
    before = content(tmp_path)
    with full_disk(100), pytest.raises(MonitorError, match="cannot be written"):
        save_picture(figure, tmp_path / "a.png")
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["a.jpg", "a", "missing/a.png", "folder.png", "pipe.png"])
def test_pictures_that_are_refused_before_any_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RefusedError, match="--map"):
        check_picture(tmp_path / name, "--map")


def test_a_device_is_not_replaced(kept: Kept) -> None:
    os.mkfifo(kept.out / "lakes.csv")
    request = LakesRequest(kept.out / "lakes.csv", TableFormat.CSV, force=True)
    with pytest.raises(RefusedError, match="is a device or a pipe"):
        export_lakes(kept.database, kept.workspace, request)


def test_a_format_and_the_extension_of_another() -> None:
    assert table_format(Path("a.csv"), TableFormat.CSV) == TableFormat.CSV
    assert table_format(Path("a.txt"), TableFormat.CSV) == TableFormat.CSV
    with pytest.raises(RefusedError, match=r"--format csv: a\.gpkg has the extension of gpkg"):
        table_format(Path("a.gpkg"), TableFormat.CSV)


@pytest.mark.parametrize(
    ("region", "season", "message"),
    [
        ("atlantis", None, "--region atlantis: it has no survey; the lake history has demo, other"),
        ("demo", 1999, "--season 1999: it has no survey; the lake history has 2015, 2021, 2022"),
        ("other", 2022, "--season 2022: it has no survey; the lake history has 2021"),
    ],
)
def test_a_queue_of_nothing_is_no_answer(
    kept: Kept, region: str | None, season: int | None, message: str
) -> None:
    with open_system(kept.workspace) as system:
        with pytest.raises(RefusedError, match=message):
            export_queue(system, kept.out / "queue", region, season, explained=False)
        assert not (kept.out / "queue").exists()


def test_the_folder_of_a_queue(kept: Kept) -> None:
    with open_system(kept.workspace) as system:
        assert export_queue(system, kept.out / "queue", "demo", 2021, explained=False) == 0
        assert len(geopandas.read_file(kept.out / "queue" / "queue.geojson")) == 0
        (kept.out / "file").touch()
        with pytest.raises(RefusedError, match="cannot be a folder to write to"):
            export_queue(system, kept.out / "file", "demo", 2021, explained=False)
        with full_disk(10), pytest.raises(MonitorError, match=r"queue\.geojson cannot be written"):
            export_queue(system, kept.out / "queue", "demo", 2021, explained=False)
    assert sorted(content(kept.out)) == ["file", "queue/queue.geojson"]
