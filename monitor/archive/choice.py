"""The choice of scenes for each cell, best first, from the usable scenes and their measured cloud. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import shapely

from monitor.archive.explanations import Explanation, Refusal, Refused
from monitor.archive.scenes import Choice, Scene
from monitor.archive.sky import Skies, Sky, united
from monitor.errors import AssetError
from monitor.grid import Tile

#: a date with less cloud than this over a cell is good; the others only fill its gaps
CLOUD_BELOW = 0.3
#: best optical dates kept for a cell
DATES_KEPT = 4
#: radar scenes kept for a cell, nearest in time first
RADAR_KEPT = 4
RADAR_WINDOW = timedelta(days=7)
#: a satellite sees a cell from one pass for some seconds, and from its next orbit 99 minutes later
PASS = timedelta(minutes=45)
#: Satellites whose terrain-corrected products are aligned. Those of Sentinel-1C are shifted by some pixels
#: against those of 1A, and those of 1D agree sometimes with 1A and sometimes with 1C
#: (microsoft/PlanetaryComputer#492), so the radar scenes of a season are from one family.
FAMILIES = {"a": "Sentinel-1A/B", "b": "Sentinel-1A/B", "c": "Sentinel-1C", "d": "Sentinel-1D"}


#: first and last day
Days = tuple[date, date]


@dataclass(frozen=True)
class Look:
    """One pass of one satellite over one cell: one scene, or neighbouring scenes of the same pass."""

    #: the scene that covers most of the cell first
    scenes: tuple[Scene, ...]
    seen: float
    cloud: float | None

    @property
    def good(self) -> bool:
        return self.cloud is not None and self.cloud < CLOUD_BELOW

    @property
    def clear(self) -> float:
        return 0.0 if self.cloud is None else self.seen * (1 - self.cloud)

    @property
    def taken(self) -> datetime:
        return min(scene.datetime for scene in self.scenes)


def choose_optical(scenes: Sequence[Scene], skies: Skies, cells: Sequence[Tile], end: date) -> list[Choice]:
    """The optical scenes of every cell.

    Good dates up to `end` come first, the clearest before the others; where there is none, good dates after
    `end` (October); then cloudier dates, to fill gaps. A cell remains undecided when the classes of a scene
    over it cannot be read, because that scene could be the best date.
    """
    return [
        _choose([scene for scene in scenes if (scene.id, cell) in skies], skies, cell, end) for cell in cells
    ]


def _choose(scenes: Sequence[Scene], skies: Skies, cell: Tile, end: date) -> Choice:
    known: dict[str, Sky] = {}
    for scene in scenes:
        sky = skies[scene.id, cell]
        if isinstance(sky, AssetError):
            return Choice(cell, (), fault=sky)
        known[scene.id] = sky
    looks = _looks([scene for scene in scenes if known[scene.id].seen > 0], known)
    enough = any(look.good for look in looks if look.taken.date() <= end)

    def rank(look: Look) -> tuple[int, float, datetime]:
        late = look.taken.date() > end
        order = (0 if not late else 1) if look.good else (2 if not late else 3)
        return order, -round(look.clear, 2), look.taken

    best = sorted((look for look in looks if not (enough and look.taken.date() > end)), key=rank)
    return Choice(cell, tuple(scene.id for look in best[:DATES_KEPT] for scene in look.scenes))


def _looks(scenes: Sequence[Scene], skies: Mapping[str, Sky]) -> list[Look]:
    """The passes over a cell: scenes of one satellite within `PASS`, whatever the day in UTC."""
    passes: dict[str, list[list[Scene]]] = defaultdict(list)
    for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id)):
        mine = passes[scene.platform.lower()]
        if mine and scene.datetime - mine[-1][0].datetime <= PASS:
            mine[-1].append(scene)
        else:
            mine.append([scene])
    looks = []
    for together in (group for mine in passes.values() for group in mine):
        together.sort(key=lambda scene: (-skies[scene.id].seen, scene.id))
        sky = united([skies[scene.id] for scene in together])
        looks.append(Look(tuple(together), sky.seen, sky.cloud))
    return looks


def choose_radar(
    scenes: Sequence[Scene],
    choices: Sequence[Choice],
    dates: Mapping[Tile, Sequence[datetime]],
    season: Days | None = None,
) -> list[Choice]:
    """The radar scenes of every cell: near one of its optical `dates`, the nearest to the best date first.

    All cells use one pass direction and one family of satellites: the pair with scenes for most cells.

    Args:
        season: in which scenes are chosen for cells without an optical date, the nearest to its middle first.
            None: such a cell has no radar scene.
    """
    near: dict[tuple[str, str], dict[Tile, list[Scene]]] = defaultdict(dict)
    for choice in choices:
        ground = choice.cell.footprint()
        for scene in scenes:
            fits = _fits(scene, choice, dates, season)
            if fits and shapely.intersects(scene.footprint, ground):
                near[kind_of(scene)].setdefault(choice.cell, []).append(scene)
    if not near:
        return list(choices)

    def wait(cell: Tile, scene: Scene) -> tuple[timedelta, str]:
        best = dates[cell][0] if cell in dates else _middle(season)
        return abs(scene.datetime - best), scene.id

    def rank(kind: tuple[str, str]) -> tuple[int, timedelta, tuple[str, str]]:
        waits = [min(wait(cell, scene)[0] for scene in found) for cell, found in near[kind].items()]
        return -len(waits), sum(waits, timedelta()) / len(waits), kind

    kind = min(near, key=rank)
    return [
        replace(
            choice,
            radar=tuple(
                scene.id
                for scene in sorted(near[kind].get(choice.cell, []), key=lambda s: wait(choice.cell, s))
            )[:RADAR_KEPT],
        )
        for choice in choices
    ]


def kind_of(scene: Scene) -> tuple[str, str]:
    """Pass direction and family of satellites, which are never mixed in a season."""
    return scene.orbit_state or "unknown pass", FAMILIES.get(scene.platform.lower()[-1:], scene.platform)


def unused_optical(scenes: Sequence[Scene], skies: Skies, choices: Sequence[Choice]) -> Refused:
    """Usable optical scenes that no cell uses, and why."""
    used = {scene for choice in choices for scene in choice.optical}
    shown: dict[str, list[Sky]] = defaultdict(list)
    for (scene_id, _), sky in skies.items():
        if isinstance(sky, Sky) and sky.seen > 0:
            shown[scene_id].append(sky)
    faults = {scene_id: sky for (scene_id, _), sky in skies.items() if isinstance(sky, AssetError)}
    return tuple(
        (scene.id, _unused(faults.get(scene.id), shown[scene.id])) for scene in scenes if scene.id not in used
    )


def _unused(fault: AssetError | None, shown: Sequence[Sky]) -> Explanation:
    """Why an optical scene is not used, from its unreadable file or its skies over the cells it covers."""
    if fault is not None:
        return Refusal.UNREADABLE.because(asset=fault.asset, href=fault.href, cause=fault.cause)
    if not shown:
        return Refusal.NOTHING_SEEN.because()
    clouds = [sky.cloud for sky in shown if sky.cloud is not None]
    if not clouds:
        return Refusal.CLOUD_UNKNOWN.because()
    return Refusal.CLOUDIER.because(cloud=sum(clouds) / len(clouds))


def _fits(
    scene: Scene, choice: Choice, dates: Mapping[Tile, Sequence[datetime]], season: Days | None
) -> bool:
    """Whether a radar scene is near in time to what a cell is mapped from."""
    if choice.cell in dates:
        return min(abs(scene.datetime - moment) for moment in dates[choice.cell]) <= RADAR_WINDOW
    # of an undecided cell the optical dates are not known yet
    return season is not None and choice.fault is None and season[0] <= scene.datetime.date() <= season[1]


def _middle(season: Days | None) -> datetime:
    assert season is not None
    first, last = (datetime.combine(day, time(), UTC) for day in season)
    return first + (last - first) / 2


def unused_radar(
    scenes: Sequence[Scene],
    choices: Sequence[Choice],
    dates: Mapping[Tile, Sequence[datetime]],
    season: Days | None = None,
) -> Refused:
    """Usable radar scenes that no cell uses, and why; the arguments are those of `choose_radar`."""
    used = {scene for choice in choices for scene in choice.radar}
    kinds = {kind_of(scene) for scene in scenes if scene.id in used}
    every = {moment for moments in dates.values() for moment in moments}
    refused: list[tuple[str, Explanation]] = []
    for scene in scenes:
        if scene.id in used:
            continue
        if not any(_fits(scene, choice, dates, season) for choice in choices):
            days = min((abs(scene.datetime - moment) for moment in every), default=None)
            if days is None:
                why = Refusal.NO_OPTICAL_DATE.because()
            else:
                why = Refusal.FAR_IN_TIME.because(days=days / timedelta(days=1))
        elif kinds and kind_of(scene) not in kinds:
            ((region_direction, region_satellites),) = kinds
            direction, satellites = kind_of(scene)
            why = Refusal.OTHER_RADAR.because(
                direction=direction,
                satellites=satellites,
                region_direction=region_direction,
                region_satellites=region_satellites,
            )
        else:
            why = Refusal.FARTHER_IN_TIME.because()
        refused.append((scene.id, why))
    return tuple(refused)
