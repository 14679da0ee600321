"""What a season would be made of, why the rest is not used, and what is missing: the facts.

Reads the catalogue and the scene classes, nothing else: no database, no bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.choice import CLOUD_BELOW
from monitor.archive.conventions import BASELINE, OFFSET_BASELINE
from monitor.archive.freeze import Considered, freeze
from monitor.archive.scenes import Choice, Scene
from monitor.archive.sky import Skies, Sky
from monitor.errors import AssetError
from monitor.grid import CELL, Tile, tiles_of
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.workspace import Workspace

#: share of a cell's ground that may lie outside every DEM tile: their outlines are rounded
DEM_SLACK = 0.01


@dataclass(frozen=True)
class OpticalUse:
    """A Sentinel-2 scene that may be read, and what the region gets from it."""

    id: str
    collection: str
    datetime: datetime
    platform: str
    #: of the MGRS grid; empty where the catalogue does not name it
    square: str
    baseline: str
    relative_orbit: int | None
    #: added to every digital number to give reflectance x 10000
    offset: float
    #: who takes ESA's +1000 out: "here", "source" (the catalogue), or "no need"
    harmonised: str
    #: share of the whole scene that the catalogue calls cloud
    catalogue_cloud: float | None
    #: cloud measured over the region's cells: over all that it shows, in the clearest and the worst cell
    cloud: float | None
    cloud_low: float | None
    cloud_high: float | None
    #: share of the region's cells that it shows
    seen: float
    #: cells in which it is the best date, and in which it is used at all
    first_in: int
    used_in: int


@dataclass(frozen=True)
class RadarUse:
    """A Sentinel-1 scene that may be read, and what the region gets from it."""

    id: str
    collection: str
    datetime: datetime
    platform: str
    orbit_state: str
    relative_orbit: int | None
    #: days after (negative: before) the nearest optical date of the cells that use it, and their best date
    days: float | None
    days_from_best: float | None
    first_in: int
    used_in: int


@dataclass(frozen=True)
class Glimpse:
    """What a scene shows of a cell: shares of 1; unknown where its classes were not looked at."""

    id: str
    seen: float | None
    cloud: float | None


@dataclass(frozen=True)
class CellReport:
    """What one cell of the global grid uses, best first, and what it lacks."""

    name: str
    tile: Tile
    #: the region touches it; else it is a neighbour that the region's edge looks at
    inside: bool
    best_day: date | None
    optical: tuple[Glimpse, ...]
    radar: tuple[str, ...]
    lacks: tuple[str, ...]
    #: item, asset, href and cause of the file that left the choice open
    fault: Mapping[str, str] | None

    @property
    def cloudy(self) -> bool:
        """Its best date is no good one, or of unknown cloud."""
        return bool(self.optical) and (self.optical[0].cloud is None or self.optical[0].cloud >= CLOUD_BELOW)


@dataclass(frozen=True)
class SceneReport:
    """All that was weighed for a region and a season."""

    region: str
    season: int
    first_day: date
    last_day: date
    #: until when later dates may step in
    late_day: date
    profile: str
    #: folder or URL
    location: str
    radar_kind: str
    optical: tuple[OpticalUse, ...]
    radar: tuple[RadarUse, ...]
    dem: tuple[str, ...]
    cells: tuple[CellReport, ...]
    #: item id and why it is not used
    refused: tuple[tuple[str, str], ...]

    @property
    def faults(self) -> dict[str, list[CellReport]]:
        """Unreadable file, in words, to the cells that it leaves undecided."""
        found: dict[str, list[CellReport]] = {}
        for cell in self.cells:
            if cell.fault is not None:
                words = "{item}: asset {asset} at {href} cannot be read: {cause}".format(**cell.fault)
                found.setdefault(words, []).append(cell)
        return found


def report_scenes(
    workspace: Workspace, region: Region, season: int, progress: Progress = SILENT
) -> SceneReport:
    """Search, weigh and choose as a run would, and keep the reasons.

    Raises:
        MonitorError: the catalogue does not answer.
    """
    weighed = freeze(
        workspace.catalog, workspace.profile, region.zone, region.season, season, workspace.excluded, progress
    )
    start, end = region.season.dates(season)
    # only where the region has ground: a cell may reach far beyond it
    grounds = {
        cell: shapely.intersection(cell.footprint(), region.zone) for cell in tiles_of(region.zone, CELL)
    }
    return SceneReport(
        region=region.name,
        season=season,
        first_day=start,
        last_day=end,
        late_day=region.season.reserve(season),
        profile=workspace.settings.catalog.profile,
        location=str(workspace.location or workspace.profile.url),
        radar_kind=workspace.profile.radar_kind,
        optical=tuple(_optical(scene, weighed, set(grounds)) for scene in weighed.optical),
        radar=tuple(_radar(scene, weighed, set(grounds)) for scene in weighed.radar),
        dem=tuple(scene.id for scene in weighed.chosen.dem),
        cells=tuple(_cells(weighed, grounds)),
        refused=weighed.chosen.refused,
    )


def _optical(scene: Scene, weighed: Considered, inside: set[Tile]) -> OpticalUse:
    mine = [choice for choice in weighed.chosen.choices if choice.cell in inside]
    skies = [sky for cell in inside if (sky := _sky(weighed.skies, scene.id, cell)) and sky.seen > 0]
    known = [(sky.seen, sky.cloud) for sky in skies if sky.cloud is not None]
    ground = sum(seen for seen, _ in known)
    clouds = [cloud for _, cloud in known]
    return OpticalUse(
        id=scene.id,
        collection=scene.collection,
        datetime=scene.datetime,
        platform=scene.platform,
        square=scene.square,
        baseline=scene.baseline,
        relative_orbit=scene.relative_orbit,
        offset=scene.offset,
        harmonised=_harmonised(scene),
        catalogue_cloud=None if scene.cloud_cover is None else scene.cloud_cover / 100,
        cloud=sum(seen * cloud for seen, cloud in known) / ground if ground else None,
        cloud_low=min(clouds, default=None),
        cloud_high=max(clouds, default=None),
        seen=sum(sky.seen for sky in skies) / len(inside) if inside else 0.0,
        first_in=sum(choice.optical[:1] == (scene.id,) for choice in mine),
        used_in=sum(scene.id in choice.optical for choice in mine),
    )


def _harmonised(scene: Scene) -> str:
    if scene.offset:
        return "here"
    added = BASELINE.fullmatch(scene.baseline) and float(scene.baseline) >= OFFSET_BASELINE
    return "source" if added else "no need"


def _radar(scene: Scene, weighed: Considered, inside: set[Tile]) -> RadarUse:
    mine = [choice for choice in weighed.chosen.choices if choice.cell in inside]
    taken = {other.id: other.datetime for other in weighed.optical}
    waits = [
        [(scene.datetime - taken[name]) / timedelta(days=1) for name in choice.optical]
        for choice in weighed.chosen.choices
        if scene.id in choice.radar
    ]
    return RadarUse(
        id=scene.id,
        collection=scene.collection,
        datetime=scene.datetime,
        platform=scene.platform,
        orbit_state=scene.orbit_state,
        relative_orbit=scene.relative_orbit,
        days=min((days for each in waits for days in each), key=abs, default=None),
        days_from_best=min((each[0] for each in waits), key=abs, default=None),
        first_in=sum(choice.radar[:1] == (scene.id,) for choice in mine),
        used_in=sum(scene.id in choice.radar for choice in mine),
    )


def _cells(weighed: Considered, grounds: Mapping[Tile, BaseGeometry]) -> Iterator[CellReport]:
    days = {scene.id: scene.datetime.date() for scene in weighed.optical}
    heights = shapely.union_all([scene.footprint for scene in weighed.chosen.dem])
    for choice in weighed.chosen.choices:
        glimpses = []
        for scene_id in choice.optical:
            sky = _sky(weighed.skies, scene_id, choice.cell)
            glimpses.append(Glimpse(scene_id, sky.seen, sky.cloud) if sky else Glimpse(scene_id, None, None))
        yield CellReport(
            name=choice.cell.name,
            tile=choice.cell,
            inside=choice.cell in grounds,
            best_day=days[choice.optical[0]] if choice.optical else None,
            optical=tuple(glimpses),
            radar=choice.radar,
            lacks=_lacks(choice, grounds.get(choice.cell, choice.cell.footprint()), heights),
            fault=_fault(choice.fault),
        )


def _fault(error: AssetError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"item": error.item, "asset": error.asset, "href": error.href, "cause": error.cause}


def _lacks(choice: Choice, ground: BaseGeometry, heights: BaseGeometry) -> tuple[str, ...]:
    """Which of the three inputs no scene gives; images are not missed where the choice is still open."""
    bare = shapely.area(shapely.difference(ground, heights)) > DEM_SLACK * shapely.area(ground)
    open_still = choice.fault is not None
    missing = {
        "Sentinel-2": not choice.optical and not open_still,
        "Sentinel-1": not choice.radar and not open_still,
        "DEM": bare,
    }
    return tuple(name for name, lacking in missing.items() if lacking)


def _sky(skies: Skies, scene_id: str, cell: Tile) -> Sky | None:
    sky = skies.get((scene_id, cell))
    return sky if isinstance(sky, Sky) else None
