"""Other people's inventories, imported as surveys: the same tables, the same identities, the same changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

import geopandas

from monitor.error import area_sigma
from monitor.errors import RefusedError
from monitor.match import NAMESPACE, lineage_frame, match, minted_frame, references
from monitor.settings import Region
from monitor.vectors import read_polygons
from storage import history, registry
from storage.codes import Outcome, SurveyKind
from storage.database import Database


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    lakes: int
    minted: int
    repaired: int
    duplicates: int
    #: False when exactly this inventory stood there already
    changed: bool


def import_inventory(
    database: Database,
    path: Path,
    *,
    region: Region,
    season: int,
    source: str | None = None,
    where: tuple[str, str] | None = None,
) -> Imported:
    """Import the polygons of `path` as what `source` mapped in `season`; twice gives the same as once.

    An inventory says where lakes are, not where it looked: a known lake it leaves out is not thereby dry.

    Args:
        where: (column, value): only those rows, for files that hold several years.

    Raises:
        RefusedError: no polygons, no CRS, no such column.
    """
    polygons = read_polygons(path, "inventory")
    if where is not None:
        column, value = where
        if column not in polygons.columns:
            raise RefusedError(
                f"{path} has no column {column!r}; it has {', '.join(map(str, polygons.columns))}"
            )
        polygons = polygons[polygons[column].astype(str) == value]
        if polygons.empty:
            raise RefusedError(f"{path} has no row whose {column} is {value!r}")
    unique = polygons[~polygons.geometry.normalize().to_wkb().duplicated()]
    lakes = _from_west_to_east(unique)
    digest = hashlib.sha256(b"".join(lakes.geometry.to_wkb())).hexdigest()
    survey = history.Survey(
        id=uuid5(NAMESPACE, f"inventory|{region.name}|{season}|{source or path.name}|{digest}"),
        region=region.name,
        season=season,
        kind=SurveyKind.INVENTORY,
        source=source or path.name,
        digest=digest,
    )
    with database.begin() as conn:
        history.lock(conn)
        registry.upsert_region(conn, region.name, region.outline, region.settings.model_dump(mode="json"))
        surveys = history.surveys(conn, region.name)
        if survey.id in set(surveys.id[surveys.current]):
            return Imported(len(lakes), 0, int(polygons.repaired.sum()), len(polygons) - len(lakes), False)
        reference = references(
            history.known_observations(conn, region.name), history.lineage(conn, region.name), season
        )
        matching = match(reference, lakes.geometry, region.name, season)
        changed = history.record_survey(
            conn,
            survey,
            _observations(lakes, matching.lake_ids),
            lakes=minted_frame(matching, lakes.geometry),
            lineage=lineage_frame(matching.lineage),
        )
    return Imported(
        lakes=len(lakes),
        minted=len(matching.minted),
        repaired=int(polygons.repaired.sum()),
        duplicates=len(polygons) - len(lakes),
        changed=changed,
    )


def _from_west_to_east(lakes: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """In an order of their own, so that a shuffled file is the same inventory."""
    bounds = lakes.geometry.bounds.assign(area=lakes.geometry.to_crs(6933).area)
    return lakes.loc[bounds.sort_values(["minx", "miny", "area"]).index].reset_index(drop=True)


def _observations(lakes: geopandas.GeoDataFrame, ids: tuple[UUID, ...]) -> geopandas.GeoDataFrame:
    outlines = lakes.geometry.to_crs(lakes.estimate_utm_crs())
    return geopandas.GeoDataFrame(
        {
            "lake_id": list(ids),
            "outcome": Outcome.WATER.value,
            "reason": None,
            "sigma_m2": outlines.length.map(area_sigma).to_numpy(),
            "sigma_shore_m2": outlines.length.map(area_sigma).to_numpy(),
            "perimeter_m": outlines.length.to_numpy(),
            "seen_share": 1.0,
        },
        geometry=lakes.geometry.to_numpy(),
        crs=lakes.crs,
    )
