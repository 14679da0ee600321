"""Scenes: the items of a catalogue that can be used, and the frozen list of those that are read.

Dates are ranked over cells of the global grid, not over tiles, so that a pixel's composite does not depend
on the tile that computes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import shapely

from monitor.archive import properties
from monitor.archive.catalog import taken
from monitor.archive.conventions import decide
from monitor.archive.explanations import Explanation, Refusal, Refused
from monitor.archive.items import FAULT, TIMELESS
from monitor.archive.outlines import outline
from monitor.archive.profiles import S1_BANDS, DemProfile, OpticalProfile, RadarProfile
from monitor.errors import AssetError
from monitor.grid import Tile, cells_near
from storage.simulated import is_simulated

if TYPE_CHECKING:
    import pystac
    from shapely.geometry.base import BaseGeometry

#: pixels around a tile that its halo and filters read, and whose cells the tile therefore needs: 224 of the
#: largest halo, 32 around it for filters, 128 of scene classes around these
NEAR = 384
#: pixels around a tile within which terrain can hide it from sun or radar (see `monitor.stack.terrain`)
TERRAIN_NEAR = 1000
#: copies of one acquisition differ by a millisecond; two data strips of one pass lie seconds apart
SAME_TIME = timedelta(seconds=1)
#: share of an outline outside a newer copy up to which both show the same ground; outlines of reprocessed
#: scenes differ by 0.3 % (recorded items of Earth Search)
SAME_GROUND = 0.05


@dataclass(frozen=True)
class Scene:
    """One item that can be used."""

    id: str
    collection: str
    datetime: datetime
    #: STAC item with absolute addresses; unsigned
    item: dict[str, Any] = field(compare=False, repr=False)
    platform: str = ""
    baseline: str = ""
    relative_orbit: int | None = None
    orbit_state: str = ""
    #: cloud over the whole item in per cent, from its catalogue; dates are ranked by `monitor.archive.sky`
    cloud_cover: float | None = None
    #: added to every digital number to give reflectance x 10000
    offset: float = 0.0

    @property
    def simulated(self) -> bool:
        """Whether the item is of a simulated scene."""
        return is_simulated(self.item)

    @property
    def day_of_year(self) -> int:
        return self.datetime.timetuple().tm_yday

    @cached_property
    def footprint(self) -> BaseGeometry:
        """Outline, EPSG:4326, cut at 180 degrees; empty where it cannot be used (such items are refused)."""
        try:
            return outline(self.item)
        except ValueError:
            return shapely.Polygon()

    @property
    def sun(self) -> tuple[float, float] | None:
        """Mean azimuth from north and elevation in degrees; None where the item does not state them."""
        return properties.sun(properties.facts_of(self.item))

    @property
    def square(self) -> str:
        """The 100 km square of the MGRS grid, such as 43TFH; empty where the item does not name it."""
        return properties.square(properties.facts_of(self.item), self.id)

    @property
    def name(self) -> str:
        """Name in a task's key, with the baseline: a reprocessed item is another scene."""
        return f"{self.collection}/{self.id}/{self.baseline}"


@dataclass(frozen=True)
class Choice:
    """The scenes that one cell of the global grid uses: ids, best first."""

    cell: Tile
    optical: tuple[str, ...]
    radar: tuple[str, ...] = ()
    #: the file that could not be read, so that the choice is undecided
    fault: AssetError | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SceneList:
    """The frozen list: every scene that some cell uses, oldest first, and the choice of each cell."""

    optical: tuple[Scene, ...]
    radar: tuple[Scene, ...]
    dem: tuple[Scene, ...]
    choices: tuple[Choice, ...]
    #: items that are not used, and why; not part of the identity
    refused: Refused = ()

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All scenes: optical, radar, then the DEM."""
        return (*self.optical, *self.radar, *self.dem)

    def over(self, tile: Tile) -> SceneList:
        """The part of the list that `tile` and its surroundings need."""
        near = dict.fromkeys(cells_near(tile, NEAR))
        choices = tuple(choice for choice in self.choices if choice.cell in near)
        used = {scene for choice in choices for scene in (*choice.optical, *choice.radar)}
        ground = tile.footprint(TERRAIN_NEAR)
        return replace(
            self,
            optical=tuple(scene for scene in self.optical if scene.id in used),
            radar=tuple(scene for scene in self.radar if scene.id in used),
            dem=tuple(scene for scene in self.dem if shapely.intersects(scene.footprint, ground)),
            choices=choices,
        )

    def without(self, items: Collection[str]) -> SceneList:
        """The list without some items."""
        kept = (
            tuple(scene for scene in group if scene.id not in items)
            for group in (self.optical, self.radar, self.dem)
        )
        optical, radar, dem = kept
        choices = tuple(
            replace(
                choice,
                optical=tuple(scene for scene in choice.optical if scene not in items),
                radar=tuple(scene for scene in choice.radar if scene not in items),
            )
            for choice in self.choices
        )
        return replace(self, optical=optical, radar=radar, dem=dem, choices=choices)

    def within(self, tile: Tile) -> tuple[Choice, ...]:
        """The choices of the cells that `tile` itself covers."""
        mine = set(cells_near(tile, 0))
        return tuple(choice for choice in self.choices if choice.cell in mine)

    @property
    def identity(self) -> tuple[str, ...]:
        """Every cell with its scenes in order, and the DEM. Lists of equal identity give equal results."""
        name = {scene.id: scene.name for scene in (*self.optical, *self.radar)}
        cells = (
            f"{choice.cell.name}:{','.join(name[scene] for scene in (*choice.optical, *choice.radar))}"
            + (f"!{choice.fault.item}" if choice.fault else "")
            for choice in self.choices
        )
        return (*cells, *(scene.name for scene in self.dem))


def usable_optical(items: Iterable[pystac.Item], profile: OpticalProfile) -> tuple[list[Scene], Refused]:
    """Sentinel-2 scenes of known offset with all bands, oldest first, and why others are refused.

    Of copies of one acquisition the newest is used (see `newest`).
    """
    refused: list[tuple[str, Explanation]] = []
    scenes: list[Scene] = []
    for item in sorted(items, key=lambda item: item.id):
        scene = optical_scene(item, profile)
        if isinstance(scene, Explanation):
            refused.append((item.id, scene))
        else:
            scenes.append(scene)
    used, older = newest(scenes)
    return used, (*refused, *older)


def newest(scenes: Iterable[Scene]) -> tuple[list[Scene], Refused]:
    """Scenes without older copies of the same acquisition, oldest first, and the copies.

    Items of one satellite, place and time are copies as far as newer ones (by baseline, then by id) cover
    them. Two products of one pass that show different parts of its ground are both used.
    """
    groups: dict[tuple[str, str], list[list[Scene]]] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id)):
        here = groups.setdefault((scene.collection, scene.square), [])
        same = next((group for group in here if _of_one_time(group[-1], scene)), None)
        if same is None:
            here.append([scene])
        else:
            same.append(scene)
    used: list[Scene] = []
    refused: list[tuple[str, Explanation]] = []
    for group in (group for here in groups.values() for group in here):
        kept: list[Scene] = []
        for scene in sorted(group, key=lambda scene: (scene.baseline, scene.id), reverse=True):
            covered = [other for other in kept if _covers(other, scene)] if kept else []
            ground = shapely.union_all([other.footprint for other in kept])
            if not covered and kept and _bare(scene, ground) <= SAME_GROUND:
                covered = kept
            if covered:
                refused.append((scene.id, Refusal.NEWER_BASELINE.because(newer=covered[0].id)))
            else:
                kept.append(scene)
        used += kept
    return sorted(used, key=lambda scene: (scene.datetime, scene.id)), tuple(refused)


def _of_one_time(scene: Scene, other: Scene) -> bool:
    """Whether two scenes were acquired at the same time, and as far as known by the same satellite."""
    satellites = {one.platform.lower() for one in (scene, other) if one.platform}
    return abs(scene.datetime - other.datetime) <= SAME_TIME and len(satellites) <= 1


def _covers(newer: Scene, older: Scene) -> bool:
    return _bare(older, newer.footprint) <= SAME_GROUND


def _bare(scene: Scene, ground: BaseGeometry) -> float:
    """Share of a scene's outline that lies outside `ground`."""
    outside = shapely.area(shapely.difference(scene.footprint, ground))
    return float(outside / shapely.area(scene.footprint))


def optical_scene(item: pystac.Item, profile: OpticalProfile) -> Scene | Explanation:
    """The scene with its offset decided, or why it is refused."""
    wanted = [*profile.bands.values(), *([profile.scene_classes] if profile.scene_classes else [])]
    if lacking := _lacking(item, wanted) or _undated(item):
        return lacking
    convention = decide(item, profile)
    if isinstance(convention, Explanation):
        return convention
    return replace(_scene(item), baseline=convention.baseline, offset=convention.offset)


def usable_radar(items: Iterable[pystac.Item], profile: RadarProfile) -> tuple[list[Scene], Refused]:
    """Sentinel-1 scenes in wide swath (IW) with both polarisations and a known pass, oldest first.

    The second value holds the other items, and why they are refused.
    """
    refused: list[tuple[str, Explanation]] = []
    scenes: list[Scene] = []
    notes = [key.format(band.lower()) for key in profile.annotations.values() for band in S1_BANDS]
    for item in items:
        mode = properties.mode(item.properties, item.id)
        missing = tuple(band for band in S1_BANDS if asset_of(profile.bands[band]) not in item.assets)
        if item.assets and missing:
            refused.append((item.id, Refusal.LACKS_POLARISATIONS.because(polarisations=missing)))
        elif lacking := (
            _lacking(item, [*(profile.bands[band] for band in S1_BANDS), *notes]) or _undated(item)
        ):
            refused.append((item.id, lacking))
        elif mode != "IW":
            refused.append((item.id, Refusal.OTHER_MODE.because(mode=mode)))
        elif not properties.orbit_state(item.properties):
            refused.append((item.id, Refusal.UNKNOWN_PASS.because()))
        else:
            scenes.append(_scene(item))
    used, older = newest(scenes)
    return used, (*refused, *older)


def usable_dem(items: Iterable[pystac.Item], profile: DemProfile) -> tuple[tuple[Scene, ...], Refused]:
    """Elevation tiles in the order of their ids, and why others are refused."""
    checked = [(item, _lacking(item, [profile.band])) for item in sorted(items, key=lambda item: item.id)]
    return (
        tuple(_scene(item, TIMELESS) for item, lacking in checked if not lacking),
        tuple((item.id, lacking) for item, lacking in checked if lacking),
    )


def _lacking(item: pystac.Item, keys: Iterable[str]) -> Explanation | None:
    """Why an item without a usable outline or without one of these assets cannot be read; else None."""
    if fault := item.extra_fields.get(FAULT):
        return Refusal.MALFORMED.because(fault=str(fault))
    if not item.assets:
        return Refusal.NO_ASSETS.because()
    if missing := sorted({asset for key in keys if (asset := asset_of(key)) not in item.assets}):
        return Refusal.LACKS_ASSETS.because(assets=tuple(missing))
    try:
        outline({"geometry": item.geometry, "bbox": item.bbox})
    except ValueError as error:
        return Refusal.NO_OUTLINE.because(cause=str(error))
    return None


def _undated(item: pystac.Item) -> Explanation | None:
    return Refusal.NO_TIME.because() if taken(item) == TIMELESS else None


def asset_of(key: str) -> str:
    """The asset of a profile's band key: "asset", or "asset.N" for band N of a file."""
    return key.split(".", maxsplit=1)[0]


def _scene(item: pystac.Item, moment: datetime | None = None) -> Scene:
    facts: Mapping[str, Any] = item.properties
    return Scene(
        id=item.id,
        collection=item.collection_id or "",
        datetime=moment or taken(item),
        # pystac leaves out the bbox of an item without geometry
        item=item.to_dict(include_self_link=False, transform_hrefs=False) | {"bbox": item.bbox},
        platform=properties.platform(facts, item.id),
        relative_orbit=properties.relative_orbit(facts),
        orbit_state=properties.orbit_state(facts),
        cloud_cover=properties.cloud_cover(facts),
    )
