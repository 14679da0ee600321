"""Reading of polygons from files of the user: regions, glacier outlines, inventories."""

from __future__ import annotations

from pathlib import Path

import geopandas
from pyogrio.errors import DataSourceError  # type: ignore[import-untyped]

from monitor.errors import RefusedError


def read_polygons(path: Path, subject: str) -> geopandas.GeoDataFrame:
    """Read polygons from a vector file or GeoParquet; invalid ones are repaired.

    Args:
        subject: the setting or option with the path, for error messages.

    Returns:
        GeoDataFrame (EPSG:4326) with the columns of the file and row (in the file, from 0), repaired (bool:
        whether the geometry was invalid) and why (the reason why it was invalid, or None).

    Raises:
        RefusedError: no file, not readable, no CRS, or no polygon; names `subject` and the path.
    """
    if not path.exists():
        raise RefusedError(f"{subject}: there is no file {path}")
    try:
        frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)
    except (DataSourceError, ValueError, OSError) as error:
        raise RefusedError(f"{subject}: {path} cannot be read as polygons: {error}") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise RefusedError(f"{subject}: {path} is a table without outlines; give a file of polygons")
    if frame.crs is None:
        raise RefusedError(
            f"{subject}: {path} has no CRS, so the place of its polygons is unknown; "
            "assign the right one (for example with `ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`) and try again"
        )
    frame["row"] = range(len(frame))
    frame = frame[frame.geometry.notna() & frame.geom_type.isin(["Polygon", "MultiPolygon"])]
    if frame.empty:
        raise RefusedError(f"{subject}: {path} contains no polygon")
    frame = frame.to_crs(4326)
    frame["repaired"] = ~frame.is_valid
    frame["why"] = frame.geometry.is_valid_reason().where(frame.repaired, None)
    frame.geometry = frame.make_valid(method="structure", keep_collapsed=False)
    frame = frame[~frame.is_empty]  # an outline without area is empty after its repair
    if frame.empty:
        raise RefusedError(f"{subject}: {path} contains no polygon with an area")
    return frame.reset_index(drop=True)
