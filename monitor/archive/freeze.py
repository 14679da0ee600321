"""The frozen scene list of a region and season: search the catalogue, measure cloud, choose scenes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.addresses import forbidden
from monitor.archive.catalog import Catalog
from monitor.archive.choice import RADAR_WINDOW, choose_optical, choose_radar, unused_optical, unused_radar
from monitor.archive.explanations import Explanation, Refusal, Refused
from monitor.archive.items import FAULT, read_item
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import (
    TERRAIN_NEAR,
    Choice,
    Scene,
    SceneList,
    usable_dem,
    usable_optical,
    usable_radar,
)
from monitor.archive.sky import Skies, measure
from monitor.errors import printable
from monitor.grid import Tile, bounds_of, cells_of, tile_named
from monitor.progress import SILENT, Progress
from storage.ledger import Choices, FrozenScene
from storage.redaction import redacted

if TYPE_CHECKING:
    import pystac

    from monitor.settings import SeasonWindow

#: characters of an item's id, which stands in messages, tables and the ledger
LONGEST_ID = 250


@dataclass(frozen=True)
class Considered:
    """The scenes that could be used over a region in a season, and the chosen ones."""

    chosen: SceneList
    #: scenes that can be used, chosen or not, oldest first
    optical: tuple[Scene, ...]
    radar: tuple[Scene, ...]
    #: clear share and cloud of each optical scene in each cell
    skies: Skies


def freeze(
    catalog: Catalog,
    profile: CatalogProfile,
    zone: BaseGeometry,
    season: SeasonWindow,
    year: int,
    excluded: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    refused_content: Mapping[str, str] | None = None,
    *,
    radar_alone: bool = False,
) -> Considered:
    """Choose the scenes of every cell that touches `zone` (EPSG:4326) in a season.

    Args:
        excluded: ids of items that the settings exclude, and why.
        refused_content: ids of items whose files were refused when they were read, and why.
        radar_alone: the model can do without Sentinel-2, so cells without an optical date have radar, too.

    Raises:
        MonitorError: the catalogue does not answer.
    """
    barred = {
        **{item: Refusal.CONTENT.because(why=why) for item, why in (refused_content or {}).items()},
        **{item: Refusal.EXCLUDED.because(why=why) for item, why in (excluded or {}).items()},
    }
    cells = cells_of(zone)
    ground = bounds_of(shapely.union_all([cell.footprint(TERRAIN_NEAR) for cell in cells]))
    start, end = season.dates(year)
    with progress.stage(f"searching {profile.optical.collection}, {profile.radar.collection}"):
        optical_items, kept_out = _admitted(
            catalog.search(profile.optical.collection, ground, start, season.reserve(year)), barred, profile
        )
        optical, refused = usable_optical(optical_items, profile.optical)
        window = (start - RADAR_WINDOW, season.reserve(year) + RADAR_WINDOW)
        radar_items, radar_kept_out = _admitted(
            catalog.search(profile.radar.collection, ground, *window), barred, profile
        )
        radar, radar_refused = usable_radar(radar_items, profile.radar)
        dem_items, dem_kept_out = _admitted(catalog.always(profile.dem.collection, ground), barred, profile)
        dem, dem_refused = usable_dem(dem_items, profile.dem)
    with progress.count("cloud", len(optical)) as done:
        skies = measure(optical, profile, cells, done)
    choices = choose_optical(optical, skies, cells, end)
    dates = _dates(choices, optical)
    days = (start, end) if radar_alone else None
    choices = choose_radar(radar, choices, dates, days)
    used = {scene for choice in choices for scene in (*choice.optical, *choice.radar)}
    chosen = SceneList(
        optical=tuple(scene for scene in optical if scene.id in used),
        radar=tuple(scene for scene in radar if scene.id in used),
        dem=dem,
        choices=tuple(choices),
        # a file that is no item, or an item without collection, is found in every search
        refused=tuple(
            dict.fromkeys(
                (
                    *kept_out,
                    *radar_kept_out,
                    *dem_kept_out,
                    *refused,
                    *radar_refused,
                    *dem_refused,
                    *unused_optical(optical, skies, choices),
                    *unused_radar(radar, choices, dates, days),
                )
            )
        ),
    )
    return Considered(chosen, tuple(optical), tuple(radar), skies)


def recall(profile: CatalogProfile, kept: Iterable[FrozenScene], choices: Choices) -> SceneList:
    """The frozen list of a season's tasks from the ledger's copy, without a search of the catalogue."""
    items = [read_item(scene.item, scene.item_id) for scene in kept]

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


def _admitted(
    items: Iterable[pystac.Item], barred: Mapping[str, Explanation], profile: CatalogProfile
) -> tuple[list[pystac.Item], Refused]:
    """Items that are not barred, and why the others are refused."""
    admitted: list[pystac.Item] = []
    refused: list[tuple[str, Explanation]] = []
    for item in items:
        if item.id in barred:
            refused.append((item.id, barred[item.id]))
        elif FAULT in item.extra_fields:
            admitted.append(item)  # refused by name when it is chosen
        elif item.collection_id is None:
            refused.append((printable(str(item.id)), Refusal.NO_COLLECTION.because()))
        elif not (isinstance(item.id, str) and item.id.isprintable() and 0 < len(item.id) <= LONGEST_ID):
            # named by its own file or address where it has one
            name = printable(str(item.get_self_href() or item.id))
            refused.append((name, Refusal.UNUSABLE_ID.because(longest=LONGEST_ID)))
        elif strange := _strange(item, profile):
            refused.append((item.id, strange))
        else:
            admitted.append(item)
    return admitted, tuple(refused)


def _strange(item: pystac.Item, profile: CatalogProfile) -> Explanation | None:
    """Why an item is refused of which a file that is needed lies at a place that is not the catalogue's."""
    origin = item.get_self_href()
    for key in profile.assets(str(item.collection_id)):
        if key in item.assets:
            href = item.assets[key].href
            if rule := forbidden(href, profile.sources, origin):
                return Refusal.FORBIDDEN_ADDRESS.because(asset=key, href=redacted(href), rule=rule)
    return None


def _dates(choices: Iterable[Choice], optical: Iterable[Scene]) -> dict[Tile, list[datetime]]:
    """Dates of each cell's optical scenes, best first; cells without a scene are left out."""
    times = {scene.id: scene.datetime for scene in optical}
    return {choice.cell: [times[name] for name in choice.optical] for choice in choices if choice.optical}
