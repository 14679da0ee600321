"""From a catalogue to a frozen list of scenes: what will be read, in which order, and why not the rest.

The list is chosen once for a region and a season, so that every tile ranks the same dates alike and a
pixel's composite does not depend on the tile that computed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import shape

from monitor.catalog import Catalog, taken
from monitor.conventions import decide
from monitor.profiles import S1_BANDS, CatalogProfile, OpticalProfile

if TYPE_CHECKING:
    import pystac
    from shapely.geometry.base import BaseGeometry

#: best optical dates kept for each MGRS tile (or footprint, where the catalogue names no tile)
DATES_KEPT = 4
RADAR_WINDOW = timedelta(days=7)


@dataclass(frozen=True)
class Scene:
    """One item that will be read."""

    id: str
    collection: str
    datetime: datetime
    #: STAC item with absolute addresses; unsigned
    item: dict[str, Any] = field(compare=False, repr=False)
    platform: str = ""
    baseline: str = ""
    relative_orbit: int | None = None
    orbit_state: str = ""
    cloud_cover: float | None = None
    #: added to every digital number to give reflectance x 10000
    offset: float = 0.0
    #: reflectance x 10000 per digital number
    scale: float = 1.0

    @property
    def day_of_year(self) -> int:
        return self.datetime.timetuple().tm_yday

    @property
    def footprint(self) -> BaseGeometry:
        return shape(self.item["geometry"])


@dataclass(frozen=True)
class SceneList:
    """The frozen list: best first; `refused` says why other items were not used."""

    optical: tuple[Scene, ...]
    radar: tuple[Scene, ...]
    dem: tuple[Scene, ...]
    refused: tuple[tuple[str, str], ...] = ()

    def over(self, area: BaseGeometry) -> SceneList:
        """The scenes that touch `area` (EPSG:4326), in the same order."""

        def touching(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
            return tuple(scene for scene in scenes if shapely.intersects(scene.footprint, area))

        return replace(
            self, optical=touching(self.optical), radar=touching(self.radar), dem=touching(self.dem)
        )

    @property
    def identity(self) -> tuple[str, ...]:
        """Ids with baselines, in order: what makes two runs the same run."""
        return tuple(f"{s.collection}/{s.id}/{s.baseline}" for s in (*self.optical, *self.radar, *self.dem))


def freeze(
    catalog: Catalog, profile: CatalogProfile, area: BaseGeometry, start: date, end: date
) -> SceneList:
    """Choose the scenes of a region (`area`, EPSG:4326) between `start` and `end`, both included."""
    bbox = area.bounds
    optical, refused = choose_optical(
        catalog.search(profile.optical.collection, bbox, start, end), profile.optical
    )
    window = (start - RADAR_WINDOW, end + RADAR_WINDOW)
    radar, radar_refused = choose_radar(
        catalog.search(profile.radar.collection, bbox, *window), profile, optical
    )
    heights = catalog.always(profile.dem.collection, bbox)
    asset = _asset(profile.dem.band)
    dem = tuple(_scene(item, datetime(1970, 1, 1, tzinfo=UTC)) for item in heights if asset in item.assets)
    dem_refused = tuple((item.id, f"lacks the asset {asset}") for item in heights if asset not in item.assets)
    return SceneList(optical, radar, dem, (*refused, *radar_refused, *dem_refused))


def choose_optical(
    items: Iterable[pystac.Item], profile: OpticalProfile
) -> tuple[tuple[Scene, ...], tuple[tuple[str, str], ...]]:
    """Sentinel-2 scenes, clearest first by the item's own cloud cover (last where unknown), then oldest.

    One acquisition that stands there in two baselines is taken in the newest; a scene whose offset cannot
    be decided, or that lacks a band, is refused with its reason.
    """
    refused: list[tuple[str, str]] = []
    newest: dict[tuple[str, datetime], Scene] = {}
    for item in items:
        scene = optical_scene(item, profile)
        if isinstance(scene, str):
            refused.append((item.id, scene))
            continue
        place = (_place(item), scene.datetime)
        other = newest.get(place)
        if other is None or (scene.baseline, scene.id) > (other.baseline, other.id):
            newest[place], dropped = scene, other
        else:
            dropped = scene
        if dropped is not None:
            refused.append((dropped.id, f"the same acquisition in a newer baseline: {newest[place].id}"))
    ranked = sorted(newest.items(), key=lambda entry: _rank(entry[1]))
    kept: dict[str, list[Scene]] = {}
    for (place_name, _), scene in ranked:
        dates = kept.setdefault(place_name, [])
        if len(dates) < DATES_KEPT:
            dates.append(scene)
        else:
            refused.append((scene.id, f"{DATES_KEPT} clearer dates of the same place are used"))
    used = {scene.id for dates in kept.values() for scene in dates}
    return tuple(scene for _, scene in ranked if scene.id in used), tuple(refused)


def _rank(scene: Scene) -> tuple[float, datetime, str]:
    cloud = 100.0 if scene.cloud_cover is None else scene.cloud_cover
    return cloud, scene.datetime, scene.id


def optical_scene(item: pystac.Item, profile: OpticalProfile) -> Scene | str:
    """The scene with its offset decided, or the reason why it is refused."""
    wanted = [*profile.bands.values(), *([profile.scene_classes] if profile.scene_classes else [])]
    if missing := sorted({asset for key in wanted if (asset := _asset(key)) not in item.assets}):
        return f"lacks the asset {', '.join(missing)}"
    convention = decide(item, profile)
    if isinstance(convention, str):
        return convention
    return replace(
        _scene(item), baseline=convention.baseline, offset=convention.offset, scale=convention.scale
    )


def choose_radar(
    items: Iterable[pystac.Item], profile: CatalogProfile, optical: tuple[Scene, ...]
) -> tuple[tuple[Scene, ...], tuple[tuple[str, str], ...]]:
    """Sentinel-1 scenes of one pass direction, nearest in time to the best optical date first.

    The direction is that of the nearest scene that may be used at all.
    """
    refused: list[tuple[str, str]] = []
    scenes: list[Scene] = []
    for item in items:
        if missing := [b for b in S1_BANDS if _asset(profile.radar.bands[b]) not in item.assets]:
            refused.append((item.id, f"lacks the polarisation {', '.join(missing)}"))
        else:
            scenes.append(_scene(item))
    if not optical or not scenes:
        return (), tuple(refused)

    def distance(scene: Scene) -> tuple[timedelta, str]:
        return abs(scene.datetime - optical[0].datetime), scene.id

    kept: list[Scene] = []
    for scene in sorted(scenes, key=distance):
        nearest = min(abs(scene.datetime - other.datetime) for other in optical)
        if nearest > RADAR_WINDOW:
            days = nearest / timedelta(days=1)
            refused.append((scene.id, f"{days:.1f} days from the nearest optical date"))
        elif kept and scene.orbit_state != kept[0].orbit_state:
            refused.append((scene.id, f"another pass than {kept[0].orbit_state or 'the nearest scene'}"))
        else:
            kept.append(scene)
    return tuple(kept), tuple(refused)


def _asset(key: str) -> str:
    """The asset of a profile's band key, which may be "asset.N"."""
    return key.split(".", maxsplit=1)[0]


def _scene(item: pystac.Item, moment: datetime | None = None) -> Scene:
    properties = item.properties
    return Scene(
        id=item.id,
        collection=item.collection_id or "",
        datetime=moment or taken(item),
        item=item.to_dict(include_self_link=False, transform_hrefs=False),
        platform=str(properties.get("platform", "")),
        relative_orbit=properties.get("sat:relative_orbit"),
        orbit_state=str(properties.get("sat:orbit_state", "")),
        cloud_cover=properties.get("eo:cloud_cover"),
    )


def _place(item: pystac.Item) -> str:
    """MGRS tile where the catalogue names it, else the footprint to about a kilometre."""
    tile = item.properties.get("s2:mgrs_tile") or item.properties.get("grid:code")
    return str(tile) if tile else ",".join(f"{edge:.2f}" for edge in item.bbox or ())
