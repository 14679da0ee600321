"""Import of published inventories, which are recorded as surveys in the same tables as those of models."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping as Dictionary
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import geopandas
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.grid import in_utm
from monitor.history.inventories.draft import EarlierInventory, draft_inventory
from monitor.history.inventories.mapping import Mapping
from monitor.history.inventories.outlines import (
    InventoryLakes,
    Loss,
    Repair,
    columns_bytes,
    measured,
    west_to_east,
)
from monitor.history.inventories.values import ValueLoss
from monitor.history.record import SurveyInputs, record, survey_state
from monitor.settings import NAMESPACE, Region
from storage import history, inventories, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.history import Survey
from storage.inventories import Inventory
from storage.prior import SurveyKey, prior_surveys

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class Imported:
    """The result of an import."""

    season: int
    lakes: int
    minted: int
    duplicates: int
    #: False if the same inventory was already current
    changed: bool
    #: of the file: the lakes and the rows that are left out
    rows: int = 0
    #: reason to number of the rows that are left out, duplicates included
    left_out: Dictionary[str, int] = field(default_factory=dict)
    #: rows that should be lakes and cannot be used
    lost: tuple[Loss, ...] = ()
    #: values of another type than the mapping says, without which their lakes are used
    values_lost: tuple[ValueLoss, ...] = ()
    notes: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()
    #: why the losses of this season are doubted, None if they are not
    suspect: str | None = None
    #: surveys that a replay has changed: (region, season)
    replayed: tuple[tuple[str, int], ...] = ()
    #: surveys that are stale and cannot be replayed from this workspace: (region, season)
    stale: tuple[tuple[str, int], ...] = ()

    @property
    def repaired(self) -> int:
        return len(self.repairs)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "repaired": self.repaired}


def record_inventory(
    database: Database, path: Path, prepared: InventoryLakes, *, region: Region, season: int, mapping: Mapping
) -> Imported:
    """Record the lakes of a season of the file `path` as a survey; a repeated import changes nothing.

    The area in which an inventory was searched for lakes is not known. A known lake that it leaves out is
    therefore not recorded as dry, unless the mapping declares the inventory complete.

    Args:
        prepared: from `prepare`. Without a lake, nothing is recorded.

    Raises:
        RefusedError: bounds outside the region, or an inventory of this name with other outlines is known and
            the mapping does not name its source.
    """
    inventory = _inventory(path, season, mapping, prepared)
    covered = mapping.covered(region.outline)
    if covered is None or covered.is_empty:
        raise RefusedError(
            f"bounds {[*(mapping.bounds or ())]} do not overlap the region {region.name}, which lies in "
            f"{[*region.outline.bounds]} (west, south, east, north in degrees)"
        )
    result = Imported(
        season,
        len(prepared.lakes),
        minted=0,
        duplicates=prepared.duplicates,
        changed=False,
        rows=prepared.rows,
        left_out=prepared.left_out,
        lost=prepared.lost,
        values_lost=prepared.values_lost,
        notes=prepared.notes,
        repairs=prepared.repairs,
    )
    if prepared.lakes.empty:
        return result
    lakes = measured(prepared.lakes, mapping.pixel_m, region.glaciers)
    key = SurveyKey(region.name, season, SurveyKind.INVENTORY, inventory.source)
    with database.begin() as conn:
        history.lock(conn)
        registry.upsert_region(conn, region.name, region.outline, region.settings.model_dump(mode="json"))
        inventories.add(conn, inventory)
        state = survey_state(conn, SurveyInputs(key, inventory.digest, inventory_id=inventory.id))
        if state.current is not None and state.up_to_date:
            return replace(result, suspect=state.current.suspect)
        if state.replaced is not None and mapping.source is None:
            _refuse_namesake(conn, state.replaced, lakes, path, inventory)
        prior = prior_surveys(conn, key, replaced=state.replaced)
        draft = draft_inventory(
            prior,
            lakes,
            region.name,
            covered,
            season,
            complete=inventory.complete,
            earlier=_earlier(conn, region.name, region.outline, season),
        )
        survey, changed = record(conn, state, draft)
    minted = len(draft.lakes) if changed else 0
    return replace(result, minted=minted, changed=changed, suspect=survey.suspect)


def _refuse_namesake(
    conn: Connection, current: UUID, lakes: geopandas.GeoDataFrame, path: Path, inventory: Inventory
) -> None:
    """Refuse that a file supersedes another one only because it has the same name."""
    known = history.outlines_of(conn, current).geometry
    if _outlines(known) != _outlines(lakes.geometry):
        raise RefusedError(
            f"{path}: the history has an inventory {inventory.source!r} of {inventory.season} already, with "
            f"other outlines ({len(known)} lakes; this file has {len(lakes)}). Give --source: the same name "
            "replaces it, with another name both are kept"
        )


def _outlines(lakes: geopandas.GeoSeries) -> set[bytes]:
    parts = [shapely.MultiPolygon(shapely.get_parts(lake)) for lake in lakes]
    return set(shapely.to_wkb(shapely.normalize(parts)))


def _inventory(path: Path, season: int, mapping: Mapping, prepared: InventoryLakes) -> Inventory:
    """The inventory's row; the same file with the same mapping gives the same id."""
    # a name of a file may have bytes that are no text, which the database cannot keep
    name = os.fsencode(path.name).decode(errors="replace")
    source, lakes = mapping.source or name, prepared.lakes
    settings = mapping.model_dump_json().encode()
    digest = hashlib.sha256(settings + b"".join(lakes.geometry.to_wkb()) + columns_bytes(lakes)).hexdigest()
    return Inventory(
        id=uuid5(NAMESPACE, f"inventory|{season}|{source}|{digest}"),
        source=source,
        season=season,
        file=name,
        digest=digest,
        mapping=mapping.model_dump(mode="json", exclude_none=True),
        complete=mapping.complete,
        pixel_m=mapping.pixel_m,
        polygons=len(lakes) + prepared.duplicates,
        repaired=len(prepared.repairs),
        duplicates=prepared.duplicates,
        citation=mapping.citation,
        licence=mapping.licence,
    )


def replay_inventory(conn: Connection, survey: Survey) -> bool:
    """Draft and record an inventory again, from its outlines in the history.

    Returns:
        whether the survey has changed.
    """
    lakes = history.outlines_of(conn, survey.id).drop(columns="lake_id")
    # computed as in the import: the areas of the database differ in the fourth digit
    lakes["area_m2"] = shapely.area(in_utm(lakes.geometry))
    inventory = None if survey.inventory_id is None else inventories.get(conn, survey.inventory_id)
    mapping = Mapping() if inventory is None else Mapping.model_validate(inventory.mapping)
    outline = registry.region_outline(conn, survey.region)
    state = survey_state(conn, SurveyInputs.of(survey))
    draft = draft_inventory(
        prior_surveys(conn, survey.key),
        west_to_east(lakes),
        survey.region,
        mapping.covered(outline),
        survey.season,
        complete=mapping.complete,
        earlier=_earlier(conn, survey.region, outline, survey.season),
    )
    _, changed = record(conn, state, draft, run_id=survey.run_id)
    return changed


def _earlier(
    conn: Connection, region: str, outline: BaseGeometry | None, season: int
) -> list[EarlierInventory]:
    """The earlier inventories of a region, with the area that each covers."""
    known = inventories.before(conn, region, season)
    covered = [Mapping.model_validate(found.mapping).covered(outline) for found in known]
    return [
        EarlierInventory(found.season, area, found.complete and not found.suspect)
        for found, area in zip(known, covered, strict=True)
        if area is not None
    ]
