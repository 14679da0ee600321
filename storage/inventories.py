"""Imported inventories: published maps of lakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import pandas as pd
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from storage import tables
from storage.copying import read_frame

__all__ = ["EarlierInventory", "Inventory", "add", "before", "get", "standing"]


@dataclass(frozen=True)
class Inventory:
    """One season of a published inventory, with the mapping of its columns."""

    id: UUID
    """Derived from season, source and content, so that repeating an import gives the same id."""
    source: str
    season: int
    file: str
    digest: str
    mapping: Mapping[str, Any]
    complete: bool
    """Whether it maps every lake of its region."""
    pixel_m: float
    polygons: int
    """Number of polygons in the file, duplicates included."""
    repaired: int
    duplicates: int
    citation: str | None = None
    licence: str | None = None


def add(conn: Connection, inventory: Inventory) -> None:
    """Insert an inventory; do nothing when its id exists."""
    row = {**asdict(inventory), "mapping": dict(inventory.mapping)}
    conn.execute(insert(tables.Inventory).values(row).on_conflict_do_nothing())


def get(conn: Connection, inventory_id: UUID) -> Inventory:
    """The inventory of an id."""
    columns = [getattr(tables.Inventory, name) for name in Inventory.__dataclass_fields__]
    row = conn.execute(select(*columns).where(tables.Inventory.id == inventory_id)).one()
    return Inventory(*row)


def standing(conn: Connection, region: str | None = None) -> pd.DataFrame:
    """Inventories whose surveys are current.

    Columns: region, season, source, lakes (number of distinct polygons), complete, pixel_m, repaired,
    duplicates, file, licence, citation, suspect, imported_at.
    """
    query = text(
        "SELECT s.region, s.season, s.source, i.polygons - i.duplicates AS lakes, i.complete, i.pixel_m, "
        "i.repaired, i.duplicates, i.file, i.licence, i.citation, s.suspect, i.imported_at "
        "FROM survey s JOIN inventory i ON i.id = s.inventory_id "
        "WHERE s.superseded_by IS NULL AND s.region = coalesce(CAST(:region AS text), s.region) "
        "ORDER BY s.region, s.season, s.source"
    )
    return read_frame(conn, query, region=region)


@dataclass(frozen=True)
class EarlierInventory:
    """An inventory of an earlier season whose survey is current."""

    season: int
    mapping: Mapping[str, Any]
    complete: bool
    suspect: bool


def before(conn: Connection, region: str, season: int) -> list[EarlierInventory]:
    """The inventories of the region with a current survey of an earlier season."""
    query = text(
        "SELECT s.season, i.mapping, i.complete, s.suspect IS NOT NULL FROM survey s "
        "JOIN inventory i ON i.id = s.inventory_id "
        "WHERE s.region = :region AND s.season < :season AND s.superseded_by IS NULL "
        "ORDER BY s.season, s.source"
    )
    return [EarlierInventory(*row) for row in conn.execute(query, {"region": region, "season": season})]
