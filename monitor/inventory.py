"""Other people's inventories, imported as surveys: the same tables, the same identities, the same changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as Dictionary
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import geopandas
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.error import area_sigma
from monitor.errors import RefusedError
from monitor.glaciers import glacier_distances
from monitor.grid import WGS84, in_utm
from monitor.mapping import Mapping
from monitor.match import NAMESPACE, lineage_frame, match, minted_frame, references, turning_points
from monitor.settings import Region
from monitor.survey import Rows, flag_frame
from monitor.suspect import suspicion
from monitor.telling import Redraw, Source, retell, tell
from monitor.triage import season_flag
from monitor.vectors import read_polygons
from storage import history, inventories, registry
from storage.codes import Outcome, SurveyKind
from storage.database import Database
from storage.history import Survey
from storage.inventories import Inventory
from storage.told import Place, Told

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: why a lake that a complete inventory leaves out counts as dry
LEFT_OUT = "left out by an inventory that is complete"
#: inventories drew what they drew from whole views
COLUMNS = ("label", "attributes", "elevation_m", "first_day", "last_day")


@dataclass(frozen=True)
class Repair:
    """A geometry that was not valid and was mended."""

    row: int
    label: str | None
    what: str


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    season: int
    lakes: int
    minted: int
    duplicates: int
    #: False when exactly this inventory stood there already
    changed: bool
    repairs: tuple[Repair, ...] = ()
    #: why this season's losses are not believed
    suspect: str | None = None
    #: later surveys that came out differently: (region, season)
    retold: tuple[tuple[str, int], ...] = ()
    #: later surveys that have to be told again, but not from here: (region, season)
    left: tuple[tuple[str, int], ...] = ()

    @property
    def repaired(self) -> int:
        return len(self.repairs)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "repaired": self.repaired}


@dataclass(frozen=True)
class Drawn:
    """An inventory's lakes of one season, made ready."""

    lakes: geopandas.GeoDataFrame
    duplicates: int
    repairs: tuple[Repair, ...] = field(default=())


def read_inventory(path: Path, mapping: Mapping) -> geopandas.GeoDataFrame:
    """The polygons of `path` with the mapping's columns checked, in EPSG:4326.

    Raises:
        RefusedError: no polygons, no CRS, or a column that is not there.
    """
    polygons = read_polygons(path, "inventory")
    mapping.check(path, [str(c) for c in polygons.columns if c not in ("geometry", "repaired", "why")])
    return polygons


def years_of(polygons: geopandas.GeoDataFrame, mapping: Mapping) -> list[int]:
    """The seasons that a file with a year column holds."""
    if mapping.year is None:
        return []
    return sorted({int(year) for year in polygons[mapping.year].dropna()})


def import_inventory(
    database: Database,
    path: Path,
    *,
    region: Region,
    season: int,
    mapping: Mapping = Mapping(),  # noqa: B008 - frozen
    polygons: geopandas.GeoDataFrame | None = None,
    redraw: Dictionary[SurveyKind, Redraw] | None = None,
) -> Imported:
    """Import the polygons of `path` as what its source mapped in `season`; twice gives the same as once.

    An inventory says where lakes are, not where it looked: a known lake it leaves out is not thereby dry,
    unless the mapping calls it complete. Surveys of later seasons are told again where this one changes them.

    Args:
        polygons: as from `read_inventory`, when the file was read already.
        redraw: how to tell surveys of other kinds again; those without wait for the next run.

    Raises:
        RefusedError: no polygons, no CRS, a column or a season that is not there.
    """
    polygons = read_inventory(path, mapping) if polygons is None else polygons
    drawn = _prepare(_of_season(polygons, path, season, mapping), mapping)
    lakes = drawn.lakes
    source = mapping.source or path.name
    told = mapping.model_dump_json()
    digest = hashlib.sha256(told.encode() + b"".join(lakes.geometry.to_wkb()) + _said(lakes)).hexdigest()
    inventory = Inventory(
        id=uuid5(NAMESPACE, f"inventory|{season}|{source}|{digest}"),
        source=source,
        season=season,
        file=path.name,
        digest=digest,
        mapping=mapping.model_dump(mode="json", exclude_none=True),
        complete=mapping.complete,
        pixel_m=mapping.pixel_m,
        polygons=len(lakes) + drawn.duplicates,
        repaired=len(drawn.repairs),
        duplicates=drawn.duplicates,
        citation=mapping.citation,
        licence=mapping.licence,
    )
    lakes = measured(lakes, mapping.pixel_m, region.glaciers)
    covered = mapping.covered(region.outline)
    minted: list[int] = []

    def draw(told: Told) -> Rows:
        rows = draw_inventory(
            told,
            lakes,
            region.name,
            covered,
            season,
            complete=inventory.complete,
            before=complete_before,
        )
        minted.append(len(rows.lakes))
        return rows

    with database.begin() as conn:
        history.lock(conn)
        registry.upsert_region(conn, region.name, region.outline, region.settings.model_dump(mode="json"))
        inventories.add(conn, inventory)
        complete_before = inventories.complete_before(conn, region.name, season)
        place = Place(region.name, season, SurveyKind.INVENTORY, source)
        survey, changed = tell(conn, Source(place, digest, inventory_id=inventory.id), draw)
    retold = retell(database, {SurveyKind.INVENTORY: redraw_inventory, **(redraw or {})})
    return Imported(
        season=season,
        lakes=len(lakes),
        minted=sum(minted) if changed else 0,
        duplicates=drawn.duplicates,
        changed=changed,
        repairs=drawn.repairs,
        suspect=survey.suspect,
        retold=tuple((other.region, other.season) for other in retold.changed),
        left=tuple((other.region, other.season) for other in retold.left),
    )


def redraw_inventory(conn: Connection, survey: Survey) -> bool:
    """Tell an inventory again, from the outlines that the history keeps of it."""
    drawn = history.drawn_by(conn, survey.id).drop(columns="lake_id")
    # worked out as at the import: the database's own areas differ in the fourth digit
    drawn["area_m2"] = shapely.area(in_utm(drawn.geometry))
    inventory = None if survey.inventory_id is None else inventories.get(conn, survey.inventory_id)
    mapping = Mapping() if inventory is None else Mapping.model_validate(inventory.mapping)
    covered = mapping.covered(registry.region_outline(conn, survey.region))
    _, changed = tell(
        conn,
        Source.of(survey),
        lambda told: draw_inventory(
            told,
            _from_west_to_east(drawn),
            survey.region,
            covered,
            survey.season,
            complete=mapping.complete,
            before=inventories.complete_before(conn, survey.region, survey.season),
        ),
        run_id=survey.run_id,
    )
    return changed


def draw_inventory(
    told: Told,
    lakes: geopandas.GeoDataFrame,
    region: str,
    outline: BaseGeometry | None,
    season: int,
    *,
    complete: bool,
    before: bool,
) -> Rows:
    """The rows of an inventory's season. Pure.

    Args:
        lakes: what it drew, with area_m2 and the columns of observations other than lake_id (EPSG:4326).
        outline: what it covers of the region; None where that is not known.
        complete: it drew every lake of the region.
        before: so did an inventory of an earlier season, so that a lake not known before is new.
    """
    reference = references(told.observations, told.lineage, season)
    matching = match(reference, lakes.geometry, region, season, older=told.older, forgotten=told.forgotten)
    water = lakes.drop(columns="area_m2").assign(lake_id=list(matching.lake_ids))
    missing = [lake for lake in matching.missing if _inside(reference.geometry[lake], outline)]
    absent = pd.DataFrame(
        {
            "lake_id": missing if complete else [],
            "outcome": Outcome.DRY.value,
            "reason": LEFT_OUT,
            "geometry": None,
            "seen_share": 1.0,
        }
    )
    suspect = suspicion(reference, matching, water, lakes.area_m2.to_numpy(float), absent, missing)
    if suspect:
        absent = absent.assign(outcome=Outcome.NOT_OBSERVED.value, reason=f"suspect season: {suspect.why}")
    dry = absent.lake_id[absent.outcome == Outcome.DRY].tolist()
    new = sorted(matching.young) if complete and before else []
    turns = turning_points(reference, matching, dry, new)
    observations = pd.concat([water, absent], ignore_index=True) if len(absent) else water
    whole = outline if outline is not None else shapely.box(*lakes.total_bounds)
    return Rows(
        observations=geopandas.GeoDataFrame(observations, geometry="geometry", crs=WGS84),
        lakes=minted_frame(matching, lakes.geometry),
        lineage=lineage_frame((*matching.lineage, *turns)),
        flags=flag_frame([season_flag(whole, suspect)] if suspect else []),
        suspect=suspect.why if suspect else None,
    )


def _inside(lake: BaseGeometry, outline: BaseGeometry | None) -> bool:
    return outline is None or bool(outline.covers(lake.representative_point()))


def _of_season(
    polygons: geopandas.GeoDataFrame, path: Path, season: int, mapping: Mapping
) -> geopandas.GeoDataFrame:
    if mapping.year is None:
        return polygons
    chosen = polygons[pd.to_numeric(polygons[mapping.year], errors="coerce") == season]
    if chosen.empty:
        held = ", ".join(map(str, years_of(polygons, mapping))) or "none"
        raise RefusedError(f"{path} has no row whose {mapping.year} is {season}; its years are {held}")
    return chosen


def _prepare(polygons: geopandas.GeoDataFrame, mapping: Mapping) -> Drawn:
    """One row an outline with the mapping's columns, in an order; what was mended and left out."""
    columns: dict[str, Any] = {"label": _texts(polygons, mapping.label)}
    columns["elevation_m"] = _numbers(polygons, mapping.elevation_m)
    columns["first_day"] = _days(polygons, mapping.first_day)
    columns["last_day"] = _days(polygons, mapping.last_day or mapping.first_day)
    kept = {name: polygons[column] for name, column in mapping.attributes.items()}
    columns["attributes"] = [
        {name: _plain(values.iloc[at]) for name, values in kept.items() if pd.notna(values.iloc[at])}
        for at in range(len(polygons))
    ]
    # a third dimension is of no use to an area, and would make two of a lake that is drawn twice
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
    return Drawn(_from_west_to_east(unique), len(frame) - len(unique), repairs)


def measured(
    lakes: geopandas.GeoDataFrame, pixel_m: float, glaciers: BaseGeometry | None
) -> geopandas.GeoDataFrame:
    """With the error of the shoreline, the perimeter, the nearest glacier; drawn from whole views."""
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


def _from_west_to_east(lakes: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """In an order of their own, so that a shuffled file is the same inventory."""
    bounds = lakes.geometry.bounds.assign(wkb=lakes.geometry.to_wkb())
    order = bounds.sort_values(["minx", "miny", "maxx", "maxy", "wkb"]).index
    return lakes.loc[order].reset_index(drop=True)


def _said(lakes: geopandas.GeoDataFrame) -> bytes:
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
