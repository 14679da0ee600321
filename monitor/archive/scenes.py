"""Scenes: the items of a catalogue that can be used, and the frozen list of those that are read.

Dates are ranked over cells of the global grid, not over tiles, so that a pixel's composite does not depend
on the tile that computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import shape

from monitor.archive.catalog import taken
from monitor.archive.conventions import decide
from monitor.archive.explanations import Explanation, Refusal, Refused
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
#: time of an item that has none (a DEM)
TIMELESS = datetime(1970, 1, 1, tzinfo=UTC)


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
        """Outline, EPSG:4326."""
        return shape(self.item["geometry"])

    @property
    def sun(self) -> tuple[float, float] | None:
        """Mean azimuth from north and elevation in degrees; None where the item does not state them."""
        properties = self.item["properties"]
        azimuth = properties.get("view:sun_azimuth", properties.get("s2:mean_solar_azimuth"))
        elevation = properties.get("view:sun_elevation")
        if elevation is None and "s2:mean_solar_zenith" in properties:
            elevation = 90 - properties["s2:mean_solar_zenith"]
        return None if azimuth is None or elevation is None else (float(azimuth), float(elevation))

    @property
    def square(self) -> str:
        """The 100 km square of the MGRS grid, such as 43TFH; empty where the item does not name it."""
        properties = self.item["properties"]
        if square := properties.get("s2:mgrs_tile") or properties.get("grid:code"):
            return str(square).removeprefix("MGRS-")
        zone, band, square = (
            properties.get(f"mgrs:{part}") for part in ("utm_zone", "latitude_band", "grid_square")
        )
        return f"{int(zone):02d}{band}{square}" if zone and band and square else ""

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

    Of one acquisition in several baselines the newest is used.
    """
    refused: list[tuple[str, Explanation]] = []
    copies: dict[tuple[str, str], list[list[Scene]]] = {}
    for item in sorted(items, key=lambda item: item.id):
        scene = optical_scene(item, profile)
        if isinstance(scene, Explanation):
            refused.append((item.id, scene))
            continue
        here = copies.setdefault((_place(item), scene.platform.lower()), [])
        same = next((group for group in here if abs(group[0].datetime - scene.datetime) <= SAME_TIME), None)
        if same is None:
            here.append([scene])
        else:
            same.append(scene)
    newest: list[Scene] = []
    for group in (group for here in copies.values() for group in here):
        *older, best = sorted(group, key=lambda scene: (scene.baseline, scene.id))
        newest.append(best)
        refused += [(scene.id, Refusal.NEWER_BASELINE.because(newer=best.id)) for scene in older]
    return sorted(newest, key=lambda scene: (scene.datetime, scene.id)), tuple(refused)


def optical_scene(item: pystac.Item, profile: OpticalProfile) -> Scene | Explanation:
    """The scene with its offset decided, or why it is refused."""
    wanted = [*profile.bands.values(), *([profile.scene_classes] if profile.scene_classes else [])]
    if lacking := _lacking(item, wanted):
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
        mode = item.properties.get("sar:instrument_mode", "IW")
        missing = tuple(band for band in S1_BANDS if asset_of(profile.bands[band]) not in item.assets)
        if item.assets and missing:
            refused.append((item.id, Refusal.LACKS_POLARISATIONS.because(polarisations=missing)))
        elif lacking := _lacking(item, [*(profile.bands[band] for band in S1_BANDS), *notes]):
            refused.append((item.id, lacking))
        elif mode != "IW":
            refused.append((item.id, Refusal.OTHER_MODE.because(mode=str(mode))))
        elif not item.properties.get("sat:orbit_state"):
            refused.append((item.id, Refusal.UNKNOWN_PASS.because()))
        else:
            scenes.append(_scene(item))
    return sorted(scenes, key=lambda scene: (scene.datetime, scene.id)), tuple(refused)


def usable_dem(items: Iterable[pystac.Item], profile: DemProfile) -> tuple[tuple[Scene, ...], Refused]:
    """Elevation tiles in the order of their ids, and why others are refused."""
    checked = [(item, _lacking(item, [profile.band])) for item in sorted(items, key=lambda item: item.id)]
    return (
        tuple(_scene(item, TIMELESS) for item, lacking in checked if not lacking),
        tuple((item.id, lacking) for item, lacking in checked if lacking),
    )


def _lacking(item: pystac.Item, keys: Iterable[str]) -> Explanation | None:
    """Why an item without an outline or without one of these assets cannot be read; else None."""
    if not item.assets:
        return Refusal.NO_ASSETS.because()
    if missing := sorted({asset for key in keys if (asset := asset_of(key)) not in item.assets}):
        return Refusal.LACKS_ASSETS.because(assets=tuple(missing))
    return None if item.geometry else Refusal.NO_OUTLINE.because()


def asset_of(key: str) -> str:
    """The asset of a profile's band key: "asset", or "asset.N" for band N of a file."""
    return key.split(".", maxsplit=1)[0]


def _scene(item: pystac.Item, moment: datetime | None = None) -> Scene:
    properties: Mapping[str, Any] = item.properties
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
    """MGRS tile where the item names it, else the bounding box rounded to about a kilometre."""
    tile = item.properties.get("s2:mgrs_tile") or item.properties.get("grid:code")
    return str(tile) if tile else ",".join(f"{edge:.2f}" for edge in item.bbox or ())
