"""Writers of streamed tables: GeoPackage, GeoParquet, GeoJSON and CSV. One batch is in memory at a time.

GeoJSON and CSV keep seven decimals of a degree (a centimetre), the others every bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import pyogrio  # type: ignore[import-untyped]
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError  # type: ignore[import-untyped]

from monitor.drawing.text import FORMULA
from monitor.errors import MonitorError
from monitor.export.formats import TableFormat
from monitor.export.styles import Style
from storage.exports import GEOMETRY

#: rows of a row group of GeoParquet; readers skip row groups by their bounds
ROW_GROUP = 20_000
_BOX = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class Tally:
    """Row count and bounds of a stream, updated as it is read."""

    columns: pa.Schema
    rows: int = 0
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north of all outlines, degrees."""
    error: BaseException | None = None
    """The exception that ended the stream; the libraries in between hide it."""

    def watch(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """The same stream; its batches are counted when they are read."""
        return pa.RecordBatchReader.from_batches(reader.schema, self._through(reader))

    def _through(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                self.rows += batch.num_rows
                self.grow(_outlines(batch))
                yield batch
        except BaseException as error:
            self.error = error
            raise

    def grow(self, outlines: NDArray[np.object_]) -> None:
        """Extend the bounds by these outlines."""
        west, south, east, north = (float(edge) for edge in shapely.total_bounds(outlines))
        if math.isnan(west):
            return
        if self.bounds is not None:
            w, s, e, n = self.bounds
            west, south, east, north = min(w, west), min(s, south), max(e, east), max(n, north)
        self.bounds = west, south, east, north


@dataclass(frozen=True)
class Layer:
    """A table to write: name, title, rows and map style."""

    name: str
    title: str
    open: Callable[[], AbstractContextManager[pa.RecordBatchReader]]
    style: Style | None = field(default=None)


def write_tables(path: Path, kind: TableFormat, layers: list[Layer]) -> dict[str, Tally]:
    """Write the layers, one after the other, to a new file; only a GeoPackage can hold more than one.

    Raises:
        MonitorError: the file cannot be written.
        StorageError: the rows cannot be read.
    """
    tallies: dict[str, Tally] = {}
    for layer in layers:
        with layer.open() as reader:
            tally = tallies[layer.name] = Tally(reader.schema)
            with _refusals_are_clear(path, tally):
                _WRITERS[kind](path, layer, tally.watch(reader))
    if kind is TableFormat.GPKG:
        with _refusals_are_clear(path):
            _write_styles(path, layers)
    return tallies


@contextmanager
def _refusals_are_clear(path: Path, tally: Tally | None = None) -> Iterator[None]:
    try:
        yield
    except (DataSourceError, RuntimeError, pa.ArrowException, OSError) as error:
        if tally is not None and tally.error is not None:
            raise tally.error from error
        raise MonitorError(
            f"{path} could not be written: {error}; no file was left there. Check the free space on its "
            "disk, and run the same command again"
        ) from error


def _write_geopackage(path: Path, layer: Layer, rows: pa.RecordBatchReader) -> None:
    options = {"SPATIAL_INDEX": "YES", "IDENTIFIER": layer.title, "DESCRIPTION": layer.title}
    _write_ogr(path, layer, rows, "GPKG", options)


def _write_geojson(path: Path, layer: Layer, rows: pa.RecordBatchReader) -> None:
    # text that looks like JSON stays text, as in the other formats
    options = {"RFC7946": "YES", "WRITE_BBOX": "YES", "AUTODETECT_JSON_STRINGS": "NO"}
    _write_ogr(path, layer, rows, "GeoJSON", {**options, "DESCRIPTION": layer.title})


def _write_ogr(
    path: Path, layer: Layer, rows: pa.RecordBatchReader, driver: str, options: dict[str, str]
) -> None:
    pyogrio.write_arrow(
        rows,
        path,
        layer=layer.name,
        driver=driver,
        geometry_name=GEOMETRY,
        geometry_type="MultiPolygon",
        crs="EPSG:4326",
        layer_options=options,
    )


def _write_parquet(path: Path, layer: Layer, rows: pa.RecordBatchReader) -> None:
    """GeoParquet 1.1: WKB, with the bounds of each outline in a column for filters."""
    box = pa.struct([(name, pa.float64()) for name in _BOX])
    schema = rows.schema.append(pa.field("bbox", box))
    total, types = Tally(rows.schema), set[str]()
    # if the file held Arrow's schema, Arrow would look for `geo` in it
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for table in _grouped(rows):
            outlines = _outlines(table)
            total.grow(outlines)
            types |= {shape.geom_type for shape in outlines if shape is not None}
            edges = shapely.bounds(outlines)
            absent = pa.array(shapely.is_missing(outlines))
            bounds = pa.StructArray.from_arrays(
                [pa.array(edges[:, at], from_pandas=True) for at in range(4)], list(_BOX), mask=absent
            )
            writer.write_table(table.append_column(schema.field("bbox"), bounds), row_group_size=ROW_GROUP)
        geo = _geo()
        column = geo["columns"][GEOMETRY] | {"geometry_types": sorted(types)}
        column |= {} if total.bounds is None else {"bbox": list(total.bounds)}
        geo["columns"][GEOMETRY] = column
        writer.add_key_value_metadata({"geo": json.dumps(geo), "title": layer.title})


def _geo() -> dict[str, Any]:
    """GeoParquet metadata as geopandas writes it: version, CRS, encoding, covering; no types, no bounds."""
    model, file = geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4326), BytesIO()
    model.to_parquet(file, schema_version="1.1.0", write_covering_bbox=True)
    geo: dict[str, Any] = json.loads(pyarrow.parquet.read_schema(file).metadata[b"geo"])
    del geo["columns"][GEOMETRY]["bbox"]
    return geo


def _write_csv(path: Path, layer: Layer, rows: pa.RecordBatchReader) -> None:
    """UTF-8 with a header line; outlines as WKT in the last column."""
    at = rows.schema.get_field_index(GEOMETRY)
    schema = rows.schema.set(at, pa.field(GEOMETRY, pa.string()))
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for batch in rows:
            words = shapely.to_wkt(_outlines(batch), rounding_precision=7)
            cells = [_cells(column) for column in batch.columns]
            arrays = [*cells[:at], pa.array(words, pa.string()), *cells[at + 1 :]]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _cells(column: pa.Array) -> pa.Array:
    """A column of which no text is a formula to a spreadsheet."""
    if not pa.types.is_string(column.type):
        return column
    return pyarrow.compute.replace_substring_regex(column, FORMULA, r"'\1")


_WRITERS: dict[TableFormat, Callable[[Path, Layer, pa.RecordBatchReader], None]] = {
    TableFormat.GPKG: _write_geopackage,
    TableFormat.GEOPARQUET: _write_parquet,
    TableFormat.GEOJSON: _write_geojson,
    TableFormat.CSV: _write_csv,
}


def _grouped(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The stream as tables of about one row group each."""
    held: list[pa.RecordBatch] = []
    for batch in rows:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROW_GROUP:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _outlines(batch: pa.RecordBatch | pa.Table) -> NDArray[np.object_]:
    blobs = batch.column(GEOMETRY).to_numpy(zero_copy_only=False)
    return np.asarray(shapely.from_wkb(np.asarray(blobs, object)), object)


def _write_styles(path: Path, layers: list[Layer]) -> None:
    """Write the table `layer_styles`, from which QGIS takes the default style of a layer."""
    styled = [(layer, layer.style) for layer in layers if layer.style is not None]
    rows = pd.DataFrame(
        {
            # empty, not missing: QGIS asks for these as ''
            "f_table_catalog": ["" for _ in styled],
            "f_table_schema": "",
            "f_table_name": [layer.name for layer, _ in styled],
            "f_geometry_column": "geom",
            "styleName": [style.title for _, style in styled],
            "styleQML": [style.qml for _, style in styled],
            "styleSLD": [style.sld for _, style in styled],
            "useAsDefault": True,
            "description": [layer.title for layer, _ in styled],
            "owner": "",
            "ui": None,
            "update_time": pd.Timestamp(datetime.now(UTC)).floor("s"),
        }
    ).astype({"ui": "string"})
    pyogrio.write_dataframe(rows, path, layer="layer_styles", driver="GPKG", layer_options={"FID": "id"})
