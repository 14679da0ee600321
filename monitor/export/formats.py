"""Export formats, and writing files so that no partial file is ever visible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from monitor.drawing.text import one_line, visible
from monitor.errors import MonitorError, RefusedError
from monitor.vectors.replacing import refuse_open


class TableFormat(StrEnum):
    """Formats of lake tables."""

    GPKG = "gpkg"
    GEOPARQUET = "geoparquet"
    GEOJSON = "geojson"
    CSV = "csv"


class RasterFormat(StrEnum):
    """Formats of rasters."""

    COG = "cog"
    ZARR = "zarr"


#: files beside a raster in which other programs keep statistics, overviews and masks of its pixels
OF_PIXELS = (".aux.xml", ".ovr", ".msk")
ENDINGS = {
    ".gpkg": TableFormat.GPKG,
    ".parquet": TableFormat.GEOPARQUET,
    ".geoparquet": TableFormat.GEOPARQUET,
    ".geojson": TableFormat.GEOJSON,
    ".csv": TableFormat.CSV,
}


def table_format(file: Path, requested: TableFormat | None) -> TableFormat:
    """The requested format, or the format of the file's extension.

    Raises:
        RefusedError: no format was requested and the extension is unknown, or it is that of another format.
    """
    known = ENDINGS.get(file.suffix.lower())
    if requested is not None:
        if known not in (None, requested):
            raise RefusedError(
                f"--format {requested}: {file.name} has the extension of {known}, and programs would read it "
                "as that. Give it another extension, or leave --format out"
            )
        return requested
    if known is None:
        raise RefusedError(
            f"{file}: unknown file extension; use one of {', '.join(ENDINGS)}, "
            f"or give --format {'|'.join(TableFormat)}"
        )
    return known


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """Check, before anything is written, that no file would be overwritten without `force`.

    Raises:
        RefusedError: a file exists and `force` is not set, a folder has the name of a file, a name cannot be
            written as text, the folder may not be read, or another program has the file open.
    """
    for path in paths:
        if visible(str(path)) != str(path) or "\n" in str(path):
            raise RefusedError(
                f"{one_line(str(path))}: the name has control characters, or bytes that are not UTF-8; "
                "choose another name"
            )
        try:
            folder, there = path.is_dir(), path.exists()
        except OSError as error:  # no right to look into the folder, or a name that is too long
            raise RefusedError(f"{path} cannot be written: {error.strerror or error}") from error
        if folder and path.suffix != ".zarr":
            raise RefusedError(f"{path} is a folder; give the name of a file in it")
        if there and not folder and not path.is_file():
            raise RefusedError(f"{path} is a device or a pipe; give the name of a file")
        if there and not force:
            raise RefusedError(f"{path} exists already; --force overwrites it, or choose another name")
        refuse_open(path)


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to `path` on success, removed on failure.

    What other programs keep beside a raster belongs to its former pixels: GDAL would use it for the new ones.

    Raises:
        RefusedError: another program has a GeoPackage of this name open.
        MonitorError: the file cannot be written.
    """
    try:
        with beside(path, "part") as part:
            yield part
            refuse_open(path)
            if path.is_dir() and part.is_dir():  # a file never replaces a folder
                shutil.rmtree(path)
            part.replace(path)
            for ending in OF_PIXELS:
                path.with_name(path.name + ending).unlink(missing_ok=True)
    except OSError as error:
        raise MonitorError(f"{path} could not be written: {error}; no file was left there") from error


@contextmanager
def beside(path: Path, word: str) -> Iterator[Path]:
    """A temporary path in the folder of `path`, on the same disk; removed before and after use."""
    place = path.with_name(f"{path.stem}.{word}{path.suffix}")
    _remove(place)  # left by a run that was killed
    try:
        yield place
    finally:
        _remove(place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        # SQLite's journal beside a GeoPackage
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
