"""Registry of regions, tiles and models, to which tasks refer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from geoalchemy2.shape import from_shape, to_shape
from shapely import MultiPolygon, Polygon
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from storage.codes import ModelState
from storage.rules import SRID
from storage.tables import Model, Region, Tile

__all__ = [
    "RegisteredModel",
    "TileRow",
    "model",
    "region_outline",
    "regions",
    "register_model",
    "upsert_region",
    "upsert_tiles",
]


@dataclass(frozen=True)
class TileRow:
    """A tile of the global grid."""

    name: str
    epsg: int
    size: int
    """Pixels per side."""
    row: int
    col: int
    """`row` and `col`: global pixel of the upper-left corner."""
    footprint: Polygon
    """EPSG:4326."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model in the registry."""

    digest: str
    name: str
    version: str
    manifest: Mapping[str, Any]
    state: ModelState


def upsert_region(
    conn: Connection,
    name: str,
    area: Polygon | MultiPolygon | None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Insert a region, or update its area (EPSG:4326) and settings."""
    multi = MultiPolygon([area]) if isinstance(area, Polygon) else area
    row = {
        "geom": None if multi is None else from_shape(multi, srid=SRID),
        "settings": dict(settings or {}),
    }
    statement = insert(Region).values(name=name, **row)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def regions(conn: Connection) -> dict[str, tuple[MultiPolygon | None, Mapping[str, Any]]]:
    """Area (EPSG:4326) and settings of every registered region, by name."""
    rows = conn.execute(select(Region.name, Region.geom, Region.settings).order_by(Region.name))
    return {row.name: (None if row.geom is None else to_shape(row.geom), row.settings) for row in rows}


def region_outline(conn: Connection, name: str) -> MultiPolygon | None:
    """Area of a region (EPSG:4326), None where it is not known."""
    geom = conn.execute(select(Region.geom).where(Region.name == name)).scalar_one_or_none()
    return None if geom is None else to_shape(geom)


def upsert_tiles(conn: Connection, tiles: Iterable[TileRow]) -> None:
    """Insert tiles. Known ones are skipped, since a tile's position on the global grid never changes."""
    rows = [
        {
            "name": tile.name,
            "epsg": tile.epsg,
            "size": tile.size,
            "row": tile.row,
            "col": tile.col,
            "geom": from_shape(tile.footprint, srid=SRID),
        }
        for tile in tiles
    ]
    if rows:
        conn.execute(insert(Tile).on_conflict_do_nothing(index_elements=["name"]), rows)


def register_model(
    conn: Connection, digest: str, name: str, version: str, manifest: Mapping[str, Any], *, state: ModelState
) -> None:
    """Register a model, or change its state; a new active model retires the active one of the same name."""
    if state is ModelState.ACTIVE:
        earlier = update(Model).where(
            Model.name == name, Model.state == ModelState.ACTIVE.value, Model.digest != digest
        )
        conn.execute(earlier.values(state=ModelState.RETIRED.value))
    statement = insert(Model).values(
        digest=digest, name=name, version=version, manifest=dict(manifest), state=state.value
    )
    conn.execute(statement.on_conflict_do_update(index_elements=["digest"], set_={"state": state.value}))


def model(conn: Connection, digest: str) -> RegisteredModel | None:
    """The registered model of this digest, None if there is none."""
    row = conn.execute(
        select(Model.digest, Model.name, Model.version, Model.manifest, Model.state).where(
            Model.digest == digest
        )
    ).one_or_none()
    if row is None:
        return None
    return RegisteredModel(row.digest, row.name, row.version, row.manifest, ModelState(row.state))
