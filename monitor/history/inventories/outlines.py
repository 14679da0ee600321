"""The lakes of an inventory's file: columns read, outlines repaired, measured and sorted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.grid import in_utm
from monitor.history.inventories.mapping import Mapping
from monitor.lakes.glaciers import glacier_distances
from monitor.lakes.uncertainty import area_sigma
from monitor.vectors import read_polygons
from storage.codes import Outcome

#: columns that are read from the file, besides the outline
COLUMNS = ("label", "attributes", "elevation_m", "first_day", "last_day")


@dataclass(frozen=True)
class Repair:
    """An invalid geometry that was repaired."""

    row: int
    label: str | None
    what: str


@dataclass(frozen=True)
class InventoryLakes:
    """The lakes of one season of an inventory, with the number of duplicates and the repairs."""

    lakes: geopandas.GeoDataFrame
    duplicates: int
    repairs: tuple[Repair, ...] = field(default=())


def read_inventory(path: Path, mapping: Mapping) -> geopandas.GeoDataFrame:
    """Read the polygons of `path` in EPSG:4326, and check the mapping's columns.

    Raises:
        RefusedError: no polygons, no CRS, or a missing column.
    """
    polygons = read_polygons(path, "inventory")
    mapping.check(path, [str(c) for c in polygons.columns if c not in ("geometry", "repaired", "why")])
    return polygons


def years_of(polygons: geopandas.GeoDataFrame, mapping: Mapping) -> list[int]:
    """The seasons in a file with a year column."""
    if mapping.year is None:
        return []
    return sorted({int(year) for year in polygons[mapping.year].dropna()})


def of_season(
    polygons: geopandas.GeoDataFrame, path: Path, season: int, mapping: Mapping
) -> geopandas.GeoDataFrame:
    """The polygons of a season; all of them if the file has no year column.

    Raises:
        RefusedError: no row of that season.
    """
    if mapping.year is None:
        return polygons
    chosen = polygons[pd.to_numeric(polygons[mapping.year], errors="coerce") == season]
    if chosen.empty:
        held = ", ".join(map(str, years_of(polygons, mapping))) or "none"
        raise RefusedError(f"{path} has no row whose {mapping.year} is {season}; its years are {held}")
    return chosen


def prepare(polygons: geopandas.GeoDataFrame, mapping: Mapping) -> InventoryLakes:
    """One row per outline with the mapping's columns, from west to east, without duplicates."""
    columns: dict[str, Any] = {"label": _texts(polygons, mapping.label)}
    columns["elevation_m"] = _numbers(polygons, mapping.elevation_m)
    columns["first_day"] = _days(polygons, mapping.first_day)
    columns["last_day"] = _days(polygons, mapping.last_day or mapping.first_day)
    kept = {name: polygons[column] for name, column in mapping.attributes.items()}
    columns["attributes"] = [
        {name: _plain(values.iloc[at]) for name, values in kept.items() if pd.notna(values.iloc[at])}
        for at in range(len(polygons))
    ]
    # areas do not need a third dimension, and duplicates that differ in it would not be equal
    flat = shapely.force_2d(polygons.geometry.to_numpy())
    frame = geopandas.GeoDataFrame(columns, geometry=flat, crs=polygons.crs)
    repairs = tuple(
        Repair(int(row), label, why)
        for row, label, repaired, why in zip(
            polygons.row, columns["label"], polygons.repaired, polygons.why, strict=True
        )
        if repaired
    )
    unique = frame[~frame.geometry.normalize().to_wkb().duplicated()]
    return InventoryLakes(west_to_east(unique), len(frame) - len(unique), repairs)


def measured(
    lakes: geopandas.GeoDataFrame, pixel_m: float, glaciers: BaseGeometry | None
) -> geopandas.GeoDataFrame:
    """Lakes as observations, with area, its error due to the shoreline, perimeter and distance to a glacier.

    Every lake counts as seen whole.
    """
    metres = in_utm(lakes.geometry)
    perimeters = shapely.length(metres)
    sigma = [area_sigma(perimeter, pixel_m) for perimeter in perimeters]
    return lakes.assign(
        outcome=Outcome.WATER.value,
        reason=None,
        sigma_m2=sigma,
        sigma_shore_m2=sigma,
        perimeter_m=perimeters,
        area_m2=shapely.area(metres),
        seen_share=1.0,
        glacier_m=None if glaciers is None else glacier_distances(lakes.geometry, glaciers),
    )


def west_to_east(lakes: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Lakes in an order that does not depend on the file, so that a shuffled file is the same inventory."""
    bounds = lakes.geometry.bounds.assign(wkb=lakes.geometry.to_wkb())
    order = bounds.sort_values(["minx", "miny", "maxx", "maxy", "wkb"]).index
    return lakes.loc[order].reset_index(drop=True)


def columns_bytes(lakes: geopandas.GeoDataFrame) -> bytes:
    """The values of `COLUMNS` as bytes, for a digest."""
    return repr([lakes[column].tolist() for column in COLUMNS]).encode()


def _texts(polygons: geopandas.GeoDataFrame, column: str | None) -> list[str | None]:
    if column is None:
        return [None] * len(polygons)
    return [str(value) if pd.notna(value) and str(value) else None for value in polygons[column]]


def _numbers(polygons: geopandas.GeoDataFrame, column: str | None) -> Any:
    if column is None:
        return np.full(len(polygons), np.nan)
    return pd.to_numeric(polygons[column], errors="coerce").to_numpy(float)


def _days(polygons: geopandas.GeoDataFrame, column: str | None) -> list[date | None]:
    if column is None:
        return [None] * len(polygons)
    days = pd.to_datetime(polygons[column], errors="coerce")
    return [None if pd.isna(day) else day.date() for day in days]


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, str | int | float | bool) else str(plain)
