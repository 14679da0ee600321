"""Reading polygons that people bring: regions, glacier outlines, inventories."""

from __future__ import annotations

from pathlib import Path

import geopandas
from pyogrio.errors import DataSourceError  # type: ignore[import-untyped]

from monitor.errors import RefusedError


def read_polygons(path: Path, what: str) -> geopandas.GeoDataFrame:
    """Polygons of any vector file or GeoParquet, repaired where invalid, in EPSG:4326.

    The frame carries `row` (of the file, from 0), `repaired` (bool): whether the geometry had to be mended,
    and `why` (what was wrong with it, or None).

    Raises:
        RefusedError: no file, not readable, no CRS, or no polygon; names `what` and the path.
    """
    if not path.exists():
        raise RefusedError(f"{what}: there is no file {path}")
    try:
        frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)
    except (DataSourceError, ValueError, OSError) as error:
        raise RefusedError(f"{what}: {path} cannot be read as polygons: {error}") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise RefusedError(f"{what}: {path} is a table without outlines; give a file of polygons")
    if frame.crs is None:
        raise RefusedError(
            f"{what}: {path} has no CRS, so its coordinates mean nothing; "
            "assign the right one (for example with `ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`) and try again"
        )
    frame["row"] = range(len(frame))
    frame = frame[frame.geometry.notna() & frame.geom_type.isin(["Polygon", "MultiPolygon"])]
    if frame.empty:
        raise RefusedError(f"{what}: {path} holds no polygon")
    frame = frame.to_crs(4326)
    frame["repaired"] = ~frame.is_valid
    frame["why"] = frame.geometry.is_valid_reason().where(frame.repaired, None)
    frame.geometry = frame.make_valid(method="structure", keep_collapsed=False)
    frame = frame[~frame.is_empty]  # an outline without any area is a line, not a lake
    if frame.empty:
        raise RefusedError(f"{what}: {path} holds no polygon with an area")
    return frame.reset_index(drop=True)
