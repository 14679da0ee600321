"""Exceptions of libraries that files, disks, networks and databases can cause, as messages for people."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

_PACKAGES = {"monitor", "segmenter", "storage"}
#: base classes of libraries' exceptions, as library and class; what happened, and what to do. They are named,
#: and not imported, because most commands do not load these libraries.
_FORESEEN = {
    "shapely.ShapelyError": (
        "an outline cannot be used",
        "repair the outlines of the region, its glaciers or the inventory (QGIS: Fix geometries)",
    ),
    "pyproj.ProjError": (
        "coordinates cannot be converted",
        "check the CRS of the file of the region, its glaciers or the inventory",
    ),
    "pyogrio.DataSourceError": ("a vector file cannot be read or written", "check the file and its rights"),
    "pyogrio.DataLayerError": ("a layer of a vector file cannot be used", "check the file with ogrinfo"),
    "pyogrio.FeatureError": ("a feature of a vector file cannot be used", "check the file with ogrinfo"),
    "pyogrio.FieldError": ("a column of a vector file cannot be used", "check the file with ogrinfo"),
    "rasterio.RasterioError": ("an image cannot be read or written", "check the file with gdalinfo"),
    "rasterio.CRSError": ("the CRS of an image cannot be used", "check the file with gdalinfo"),
    "sqlalchemy.IntegrityError": (
        "the database refused a row, and nothing of this step was recorded",
        "if another command was writing, run the same command again; else report this message",
    ),
    "sqlalchemy.OperationalError": (
        "the database does not answer, or ended the connection",
        "check that its server runs and has space, then run the same command again",
    ),
    "sqlalchemy.InterfaceError": (
        "the connection to the database was lost",
        "check that its server runs, then run the same command again",
    ),
    "sqlalchemy.ProgrammingError": (
        "the database refused a query",
        "check the rights of the user of database.url, and run `monitor db upgrade`",
    ),
    "sqlalchemy.DataError": (
        "the database cannot hold a value",
        "check the values of the file or the option that was given",
    ),
    "icechunk.IcechunkError": (
        "the cube cannot be read or written",
        "check its folder, its rights and the free space, then run the same command again",
    ),
    "pyarrow.ArrowException": ("a table cannot be read or written", "check the file"),
    "requests.RequestException": ("a server does not answer", "check the network, then run it again"),
    "zipfile.BadZipFile": ("a zip file is damaged", "replace the file"),
    "builtins.UnicodeDecodeError": (
        "a text is not in the encoding that its file declares",
        "save the file as UTF-8",
    ),
    "builtins.UnicodeEncodeError": ("a text cannot be written in the encoding", "check the names in it"),
    "builtins.MemoryError": (
        "the memory is used up",
        "lower cluster.threads or tile_size in monitor.yaml, or end other programs",
    ),
}


def foreseen(error: BaseException) -> str | None:
    """A message for an exception that a person can do something about: what happened, where, and a remedy.

    None for all others, which are faults of the program.
    """
    for kind in type(error).__mro__:
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        if name in _FORESEEN:
            what, remedy = _FORESEEN[name]
            cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0] or kind.__name__
            return f"{what}: {cause} ({_place(error)}); {remedy}"
    return _of_the_system(error) if isinstance(error, OSError) and error.errno else None


def _of_the_system(error: OSError) -> str:
    file = "" if error.filename is None else f"{error.filename}: "
    remedies = {
        errno.ENOSPC: "free some space and run the same command again",
        errno.EDQUOT: "free some space and run the same command again",
        errno.EACCES: "give this user the right to it, or name another place",
        errno.EPERM: "give this user the right to it, or name another place",
        errno.EROFS: "name a place that can be written to",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
    }
    remedy = remedies.get(error.errno or 0, "check the path")
    return f"{file}{error.strerror} ({_place(error)}); {remedy}"


def _place(error: BaseException) -> str:
    """Where in this program an exception arose, for a report of it."""
    root = Path(__file__).resolve().parents[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(root) and path.relative_to(root).parts[0] in _PACKAGES:
            return f"in {path.relative_to(root)}, line {frame.lineno}"
    return "outside this program"
