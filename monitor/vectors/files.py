"""Vector files opened: their layers, the geometries and CRS of one layer, its columns with their types.

Columns are kept as Arrow columns, in which a whole number stays a whole number and a list a list. A text is
decoded when it is used, strictly, with the encoding that the file or the user declares.
"""

from __future__ import annotations

import codecs
import json
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas
import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pyogrio.raw  # type: ignore[import-untyped]
import shapely
from numpy.typing import NDArray

from monitor.errors import RefusedError

#: endings of GeoParquet files
PARQUET = (".parquet", ".geoparquet")
#: endings of the vector files that are looked for in a zip file
ZIPPED = (".shp", ".gpkg", ".geojson", ".json", ".kml", ".fgb", ".gml", ".tab")
#: drivers of formats whose encoding the user may declare; the texts of the others are UTF-8
ENCODED = ("ESRI Shapefile", "CSV", "MapInfo File")
#: every byte is one character of it: texts are read in it as they are and decoded here
BYTES = "ISO-8859-1"
SHAPEFILE = "ESRI Shapefile"
#: bytes of the shortest text that may have been cut at the width of its column
SHORTEST_CUT = 10


@dataclass(frozen=True)
class Columns:
    """The columns of a layer, without its geometry, all rows.

    Attributes:
        names: in the order of the file; a name may occur twice.
        encoding: of the texts; None where the file does not declare it and the user did not.
        as_bytes: the texts were read as `BYTES`.
        may_be_cut: the format cuts texts at the width of their column.
    """

    names: tuple[str, ...]
    table: Any
    encoding: str | None = "utf-8"
    as_bytes: bool = False
    may_be_cut: bool = False

    def values(self, name: str) -> list[Any]:
        """The values of a column as Python objects, None where there is none.

        Raises:
            RefusedError: a text cannot be decoded.
        """
        import pyarrow as pa

        column = self.table.column(self.names.index(name))
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        if str(kind).endswith("json>"):  # GDAL's type of lists, objects, and columns of several types
            return [_from_json(value) for value in column.to_pylist()]
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            values: list[Any] = column.to_pylist()
            return values
        texts = column.cast(pa.large_binary()).to_pylist()
        return [text if text is None else self._decoded(text, name, row) for row, text in enumerate(texts)]

    def _decoded(self, text: bytes, name: str, row: int) -> str:
        raw = text.decode().encode(BYTES) if self.as_bytes else text
        try:
            # a text that was cut at the width of its column may end in half a character
            whole = not (self.may_be_cut and len(raw) >= SHORTEST_CUT)
            return codecs.getincrementaldecoder(self.encoding or "ascii")().decode(raw, whole)
        except UnicodeDecodeError as error:
            said = (
                f"is not {self.encoding}"
                if self.encoding
                else "is in an encoding that the file does not declare"
            )
            raise RefusedError(
                f"has texts that cannot be read: {raw!r} in column {name!r}, row {row}, {said}; declare its "
                "encoding, such as GBK, cp1252 or UTF-8 (`--encoding`, or a file .cpg beside a .shp)"
            ) from error


def _from_json(text: str | None) -> Any:
    """A list or an object; a text or number beside these in one column stays text."""
    if text is None or not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class Layer:
    """One layer as it is in the file.

    Attributes:
        geometry: shapely geometries, None where there is none or it cannot be read.
        crs: as the file gives it, in a form that `pyproj.CRS` takes; None if it gives none.
    """

    geometry: NDArray[np.object_]
    crs: Any
    columns: Columns


@dataclass(frozen=True)
class Choice:
    """A layer that can be chosen: its name, the data set that has it, the geometry type that it declares."""

    name: str
    dataset: str
    layer: str
    kind: str | None

    @property
    def may_hold_polygons(self) -> bool:
        return self.kind is not None and not any(word in self.kind for word in ("Point", "Line", "Circular"))


def layers(path: Path) -> list[Choice]:
    """The layers of a file that GDAL reads, or of the files in a zip file."""
    if path.suffix.lower() != ".zip":
        return [Choice(str(name), str(path), str(name), kind) for name, kind in pyogrio.list_layers(path)]
    found = [
        Choice(str(name), dataset, str(name), kind)
        for dataset in _zipped(path)
        for name, kind in pyogrio.list_layers(dataset)
    ]
    names = [one.name for one in found]
    return [
        one if names.count(one.name) == 1 else Choice(one.dataset, one.dataset, one.layer, one.kind)
        for one in found
    ]


def _zipped(path: Path) -> list[str]:
    """The vector files in a zip file, as GDAL addresses them."""
    with zipfile.ZipFile(path) as archive:
        members = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
    members = [one for one in members if not one.name.startswith("._")]
    folders = {one.parents[len(one.parents) - 2] for one in members if ".gdb" in str(one.parent).lower()}
    files = [one for one in members if one.suffix.lower() in ZIPPED]
    if not files and not folders:
        held = ", ".join(map(str, members[:5])) or "nothing"
        raise RefusedError(f"has no file that ends in {', '.join(ZIPPED)}; it holds {held}")
    return [f"/vsizip/{path.absolute()}/{one}" for one in sorted({*files, *folders})]


def read_layer(choice: Choice, *, attributes: bool, encoding: str | None) -> Layer:
    """Read a layer.

    Args:
        attributes: whether its columns are wanted; without, texts are not read.
        encoding: of its texts, as the user declares it; None for the one that the file declares.
    """
    meta, _, wkb, _ = pyogrio.raw.read(choice.dataset, layer=choice.layer, columns=[], encoding=BYTES)
    columns = _columns(choice, encoding) if attributes else Columns((), None)
    return Layer(geometries(wkb), meta["crs"], columns)


def _columns(choice: Choice, encoding: str | None) -> Columns:
    info = pyogrio.read_info(choice.dataset, layer=choice.layer)
    driver, declared = info["driver"], info["encoding"]
    if encoding is not None and driver not in ENCODED:
        raise RefusedError(f"is a file of {driver}, whose texts are UTF-8; leave out the encoding {encoding}")
    as_bytes = driver == SHAPEFILE and (encoding is not None or declared != "UTF-8")
    meta, table = pyogrio.raw.read_arrow(
        choice.dataset,
        layer=choice.layer,
        read_geometry=False,
        encoding=BYTES if as_bytes else None,
    )
    names = [str(name) for name in meta["fields"]]
    if as_bytes and encoding is not None:
        decoder = codecs.getincrementaldecoder(encoding)
        names = [decoder().decode(name.encode(BYTES)) for name in names]
    declared = encoding or (None if as_bytes else "utf-8")
    return Columns(tuple(names), table, declared, as_bytes, driver == SHAPEFILE)


def read_parquet(path: Path, *, attributes: bool) -> Layer:
    """Read a GeoParquet file; its columns, and the index of a data frame, keep their names.

    Raises:
        RefusedError: a Parquet file without outlines.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if b"geo" not in (table.schema.metadata or {}):
        raise RefusedError("is a table without outlines; give a file of polygons")
    geo = json.loads(table.schema.metadata[b"geo"])
    primary = geo["primary_column"]
    declared = geo["columns"][primary]
    if declared["encoding"] == "WKB":
        geometry = geometries(np.array(table.column(primary).to_pylist(), object))
        crs = declared.get("crs", "OGC:CRS84")
    else:
        frame = geopandas.read_parquet(path, columns=[primary])
        geometry, crs = frame.geometry.to_numpy(), frame.crs
    if not attributes:
        return Layer(geometry, crs, Columns((), None))
    kept = [number for number, name in enumerate(table.column_names) if name != primary]
    return Layer(geometry, crs, Columns(tuple(table.column_names[at] for at in kept), table.select(kept)))


def geometries(wkb: Any) -> NDArray[np.object_]:
    """Geometries from WKB; None where it is missing or damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of coordinates that are not finite
        return np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), object)
