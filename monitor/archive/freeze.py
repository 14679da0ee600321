"""From a catalogue to the frozen list of a region and a season: searched, refused, measured, chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.catalog import Catalog
from monitor.archive.choice import RADAR_WINDOW, choose_optical, choose_radar, unused_optical, unused_radar
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import (
    TERRAIN_NEAR,
    Choice,
    Refused,
    Scene,
    SceneList,
    usable_dem,
    usable_optical,
    usable_radar,
)
from monitor.archive.sky import Skies, measure
from monitor.grid import Tile, cells_of, tile_named
from monitor.progress import SILENT, Progress
from storage.ledger import Choices, FrozenScene

if TYPE_CHECKING:
    import pystac

    from monitor.settings import SeasonWindow


@dataclass(frozen=True)
class Considered:
    """All that could be used over a region in a season, and what is."""

    chosen: SceneList
    #: scenes that may be read, used or not, oldest first
    optical: tuple[Scene, ...]
    radar: tuple[Scene, ...]
    #: what each optical scene shows of each cell
    skies: Skies


def freeze(
    catalog: Catalog,
    profile: CatalogProfile,
    zone: BaseGeometry,
    season: SeasonWindow,
    year: int,
    excluded: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Considered:
    """The scenes of every cell that touches `zone` (EPSG:4326) in a season, and why not the others.

    Args:
        excluded: item id to why a person took it out of use.

    Raises:
        MonitorError: the catalogue does not answer.
    """
    cells = cells_of(zone)
    ground = shapely.union_all([cell.footprint(TERRAIN_NEAR) for cell in cells]).bounds
    start, end = season.dates(year)
    with progress.stage(f"searching {profile.optical.collection}, {profile.radar.collection}"):
        seen, kept_out = _admitted(
            catalog.search(profile.optical.collection, ground, start, season.reserve(year)), excluded
        )
        optical, refused = usable_optical(seen, profile.optical)
        window = (start - RADAR_WINDOW, season.reserve(year) + RADAR_WINDOW)
        heard, radar_kept_out = _admitted(catalog.search(profile.radar.collection, ground, *window), excluded)
        radar, radar_refused = usable_radar(heard, profile.radar)
        heights, dem_kept_out = _admitted(catalog.always(profile.dem.collection, ground), excluded)
        dem, dem_refused = usable_dem(heights, profile.dem)
    with progress.count("cloud", len(optical)) as done:
        skies = measure(optical, profile, cells, done)
    choices = choose_optical(optical, skies, cells, end)
    dates = _dates(choices, optical)
    choices = choose_radar(radar, choices, dates)
    used = {scene for choice in choices for scene in (*choice.optical, *choice.radar)}
    chosen = SceneList(
        optical=tuple(scene for scene in optical if scene.id in used),
        radar=tuple(scene for scene in radar if scene.id in used),
        dem=dem,
        choices=tuple(choices),
        refused=(
            *dict.fromkeys((*kept_out, *radar_kept_out, *dem_kept_out)),
            *refused,
            *radar_refused,
            *dem_refused,
            *unused_optical(optical, skies, choices),
            *unused_radar(radar, choices, dates),
        ),
    )
    return Considered(chosen, tuple(optical), tuple(radar), skies)


def recall(profile: CatalogProfile, kept: Iterable[FrozenScene], choices: Choices) -> SceneList:
    """The list that a season's tasks froze, from what the ledger kept of it: the catalogue is not asked."""
    items = [_recalled(scene) for scene in kept]

    def of(collection: str) -> list[pystac.Item]:
        return [item for item in items if item.collection_id == collection]

    optical, _ = usable_optical(of(profile.optical.collection), profile.optical)
    radar, _ = usable_radar(of(profile.radar.collection), profile.radar)
    dem, _ = usable_dem(of(profile.dem.collection), profile.dem)
    known = {scene.id for scene in (*optical, *radar)}
    return SceneList(
        tuple(optical),
        tuple(radar),
        dem,
        tuple(
            Choice(
                tile_named(name),
                tuple(scene for scene in orders.get("optical", ()) if scene in known),
                tuple(scene for scene in orders.get("radar", ()) if scene in known),
            )
            for name, orders in sorted(choices.items())
        ),
    )


def _recalled(scene: FrozenScene) -> pystac.Item:
    import pystac

    return pystac.Item.from_dict(dict(scene.item), migrate=False)


def _admitted(
    items: Iterable[pystac.Item], excluded: Mapping[str, str] | None
) -> tuple[list[pystac.Item], Refused]:
    """Items that may be looked at, and why the others may not."""
    admitted: list[pystac.Item] = []
    refused: list[tuple[str, str]] = []
    for item in items:
        if excluded and item.id in excluded:
            refused.append((item.id, f"excluded by the settings: {excluded[item.id]}"))
        elif item.collection_id is None:
            refused.append((item.id, "names no collection, so what it is is unknown"))
        else:
            admitted.append(item)
    return admitted, tuple(refused)


def _dates(choices: Iterable[Choice], optical: Iterable[Scene]) -> dict[Tile, list[datetime]]:
    """When each cell is seen, its best date first; cells that are not seen are left out."""
    times = {scene.id: scene.datetime for scene in optical}
    return {choice.cell: [times[name] for name in choice.optical] for choice in choices if choice.optical}
