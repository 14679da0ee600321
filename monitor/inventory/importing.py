"""Other people's inventories, imported as surveys: the same tables, the same identities, the same changes."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import geopandas
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.errors import RefusedError
from monitor.grid import in_utm
from monitor.identity import NAMESPACE
from monitor.inventory.drawing import draw_inventory
from monitor.inventory.lakes import (
    Drawn,
    Repair,
    measured,
    of_season,
    prepare,
    read_inventory,
    said,
    west_to_east,
)
from monitor.inventory.mapping import Mapping
from monitor.settings import Region
from monitor.survey import Rows
from monitor.telling import Retold, Source, retell, tell
from storage import history, inventories, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.history import Survey
from storage.inventories import Inventory
from storage.told import Place, Told

if TYPE_CHECKING:
    from sqlalchemy import Connection


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

    def then(self, retold: Retold) -> Imported:
        """The same with what it made of later surveys."""
        return replace(
            self,
            retold=tuple((survey.region, survey.season) for survey in retold.changed),
            left=tuple((survey.region, survey.season) for survey in retold.left),
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "repaired": self.repaired}


def import_inventory(
    database: Database,
    path: Path,
    *,
    region: Region,
    season: int,
    mapping: Mapping = Mapping(),  # noqa: B008 - frozen
    polygons: geopandas.GeoDataFrame | None = None,
) -> Imported:
    """`tell_inventory`, and later inventories told again; surveys from a cube wait for the next run."""
    imported = tell_inventory(
        database, path, region=region, season=season, mapping=mapping, polygons=polygons
    )
    return imported.then(retell(database, {SurveyKind.INVENTORY: redraw_inventory}))


def tell_inventory(
    database: Database,
    path: Path,
    *,
    region: Region,
    season: int,
    mapping: Mapping,
    polygons: geopandas.GeoDataFrame | None = None,
) -> Imported:
    """Import the polygons of `path` as what its source mapped in `season`; twice gives the same as once.

    An inventory says where lakes are, not where it looked: a known lake it leaves out is not thereby dry,
    unless the mapping calls it complete. Surveys of later seasons have to be told again afterwards
    (`telling.retell`): once, when several seasons are imported.

    Args:
        polygons: as from `read_inventory`, when the file was read already.

    Raises:
        RefusedError: no polygons, no CRS, a column or a season that is not there.
    """
    polygons = read_inventory(path, mapping) if polygons is None else polygons
    drawn = prepare(of_season(polygons, path, season, mapping), mapping)
    inventory = _inventory(path, season, mapping, drawn)
    covered = mapping.covered(region.outline)
    if covered is None or covered.is_empty:
        raise RefusedError(
            f"bounds {[*(mapping.bounds or ())]} do not touch the region {region.name}, which lies in "
            f"{[*region.outline.bounds]}: west, south, east, north in degrees"
        )
    lakes = measured(drawn.lakes, mapping.pixel_m, region.glaciers)
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
        complete_before = _complete_before(conn, region.name, region.outline, season)
        place = Place(region.name, season, SurveyKind.INVENTORY, inventory.source)
        survey, changed = tell(conn, Source(place, inventory.digest, inventory_id=inventory.id), draw)
    return Imported(
        season=season,
        lakes=len(lakes),
        minted=sum(minted) if changed else 0,
        duplicates=drawn.duplicates,
        changed=changed,
        repairs=drawn.repairs,
        suspect=survey.suspect,
    )


def _inventory(path: Path, season: int, mapping: Mapping, drawn: Drawn) -> Inventory:
    """What was imported; the same file read in the same way is the same inventory."""
    source, lakes = mapping.source or path.name, drawn.lakes
    read_as = mapping.model_dump_json().encode()
    digest = hashlib.sha256(read_as + b"".join(lakes.geometry.to_wkb()) + said(lakes)).hexdigest()
    return Inventory(
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


def redraw_inventory(conn: Connection, survey: Survey) -> bool:
    """Tell an inventory again, from the outlines that the history keeps of it."""
    drawn = history.drawn_by(conn, survey.id).drop(columns="lake_id")
    # worked out as at the import: the database's own areas differ in the fourth digit
    drawn["area_m2"] = shapely.area(in_utm(drawn.geometry))
    inventory = None if survey.inventory_id is None else inventories.get(conn, survey.inventory_id)
    mapping = Mapping() if inventory is None else Mapping.model_validate(inventory.mapping)
    outline = registry.region_outline(conn, survey.region)
    covered = mapping.covered(outline)
    _, changed = tell(
        conn,
        Source.of(survey),
        lambda told: draw_inventory(
            told,
            west_to_east(drawn),
            survey.region,
            covered,
            survey.season,
            complete=mapping.complete,
            before=_complete_before(conn, survey.region, outline, survey.season),
        ),
        run_id=survey.run_id,
    )
    return changed


def _complete_before(
    conn: Connection, region: str, outline: BaseGeometry | None, season: int
) -> BaseGeometry | None:
    """What complete inventories of earlier seasons cover of a region."""
    mappings = map(Mapping.model_validate, inventories.complete_before(conn, region, season))
    areas = [area for mapping in mappings if (area := mapping.covered(outline)) is not None]
    return shapely.union_all(areas) if areas else None
