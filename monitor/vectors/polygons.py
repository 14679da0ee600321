"""Polygons from files of the user: regions, glacier outlines, inventories. The one reader of vector files.

Every row of a file is a polygon with a place on Earth, or is left out with a reason. The other columns are
kept apart from the polygons, with the names and the types that the file gives them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import geopandas
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.grid import HALF_TURN, WGS84, split_at_180
from monitor.vectors.files import PARQUET, Choice, Columns, Layer, layers, read_layer, read_parquet

NO_GEOMETRY = "it has no geometry, or a damaged one"
NO_AREA = "its outline has no area"
NO_PLACE = "its coordinates are no place on Earth in the CRS of the file"
DEGREES = "its coordinates are degrees, but the CRS of the file is in metres"
#: what is said of a repaired row
COLLECTION = "GeometryCollection: only its polygons are used"
#: GEOS' numbers of geometry types
POLYGONS, GEOMETRY_COLLECTION = (3, 6), 7
ASSIGN = "assign the right CRS (for example with `ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`) and try again"


@dataclass(frozen=True)
class Polygons:
    """The polygons of one layer. Rows are counted from 0 in the order of the file.

    Attributes:
        geometry: valid, two-dimensional polygons and multipolygons (EPSG:4326). One that crosses 180 degrees
            is cut there.
        rows: the row of each polygon.
        repairs: row to the reason why its geometry was repaired.
        left_out: row to the reason why it is not among the polygons; `rows` and these are all rows.
        columns: the other columns, all rows.
        notes: what is doubtful about the place, and what the reader of the file warned of.
    """

    path: Path
    subject: str
    geometry: geopandas.GeoSeries
    rows: NDArray[np.intp]
    repairs: Mapping[int, str]
    left_out: Mapping[int, str]
    columns: Columns
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of rows in the file."""
        return len(self.rows) + len(self.left_out)

    def values(self, column: str) -> list[Any]:
        """The values of a column, all rows.

        Raises:
            RefusedError: they cannot be read, or a text is not in the declared encoding.
        """
        with _readable(self.path, self.subject):
            return self.columns.values(column)


def read_polygons(
    path: Path,
    subject: str,
    *,
    attributes: bool = False,
    layer: str | None = None,
    encoding: str | None = None,
    layer_option: str | None = None,
) -> Polygons:
    """Read the polygons of a vector file, a zip file of them, or GeoParquet; invalid ones are repaired.

    Args:
        subject: the setting or option with the path, for error messages.
        attributes: whether the other columns are wanted.
        layer: the layer to read; needed where several may hold polygons.
        encoding: of the texts, for formats that may leave it undeclared.
        layer_option: the option that chooses a layer, for error messages.

    Raises:
        RefusedError: no file, not readable, several layers, no usable CRS, or no polygon; names `subject` and
            the path.
    """
    with _readable(path, subject):
        exists, readable = path.exists(), path.is_file() or path.is_dir()
    if not exists:
        raise RefusedError(f"{subject}: there is no file {path}")
    if not readable:
        raise RefusedError(f"{subject}: {path} is a device or a pipe; give a file")
    with _readable(path, subject), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if path.suffix.lower() in PARQUET:
            if layer is not None:
                raise RefusedError(f"is GeoParquet, which has no layers; leave out the layer {layer!r}")
            read = read_parquet(path, attributes=attributes)
        else:
            choice = _chosen(layers(path), layer, layer_option)
            read = read_layer(choice, attributes=attributes, encoding=encoding)
    polygons = polygons_of(path, subject, read)
    warned = dict.fromkeys(str(one.message) for one in caught)
    return replace(polygons, notes=(*polygons.notes, *warned))


def polygons_of(path: Path, subject: str, layer: Layer) -> Polygons:
    """The polygons of a layer that was read from `path`.

    Raises:
        RefusedError: no usable CRS, or no polygon; names `subject` and the path.
    """
    with _readable(path, subject):
        rows = None if layer.columns.table is None else len(layer.columns.table)
        if rows not in (None, len(layer.geometry)):
            raise RefusedError(
                f"has {len(layer.geometry)} geometries and {rows} rows of columns: it is damaged"
            )
        crs = _crs(layer.crs)
        geometry, repairs, left_out = _usable(layer.geometry, crs)
        if geometry.empty:
            reasons = Counter(left_out.values()).most_common()
            said = "; ".join(f"{why} ({number} rows)" for why, number in reasons) or "it has no rows"
            advice = f". {ASSIGN.capitalize()}" if {NO_PLACE, DEGREES} & {*left_out.values()} else ""
            raise RefusedError(f"contains no polygon that can be used: {said}{advice}")
    kept = np.setdiff1d(np.arange(len(layer.geometry)), list(left_out))
    return Polygons(path, subject, geometry, kept, repairs, left_out, layer.columns, _shift(crs))


@contextmanager
def _readable(path: Path, subject: str) -> Iterator[None]:
    """Errors of the libraries that read files, as errors that name the file and a remedy."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(f"{subject}: {path} {error}") from error
    except PermissionError as error:
        raise RefusedError(
            f"{subject}: {path} may not be read by this user: {error}; `chmod` gives the right"
        ) from error
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{subject}: {path} has names or texts in another encoding than the declared one ({error}); "
            "declare the right one (`--encoding`, or a file .cpg beside a .shp)"
        ) from error
    except (RuntimeError, ValueError, OSError, LookupError, TypeError, ShapelyError, BadZipFile) as error:
        raise RefusedError(f"{subject}: {path} cannot be read as polygons: {error}") from error


def _chosen(choices: list[Choice], layer: str | None, option: str | None) -> Choice:
    """The layer called `layer`, or the only one that may hold polygons."""
    if layer is not None:
        for choice in choices:
            if choice.name == layer:
                return choice
        raise RefusedError(f"has no layer {layer!r}; it has {', '.join(one.name for one in choices)}")
    candidates = [choice for choice in choices if choice.may_hold_polygons]
    if not candidates:
        if any(choice.kind for choice in choices):
            raise RefusedError("contains no polygon, only points or lines")
        raise RefusedError("is a table without outlines; give a file of polygons")
    if len(candidates) > 1:
        sure = [one for one in candidates if one.kind != "Unknown" or _has_polygons(one)]
        candidates = sure or candidates[:1]
    if len(candidates) > 1:
        alone = "write one to a file of its own (for example with `ogr2ogr one.gpkg FILE LAYER`)"
        advice = f"choose one with {option}" if option else alone
        names = ", ".join(one.name for one in candidates)
        raise RefusedError(f"has {len(candidates)} layers of polygons, {names}: {advice}")
    return candidates[0]


def _has_polygons(choice: Choice) -> bool:
    types = shapely.get_type_id(read_layer(choice, attributes=False, encoding=None).geometry)
    return bool(np.isin(types, (*POLYGONS, GEOMETRY_COLLECTION)).any())


def _crs(given: Any) -> pyproj.CRS:
    """The CRS of a file, if it has a place on Earth."""
    if given is None:
        raise RefusedError(f"has no CRS, so the place of its polygons is unknown; {ASSIGN}")
    crs = pyproj.CRS.from_user_input(given)
    if not (crs.is_geographic or crs.is_projected) or crs.name.lower().startswith("undefined"):
        raise RefusedError(
            f"has the CRS {crs.name!r} ({crs.type_name}), which has no place on Earth; {ASSIGN}"
        )
    return crs


def _shift(crs: pyproj.CRS) -> tuple[str, ...]:
    """A note where the datum of a CRS is not tied to WGS 84, so that PROJ takes both for the same."""
    if "Ballpark" not in pyproj.Transformer.from_crs(crs, WGS84, always_xy=True).description:
        return ()
    return (
        f"the place of {crs.name!r} in WGS 84 is known to some hundred metres only: reproject the file first",
    )


def _usable(
    raw: NDArray[np.object_], crs: pyproj.CRS
) -> tuple[geopandas.GeoSeries, dict[int, str], dict[int, str]]:
    """The polygons among geometries, the repaired ones and the others, both with reasons. A pure function.

    Returns:
        polygons (EPSG:4326) in the order of `raw`; position to the reason of a repair; position to the reason
        why a geometry is not among the polygons.
    """
    left_out: dict[int, str] = {}
    repairs: dict[int, str] = {}
    flat = shapely.force_2d(raw)
    for at in np.flatnonzero(~np.isin(shapely.get_type_id(flat), POLYGONS)):
        polygon = _collected(flat[at])
        if polygon is None:
            kind = "" if flat[at] is None else flat[at].geom_type
            left_out[int(at)] = NO_GEOMETRY if flat[at] is None else f"it is a {kind} without a polygon"
        else:
            flat[at], repairs[int(at)] = polygon, COLLECTION

    def leave(bad: NDArray[np.bool_], why: str) -> None:
        for at in np.flatnonzero(bad):
            left_out.setdefault(int(at), why)
            flat[at] = None

    leave(np.isin(np.arange(len(flat)), list(left_out)), "")
    leave(shapely.is_empty(flat), NO_AREA)
    leave(_any_point(flat, lambda xy: ~np.isfinite(xy).all(axis=1)), NO_PLACE)
    if crs.is_projected:
        metres = _any_point(flat, lambda xy: (np.abs(xy) > (360, 90)).any(axis=1))
        leave(~metres & ~shapely.is_missing(flat), DEGREES)
    flat = geopandas.GeoSeries(flat, crs=crs).to_crs(WGS84).to_numpy()
    leave(_any_point(flat, lambda xy: ~(np.abs(xy) <= (360, 90)).all(axis=1)), NO_PLACE)
    west, _, east, _ = shapely.bounds(flat).T
    for at in np.flatnonzero((east - west > HALF_TURN) | (west < -HALF_TURN) | (east > HALF_TURN)):
        cut = split_at_180(flat[at])
        flat[at] = flat[at] if cut.is_empty else cut  # one around the Earth has no short way
    invalid = ~shapely.is_missing(flat) & ~shapely.is_valid(flat)
    for at in np.flatnonzero(invalid):
        repairs[int(at)] = shapely.is_valid_reason(flat[at])
    flat = shapely.make_valid(flat, method="structure", keep_collapsed=False)
    leave(shapely.is_empty(flat), NO_AREA)
    kept = ~shapely.is_missing(flat)
    repairs = {at: why for at, why in sorted(repairs.items()) if kept[at]}
    return geopandas.GeoSeries(flat[kept], crs=WGS84), repairs, left_out


def _collected(geometry: BaseGeometry | None) -> BaseGeometry | None:
    """The polygons in a collection, at any depth, as one geometry; None without polygons or with curves."""
    if geometry is None or shapely.get_type_id(geometry) != GEOMETRY_COLLECTION:
        return None
    parts = [geometry]
    while any(shapely.get_type_id(part) in (6, GEOMETRY_COLLECTION) for part in parts):
        parts = list(shapely.get_parts(parts))
    types = shapely.get_type_id(parts)
    polygons = [part for part, kind in zip(parts, types, strict=True) if kind == 3 and not part.is_empty]
    if not polygons or max(types) > GEOMETRY_COLLECTION:
        return None
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _any_point(geometries: NDArray[np.object_], is_so: Any) -> NDArray[np.bool_]:
    """Whether any point of each geometry is so; `is_so` takes points (n, 2) and returns n truth values."""
    points, of = shapely.get_coordinates(geometries, return_index=True)
    found = np.zeros(len(geometries), bool)
    found[of[is_so(points)]] = True
    return found
