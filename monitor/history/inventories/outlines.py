"""The lakes of an inventory's file: rows accounted for, columns read, outlines measured and sorted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
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
from monitor.history.inventories.values import (
    ValueLoss,
    day_reader,
    elevation_of,
    is_missing,
    label_of,
    plain_of,
    read_values,
    year_of,
)
from monitor.lakes.glaciers import glacier_distances
from monitor.lakes.uncertainty import area_sigma
from monitor.settings import Region
from monitor.vectors.polygons import Polygons, read_polygons
from storage.codes import Outcome
from storage.policy import FIRST_SEASON, LAST_SEASON

#: columns that are read from the file, besides the outline
COLUMNS = ("label", "attributes", "elevation_m", "first_day", "last_day")
#: reasons of rows that are left out although nothing is wrong with them
OTHER_YEAR, OUTSIDE, DUPLICATE = "of another year", "outside the region", "exact duplicate"
NO_YEAR = "it has no year"
#: rows and values that a message lists
LISTED = 5


@dataclass(frozen=True)
class Repair:
    """An invalid geometry that was repaired."""

    row: int
    label: str | None
    what: str


@dataclass(frozen=True)
class Loss:
    """A row that should be a lake of the season and cannot be used."""

    row: int
    why: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.why}"


@dataclass(frozen=True)
class InventoryLakes:
    """The lakes of one season of an inventory in a region, and an account of all other rows of the file.

    Attributes:
        rows: of the file; the lakes and the rows that are left out together.
        left_out: reason to number of rows that are no lakes of this season and region; duplicates included.
        lost: those of them that should be lakes.
        values_lost: values that are of another type than the mapping says; their lakes are used without them.
        notes: what else should be looked at.
    """

    lakes: geopandas.GeoDataFrame
    rows: int
    left_out: Dictionary[str, int]
    repairs: tuple[Repair, ...] = ()
    lost: tuple[Loss, ...] = ()
    values_lost: tuple[ValueLoss, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def duplicates(self) -> int:
        return self.left_out.get(DUPLICATE, 0)


def read_inventory(path: Path, mapping: Mapping) -> Polygons:
    """Read the polygons of `path` in EPSG:4326, and check the mapping's columns.

    Raises:
        RefusedError: several layers, no polygons, no CRS, or a missing column.
    """
    polygons = read_polygons(
        path,
        "inventory",
        attributes=True,
        layer=mapping.layer,
        encoding=mapping.encoding,
        layer_option="--layer",
    )
    mapping.check(path, polygons.columns.names)
    return polygons


def years_of(polygons: Polygons, mapping: Mapping) -> list[int]:
    """The seasons in a file with a year column.

    Raises:
        RefusedError: a value is no year; names rows and values.
    """
    return sorted({year for year in _years(polygons, mapping).values() if year is not None})


def _years(polygons: Polygons, mapping: Mapping) -> dict[int, int | None]:
    """The year of each row, None where it has none; empty without a year column."""
    if mapping.year is None:
        return {}
    values = dict(enumerate(polygons.values(mapping.year)))
    years, losses = read_values(mapping.year, values, year_of)
    if losses:
        raise RefusedError(
            f"{polygons.path}: {len(losses)} of {len(values)} values of {mapping.year!r} are not a year: "
            f"{_listed(losses)}. Correct these rows; where the year is unknown, leave the value empty"
        )
    return years


def prepare(polygons: Polygons, season: int, mapping: Mapping, region: Region) -> InventoryLakes:
    """The lakes of a season in a region, one row per outline with the mapping's columns, from west to east.

    Lakes are empty where the season's outlines all lie outside the region.

    Raises:
        RefusedError: no row of that season, a complete inventory of which a row is lost, or a column of which
            no value can be read.
    """
    path = polygons.path
    if not FIRST_SEASON <= season <= LAST_SEASON:
        raise RefusedError(
            f"{path}: {season} is no season; a season is a year from {FIRST_SEASON} to {LAST_SEASON}"
        )
    years = _years(polygons, mapping)
    reasons = dict(polygons.left_out)
    reasons |= {row: NO_YEAR for row, year in years.items() if year is None}
    reasons |= {row: OTHER_YEAR for row, year in years.items() if year not in (None, season)}
    if len(reasons) == len(polygons) and years and season not in years.values():
        held = ", ".join(map(str, years_of(polygons, mapping))) or "none"
        raise RefusedError(f"{path} has no row whose {mapping.year} is {season}; its years are {held}")
    lost = [Loss(row, why) for row, why in sorted(reasons.items()) if why != OTHER_YEAR]
    if lost and mapping.complete:
        raise RefusedError(
            f"{path}: {len(lost)} of {len(polygons)} rows cannot be used, so the inventory of {season} is "
            f"not complete: {_listed(lost)}. Correct or remove these rows, or import it with --partial"
        )
    if len(reasons) == len(polygons):
        raise RefusedError(f"{path} has no polygon of {season} that can be used: {_listed(lost)}")
    lakes = polygons.geometry.set_axis(polygons.rows)
    shapely.prepare(region.outline)
    inside = shapely.intersects(lakes.to_numpy(), region.outline)
    reasons |= {int(row): OUTSIDE for row in lakes.index[~inside] if row not in reasons}
    lakes = lakes[[row not in reasons for row in lakes.index]]
    single = [lake if len(shapely.get_parts(lake)) > 1 else shapely.get_parts(lake)[0] for lake in lakes]
    twice = pd.Series(shapely.to_wkb(shapely.normalize(single))).duplicated().to_numpy()
    reasons |= {int(row): DUPLICATE for row in lakes.index[twice]}
    lakes = lakes[~twice]
    columns, losses, notes = _columns(polygons, [int(row) for row in lakes.index], season, mapping)
    repairs = tuple(
        Repair(row, None if at is None else columns["label"][at], why)
        for row, why in polygons.repairs.items()
        if reasons.get(row) in (None, DUPLICATE)
        for at in [lakes.index.get_loc(row) if row in lakes.index else None]
    )
    frame = geopandas.GeoDataFrame(columns, geometry=lakes.to_numpy(), crs=lakes.crs)
    outside = [row for row, why in reasons.items() if why == OUTSIDE]
    notes += _place_notes(polygons, outside, frame, mapping, region)
    return InventoryLakes(
        west_to_east(frame),
        len(polygons),
        dict(Counter(reasons.values()).most_common()),
        repairs,
        tuple(lost),
        tuple(dict.fromkeys(losses)),  # first and last day can be one column
        (*polygons.notes, *notes),
    )


def _columns(
    polygons: Polygons, rows: list[int], season: int, mapping: Mapping
) -> tuple[dict[str, Any], list[ValueLoss], list[str]]:
    """The columns of a survey for `rows`, the values that cannot be read, and notes on the days."""
    losses: list[ValueLoss] = []
    advice = "; days that are written otherwise are declared in the mapping, such as `day_format: '%d/%m/%Y'`"

    def column(name: str | None, read: Callable[[Any], Any], hint: str = "") -> list[Any]:
        if name is None:
            return [None] * len(rows)
        values = polygons.values(name)
        given = {row: values[row] for row in rows}
        found, lost = read_values(name, given, read)
        if lost and len(lost) == sum(not is_missing(value) for value in given.values()):
            raise RefusedError(
                f"{polygons.path}: none of the {len(lost)} values of column {name!r} can be read: "
                f"{_listed(lost)}{hint}"
            )
        losses.extend(lost)
        return [found[row] for row in rows]

    day = day_reader(season, mapping.day_format)
    kept = {name: column(of, plain_of) for name, of in mapping.attributes.items()}
    first = column(mapping.first_day, day, advice)
    last = column(mapping.last_day or mapping.first_day, day, advice)
    for at, row in enumerate(rows):
        if first[at] is not None and last[at] is not None and last[at] < first[at]:
            value = f"{first[at]}, {last[at]}"
            losses.append(ValueLoss(row, "first_day, last_day", value, "the last day is before the first"))
            first[at] = last[at] = None
    other = sorted(one for one in {*first, *last} - {None} if one.year != season)
    number = sum(any(one and one.year != season for one in pair) for pair in zip(first, last, strict=True))
    return (
        {
            "label": column(mapping.label, label_of),
            "elevation_m": np.array(column(mapping.elevation_m, elevation_of), float),
            "first_day": first,
            "last_day": last,
            "attributes": [
                {name: values[at] for name, values in kept.items() if values[at] is not None}
                for at in range(len(rows))
            ],
        },
        losses,
        [f"the days of {number} lakes are not of {season}: {other[0]} to {other[-1]}"] if other else [],
    )


def _place_notes(
    polygons: Polygons, outside: list[int], lakes: geopandas.GeoDataFrame, mapping: Mapping, region: Region
) -> list[str]:
    """Where the rows outside the region lie, and how many lakes lie outside the mapping's bounds."""
    notes = []
    if outside:
        found = polygons.geometry.set_axis(polygons.rows)[outside]
        west, south, east, north = found.total_bounds
        turned = [shapely.transform(outline, lambda xy: xy[:, ::-1]) for outline in found]
        swapped = int(shapely.intersects(turned, region.outline).sum())
        box = ", ".join(f"{value:g}" for value in region.outline.bounds)
        notes.append(
            f"{len(outside)} rows lie outside the region {region.name} ({box}), in "
            f"{west:g}, {south:g}, {east:g}, {north:g} (west, south, east, north in degrees)"
            + (f"; {swapped} of them lie in it with x and y swapped" if swapped else "")
        )
    if mapping.bounds is not None and len(lakes):
        beyond = int((~shapely.intersects(lakes.geometry.to_numpy(), shapely.box(*mapping.bounds))).sum())
        if beyond:
            notes.append(f"{beyond} lakes lie outside the bounds of the inventory and are used")
    return notes


def _listed(losses: list[Loss] | list[ValueLoss]) -> str:
    more = f" and {len(losses) - LISTED} more" if len(losses) > LISTED else ""
    return "; ".join(map(str, losses[:LISTED])) + more


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
