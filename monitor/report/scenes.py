"""Report on a season's scenes: the scenes that a run would use, why others are not used, missing inputs.

Only the catalogue and the scene classes are read, neither the database nor any band.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.choice import CLOUD_BELOW
from monitor.archive.conventions import BASELINE, OFFSET_BASELINE
from monitor.archive.explanations import Refused
from monitor.archive.freeze import Considered, freeze
from monitor.archive.scenes import Choice, Scene
from monitor.archive.sensors import INPUTS, Sets, works_without_optical
from monitor.archive.sky import Skies, Sky
from monitor.errors import AssetError
from monitor.grid import CELL, Tile, tiles_of
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.workspace import Workspace
from segmenter.manifest import code_of, name_of
from segmenter.sensors import best_set
from storage.redaction import redacted

#: share of a cell's ground that may lie outside all DEM tiles, because their outlines are rounded
DEM_SLACK = 0.01


@dataclass(frozen=True)
class OpticalUse:
    """A Sentinel-2 scene that can be used, and its use in the region."""

    id: str
    collection: str
    datetime: datetime
    platform: str
    #: of the MGRS grid; empty where the item does not name it
    square: str
    baseline: str
    relative_orbit: int | None
    #: added to every digital number to give reflectance x 10000
    offset: float
    #: where ESA's +1000 is taken out: "here", "source" (by the catalogue), or "no need"
    harmonised: str
    #: cloud over the whole scene by its catalogue, share of 1
    catalogue_cloud: float | None
    #: measured cloud, shares of 1: over all of the region that the scene shows, in its clearest cell, and in
    #: its cloudiest cell
    cloud: float | None
    cloud_low: float | None
    cloud_high: float | None
    #: share of the region's cells that the scene shows
    seen: float
    #: number of cells in which it is the best date, and in which it is used
    first_in: int
    used_in: int


@dataclass(frozen=True)
class RadarUse:
    """A Sentinel-1 scene that can be used, and its use in the region."""

    id: str
    collection: str
    datetime: datetime
    platform: str
    orbit_state: str
    relative_orbit: int | None
    #: days after (negative: before) the nearest optical date, and the best date, of the cells that use it
    days: float | None
    days_from_best: float | None
    first_in: int
    used_in: int


@dataclass(frozen=True)
class CellView:
    """Seen and cloudy part of a cell in one scene, shares of 1; None where the classes were not read."""

    id: str
    seen: float | None
    cloud: float | None


@dataclass(frozen=True)
class CellReport:
    """The scenes that one cell of the global grid uses, best first, and the inputs it lacks."""

    name: str
    tile: Tile
    #: whether the region touches it; else it is a neighbour that tiles at the region's edge need
    inside: bool
    best_day: date | None
    optical: tuple[CellView, ...]
    radar: tuple[str, ...]
    lacks: tuple[str, ...]
    #: the best set of sensors with which the model can predict here, such as "S2L2A+DEM"; None without one
    sensors: str | None
    #: item, asset, href and cause of the unreadable file because of which the choice is undecided
    fault: dict[str, str] | None

    @property
    def cloudy(self) -> bool:
        """Whether the cloud of the best date is unknown or not below `CLOUD_BELOW`."""
        return bool(self.optical) and (self.optical[0].cloud is None or self.optical[0].cloud >= CLOUD_BELOW)


@dataclass(frozen=True)
class SceneReport:
    """The scenes of a region and season, and its cells."""

    region: str
    season: int
    first_day: date
    last_day: date
    #: last date that can replace cloudy dates of the season
    late_day: date
    profile: str
    #: folder or URL
    location: str
    radar_kind: str
    optical: tuple[OpticalUse, ...]
    radar: tuple[RadarUse, ...]
    dem: tuple[str, ...]
    cells: tuple[CellReport, ...]
    #: items that are not used, and why
    refused: Refused
    #: the model can do without an input
    fewer: bool = False
    #: some of the scenes are simulated
    simulated: bool = False

    @property
    def faults(self) -> dict[str, list[CellReport]]:
        """Message about each unreadable file, and the cells that are undecided because of it."""
        found: dict[str, list[CellReport]] = {}
        for cell in self.cells:
            if cell.fault is not None:
                found.setdefault(str(AssetError(**cell.fault)), []).append(cell)
        return found

    @property
    def plain(self) -> dict[str, Any]:
        """The report as it is printed in JSON."""
        refused = [{"item": item, **why.plain} for item, why in self.refused]
        return asdict(replace(self, refused=())) | {"refused": refused}


def report_scenes(
    workspace: Workspace, region: Region, season: int, progress: Progress = SILENT
) -> SceneReport:
    """Search and choose scenes as a run does, and report on the result.

    Raises:
        MonitorError: the catalogue does not answer.
    """
    considered = freeze(
        workspace.catalog,
        workspace.profile,
        region.zone,
        region.season,
        season,
        workspace.excluded,
        progress,
        radar_alone=works_without_optical(workspace.sets),
    )
    start, end = region.season.dates(season)
    # cells can reach far beyond the region, whose part of them counts here
    grounds = {
        cell: shapely.intersection(cell.footprint(), region.zone) for cell in tiles_of(region.zone, CELL)
    }
    scenes = (*considered.optical, *considered.radar, *considered.chosen.dem)
    return SceneReport(
        region=region.name,
        season=season,
        first_day=start,
        last_day=end,
        late_day=region.season.reserve(season),
        profile=workspace.settings.catalog.profile,
        location=redacted(str(workspace.location or workspace.profile.url)),
        radar_kind=workspace.profile.radar_kind,
        optical=tuple(_optical(scene, considered, set(grounds)) for scene in considered.optical),
        radar=tuple(_radar(scene, considered, set(grounds)) for scene in considered.radar),
        dem=tuple(scene.id for scene in considered.chosen.dem),
        cells=tuple(_cells(considered, grounds, workspace.sets)),
        refused=considered.chosen.refused,
        fewer=len(workspace.sets) > 1,
        simulated=any(scene.simulated for scene in scenes),
    )


def _optical(scene: Scene, considered: Considered, inside: set[Tile]) -> OpticalUse:
    mine = [choice for choice in considered.chosen.choices if choice.cell in inside]
    skies = [sky for cell in inside if (sky := _sky(considered.skies, scene.id, cell)) and sky.seen > 0]
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


def _radar(scene: Scene, considered: Considered, inside: set[Tile]) -> RadarUse:
    mine = [choice for choice in considered.chosen.choices if choice.cell in inside]
    taken = {other.id: other.datetime for other in considered.optical}
    waits = [
        [(scene.datetime - taken[name]) / timedelta(days=1) for name in choice.optical]
        for choice in considered.chosen.choices
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
        days_from_best=min((each[0] for each in waits if each), key=abs, default=None),
        first_in=sum(choice.radar[:1] == (scene.id,) for choice in mine),
        used_in=sum(scene.id in choice.radar for choice in mine),
    )


def _cells(considered: Considered, grounds: Mapping[Tile, BaseGeometry], sets: Sets) -> Iterator[CellReport]:
    days = {scene.id: scene.datetime.date() for scene in considered.optical}
    elevation = shapely.union_all([scene.footprint for scene in considered.chosen.dem])
    for choice in considered.chosen.choices:
        views = []
        for scene_id in choice.optical:
            sky = _sky(considered.skies, scene_id, choice.cell)
            views.append(CellView(scene_id, sky.seen, sky.cloud) if sky else CellView(scene_id, None, None))
        lacks = _lacks(choice, grounds.get(choice.cell, choice.cell.footprint()), elevation)
        used = best_set(sets, code_of(name for name, word in INPUTS.items() if word not in lacks))
        yield CellReport(
            name=choice.cell.name,
            tile=choice.cell,
            inside=choice.cell in grounds,
            best_day=days[choice.optical[0]] if choice.optical else None,
            optical=tuple(views),
            radar=choice.radar,
            lacks=lacks,
            sensors=name_of(used) if used and choice.fault is None else None,
            fault=_fault(choice.fault),
        )


def _fault(error: AssetError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"item": error.item, "asset": error.asset, "href": error.href, "cause": error.cause}


def _lacks(choice: Choice, ground: BaseGeometry, elevation: BaseGeometry) -> tuple[str, ...]:
    """Inputs without a scene. Images are not reported as missing where the choice is undecided."""
    bare = shapely.area(shapely.difference(ground, elevation)) > DEM_SLACK * shapely.area(ground)
    undecided = choice.fault is not None
    missing = {
        INPUTS["S2L2A"]: not choice.optical and not undecided,
        INPUTS["S1"]: not choice.radar and not undecided,
        INPUTS["DEM"]: bare,
    }
    return tuple(name for name, lacking in missing.items() if lacking)


def _sky(skies: Skies, scene_id: str, cell: Tile) -> Sky | None:
    sky = skies.get((scene_id, cell))
    return sky if isinstance(sky, Sky) else None
