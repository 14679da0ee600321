"""Which formats there are, and how a file comes to be without ever being half there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from monitor.errors import MonitorError, RefusedError


class TableFormat(StrEnum):
    """Files of lakes."""

    GPKG = "gpkg"
    GEOPARQUET = "geoparquet"
    GEOJSON = "geojson"
    CSV = "csv"


class RasterFormat(StrEnum):
    """Files of pixels."""

    COG = "cog"
    ZARR = "zarr"


ENDINGS = {
    ".gpkg": TableFormat.GPKG,
    ".parquet": TableFormat.GEOPARQUET,
    ".geoparquet": TableFormat.GEOPARQUET,
    ".geojson": TableFormat.GEOJSON,
    ".csv": TableFormat.CSV,
}


def table_format(file: Path, asked: TableFormat | None) -> TableFormat:
    """The format asked for, else that of the file's ending.

    Raises:
        RefusedError: neither says it.
    """
    if asked is not None:
        return asked
    if (known := ENDINGS.get(file.suffix.lower())) is None:
        raise RefusedError(
            f"{file}: its ending does not say which format it shall have; end it in {', '.join(ENDINGS)}, "
            f"or give --format {'|'.join(TableFormat)}"
        )
    return known


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """Before anything is written: no file is overwritten unasked.

    Raises:
        RefusedError: one of them is there and `force` is not given, or is a folder where a file shall be.
    """
    for path in paths:
        if path.is_dir() and path.suffix != ".zarr":
            raise RefusedError(f"{path} is a folder; name a file in it")
        if path.exists() and not force:
            raise RefusedError(f"{path} is there already; --force overwrites it, or name another place")


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, which takes its name when all went well and is gone when not.

    Raises:
        MonitorError: it cannot be put there.
    """
    try:
        with beside(path, "part") as part:
            yield part
            if path.is_dir() and part.is_dir():  # a file never takes the place of a folder
                shutil.rmtree(path)
            part.replace(path)
    except OSError as error:
        raise MonitorError(f"{path} could not be written: {error}; nothing was left there") from error


@contextmanager
def beside(path: Path, word: str) -> Iterator[Path]:
    """A place in the folder of `path`, on the same disk, that is empty before and gone after."""
    place = path.with_name(f"{path.stem}.{word}{path.suffix}")
    _remove(place)  # of a run that was killed
    try:
        yield place
    finally:
        _remove(place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        # SQLite's own beside a GeoPackage
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
