"""Plan the lakes of an archive: their number, sites, outlines and events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely.geometry import Polygon
from shapely.ops import unary_union

from simulator.lakes import Event, Lake, cut_off, random_shape, split_in_two
from simulator.landscape import landscape
from simulator.light import horizon_excess, slope_degrees, sun_position
from simulator.settings import PAD, PIXEL, Settings
from simulator.spectra import WATER_KINDS
from simulator.terrain import Terrain

ZONE = 3000.0
"""Greatest distance of a glacial lake from a glacier, metres."""
BORDER_GRID = 512 * PIXEL
"""Spacing of the grid lines that lakes of the case "border" cross, metres."""
_STEP = 4
_EVENTS = ("split", "merged", "drained", "new")
_CORE = (
    ("split",), ("merged",), ("drained",), ("new",), ("stable", "clouded"), ("growing", "turbid"),
    ("shrinking", "wet debris"), ("stable", "frozen"), ("growing", "shadow"), ("stable", "border"),
    ("growing", "wet debris"), ("shrinking", "turbid"), ("stable", "shadow"), ("drained",), ("new", "turbid"),
    ("stable", "border", "turbid"), ("growing", "border"), ("stable", "frozen"), ("stable", "clouded"),
    ("growing", "frozen"), ("stable", "clouded"),
)  # fmt: skip


@dataclass(frozen=True)
class Role:
    """Cases and size of a planned lake."""

    cases: tuple[str, ...]
    area: float
    """Reference area in m2."""


def lake_count(settings: Settings) -> int:
    """Number of planned lakes for a ground of this size: 76 at 2048 px, at least 6."""
    return max(6 if settings.size < 512 else 10, round(76 * (settings.size / 2048) ** 2))


def cast_roles(settings: Settings) -> list[Role]:
    """Roles of all planned lakes; a small ground has only the first roles."""
    rng = settings.stream("roles")
    count = lake_count(settings)
    roles: list[tuple[str, ...]] = list(_CORE[:count])
    common = [("growing",), ("stable",), ("shrinking",), ("stable", "frozen"), *[(name,) for name in _EVENTS]]
    odds = np.array([0.30, 0.34, 0.19, 0.05, 0.03, 0.03, 0.03, 0.03])
    traits = ("turbid", "wet debris", "shadow", "border")
    while len(roles) < count:
        role = common[rng.choice(len(common), p=odds)]
        extra = tuple(t for t, p in zip(traits, (0.2, 0.1, 0.06, 0.05), strict=True) if rng.random() < p)
        roles.append(role + extra[:2])
    if len(settings.seasons) == 1:
        roles = [("stable", *role[1:]) for role in roles]
    cap = min(95e4, 95e4 * (settings.size / 2048) ** 1.5)
    areas = np.clip(np.exp(rng.normal(np.log(2.2e4), 1.05, count)), 3.2e3, cap * 0.5)
    ordinary = [
        i for i, role in enumerate(roles) if role[0] == "stable" and not {"clouded", "frozen"} & set(role)
    ]
    for i, size in zip(ordinary[::3], (cap, 3.3e3, cap * 0.6, 3.8e3, cap * 0.4, 4.5e3), strict=False):
        areas[i] = size * rng.uniform(0.97, 1.0) if size > 1e4 else size
    for i, role in enumerate(roles):
        low, high = {"split": (4.5e4, 3e5), "merged": (4.5e4, 2.5e5), "drained": (1.4e4, 1.5e5),
                     "new": (1.3e4, 1.2e5)}.get(role[0], (0, 1e6))  # fmt: skip
        if role[0] in _EVENTS:
            top = max(low * 1.1, min(high, cap * 0.7))
            areas[i] = np.exp(rng.uniform(np.log(low), np.log(top)))
        elif role[0] == "shrinking":
            areas[i] = max(areas[i], 9e3)  # more than 0.3 ha after two seasons of -36 %
        elif "clouded" in role or "frozen" in role:
            areas[i] = np.clip(areas[i], 1.3e4, 6e4)
        elif role[0] == "growing":
            areas[i] = max(areas[i], 4.3e3)
    return [Role(role, float(area)) for role, area in zip(roles, areas, strict=True)]


def plan_lakes(settings: Settings, terrain: Terrain) -> tuple[list[Lake], list[Event]]:
    """All lakes of the mountains with their outlines in every season, and the events between seasons."""
    roles = cast_roles(settings)
    order = sorted(
        range(len(roles)),
        key=lambda i: ("clouded" in roles[i].cases, "border" not in roles[i].cases, -roles[i].area),
    )
    sites = _Sites(settings, terrain)
    lakes: list[Lake] = []
    events: list[Event] = []
    for number, index in enumerate(order):
        name = f"L{number + 1:03d}"
        for _ in range(3):
            found = sites.find(roles[index], settings.stream("site", name))
            if found is not None:
                break
        else:
            continue
        made, happened = _act(settings, name, roles[index], found, terrain)
        lakes += [_look(settings, lake) for lake in made]
        events += happened
    return lakes, events


class _Sites:
    """Search for free sites, with distances on a 40 m grid."""

    def __init__(self, settings: Settings, terrain: Terrain) -> None:
        self.settings = settings
        inner = slice(PAD, PAD + settings.size, _STEP)
        self.slopes = {}
        for sigma in (4, 10, 22):
            smooth = gaussian_filter(terrain.height[::2, ::2], sigma / 2)
            steep = slope_degrees(smooth * 0.5)
            self.slopes[sigma] = np.repeat(np.repeat(steep, 2, 0), 2, 1)[inner, inner]
        self.ice = terrain.glacier_distance[inner, inner]
        self.valley = terrain.valley[inner, inner]
        broad = gaussian_filter(terrain.height[::4, ::4], 6)
        self.hollow = (terrain.height[::4, ::4] - broad)[PAD // 4 : (PAD + settings.size) // 4][
            :, PAD // 4 : (PAD + settings.size) // 4
        ]
        azimuth, elevation = sun_position(settings.centre[1], 270, 10.6)
        hidden = horizon_excess(terrain.height, azimuth, max(elevation, 15.0)) > 0
        self.shade = gaussian_filter(hidden.astype(np.float32), 4)[inner, inner]
        east, north = settings.origin
        cells = np.arange(self.ice.shape[0]) * _STEP * PIXEL + _STEP * PIXEL / 2
        self.east, self.north = np.meshgrid(east + cells, north - cells)
        inset = np.minimum(cells, settings.size * PIXEL - cells)
        self.edge = np.minimum(inset[:, None], inset[None, :])
        self.clear = np.full(self.ice.shape, 1e6)
        line = BORDER_GRID
        self.line = np.minimum(*(np.abs((v + line / 2) % line - line / 2) for v in (self.east, self.north)))

    def find(self, role: Role, rng: np.random.Generator) -> tuple[float, float] | None:
        """Centre of a free site for a lake of this role, which is then occupied; None if there is none."""
        radius = 1.35 * np.sqrt(role.area * 1.5 / np.pi)
        sigma = 4 if radius < 120 else 10 if radius < 300 else 22
        score = self.slopes[sigma] + 0.05 * np.clip(self.hollow, -80, 80) + rng.normal(0, 2.0, self.ice.shape)
        score += 0.002 * np.clip(self.ice - 600, 0, None)
        ok = (self.edge > radius + 120) & (self.clear > radius + 130) & (self.valley < 0.01)
        ok &= (self.ice < ZONE - radius - 150) & (self.ice > 0.55 * radius)
        if "border" in role.cases:
            near = ok & (self.line < 0.35 * radius)
            ok = near if near.any() else ok
        if "shadow" in role.cases:
            score = score * 0.5 - 25 * self.shade
        if "clouded" in role.cases:
            score -= 0.02 * np.clip(self.clear - radius, 0, 1800)
        if not ok.any():
            return None
        at = np.unravel_index(np.argmin(np.where(ok, score, np.inf)), ok.shape)
        jitter = rng.uniform(-18, 18, 2)
        centre = float(self.east[at] + jitter[0]), float(self.north[at] + jitter[1])
        away = np.hypot(self.east - centre[0], self.north - centre[1])
        self.clear = np.minimum(self.clear, away - radius)
        return centre


def _act(
    settings: Settings, name: str, role: Role, centre: tuple[float, float], terrain: Terrain
) -> tuple[list[Lake], list[Event]]:
    """Outlines, states and events of a role at a site."""
    rng = settings.stream("act", name)
    count = len(settings.seasons)
    part = role.cases[0]
    stretch = rng.uniform(2.0, 2.7) if part in ("split", "merged") else rng.uniform(1.05, 2.2)
    shape = random_shape(
        rng, centre, _contour_direction(settings, terrain, centre) + rng.normal(0, 0.25), stretch
    )
    turn = int(rng.integers(1, count)) if count > 1 else 0
    colour = _colour(rng, "turbid" in role.cases)
    base = Lake(name, "lake", role.cases, (), (), colour=colour)
    years = settings.seasons
    if part in ("split", "merged"):
        return _parted(base, shape.outline(role.area, role.area), turn, years, rng)
    outlines: list[Polygon | None] = [
        shape.outline(role.area * factor, role.area) for factor in _factors(part, count, rng)
    ]
    states = ["water"] * count
    events = []
    if part == "drained":
        outlines[turn:], states[turn:] = [None] * (count - turn), ["drained"] * (count - turn)
        events = [Event("drained", years[turn - 1], years[turn], (name,), ())]
    elif part == "new":
        outlines[:turn], states[:turn] = [None] * turn, ["absent"] * turn
        events = [Event("new", years[turn - 1], years[turn], (), (name,))]
    special = int(rng.integers(count))
    if "frozen" in role.cases:
        states[special] = "frozen"
    clouded = tuple("clouded" in role.cases and k == special for k in range(count))
    return [replace(base, outlines=tuple(outlines), states=tuple(states), clouded=clouded)], events


def _look(settings: Settings, lake: Lake) -> Lake:
    """The lake, in some archives milky, black, strewn with icebergs or half frozen in one season."""
    rng = settings.stream("look", lake.name)
    scenery = landscape(settings)
    draws = rng.random(4)
    cases, colour = lake.cases, lake.colour
    plain = not {"turbid", "frozen", "clouded"} & set(cases)
    if plain and draws[0] < 0.12:
        cases, colour = (*cases, "milky"), _mixed(rng, (0.0, 0.0, 0.8, 0.3, 3.0, 0.0, 0.0))
    elif plain and draws[1] < 0.12:
        cases, colour = (*cases, "black"), _mixed(rng, (0.2, 0.6, 0.0, 0.0, 0.0, 3.0, 0.0))
    lake = replace(lake, cases=cases, colour=colour)
    if not plain or lake.cases[0] not in ("stable", "growing", "shrinking"):
        return lake
    if draws[2] < scenery.icebergs:
        lake = replace(lake, cases=(*lake.cases, "icebergs"))
    if draws[3] < scenery.half_frozen:
        season = int(rng.integers(len(settings.seasons)))
        outline = lake.outlines[season]
        ice = cut_off(outline, float(rng.uniform(0.2, 0.75)), float(rng.uniform(0, 2 * np.pi)), rng)
        if ice is not None:
            sheets = tuple(ice if k == season else None for k in range(len(settings.seasons)))
            lake = replace(lake, cases=(*lake.cases, "half-frozen"), ice=sheets)
    return lake


def _parted(
    base: Lake, whole: Polygon, turn: int, years: tuple[int, ...], rng: np.random.Generator
) -> tuple[list[Lake], list[Event]]:
    """A lake that splits, or two lakes that merge, between seasons turn - 1 and turn."""
    part = base.cases[0]
    angle = np.arctan2(*_long_axis(whole)[::-1]) + np.pi / 2
    halves = None
    for gap in (rng.uniform(60, 90), 60.0, 52.0):
        for bend in (0.0, 0.3, -0.3):
            halves = halves or split_in_two(whole, gap, float(angle + bend), float(turn + bend * 9))
    count = len(years)
    if halves is None:
        lake = replace(
            base, cases=("stable", *base.cases[1:]), outlines=(whole,) * count, states=("water",) * count
        )
        return [lake], []
    one = [k < turn if part == "split" else k >= turn for k in range(count)]

    def over(name: str, outline: Polygon, there: list[bool]) -> Lake:
        return replace(
            base, name=name, outlines=tuple(outline if t else None for t in there),
            states=tuple("water" if t else "absent" for t in there),
        )  # fmt: skip

    pieces = [base.name + "a", base.name + "b"]
    lakes = [over(base.name, whole, one)]
    lakes += [over(name, half, [not t for t in one]) for name, half in zip(pieces, halves, strict=True)]
    before, after = ((base.name,), tuple(pieces)) if part == "split" else (tuple(pieces), (base.name,))
    return lakes, [Event(part, years[turn - 1], years[turn], before, after)]


def _long_axis(outline: Polygon) -> NDArray[np.float64]:
    points = np.asarray(outline.exterior.coords)
    _, _, directions = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return np.asarray(directions[0])


def _factors(part: str, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative area in each season: changes of at least 3 % per season where the lake changes, often 30 %."""
    pace = rng.choice([rng.uniform(0.035, 0.09), rng.uniform(0.1, 0.2), rng.uniform(0.28, 0.36)])
    steps = pace * rng.uniform(1.0, 1.15, count)
    steps[0] = 0
    if part == "growing":
        return np.asarray(np.cumprod(1 + steps) / (1 + pace))
    if part == "shrinking":
        return np.asarray(np.cumprod(1 - np.minimum(steps, 0.36)) * (1 + pace / 2))
    return 1 + rng.normal(0, 0.004, count)


def _colour(rng: np.random.Generator, turbid: bool) -> dict[str, float]:
    """Shares of the kinds of water."""
    turbid_mix, common = (0.3, 0.0, 1.6, 1.4, 0.3, 0.0, 0.0), (1.5, 0.6, 1.3, 0.12, 0.1, 0.1, 0.05)
    return _mixed(rng, turbid_mix if turbid else common)


def _mixed(rng: np.random.Generator, centre: tuple[float, ...]) -> dict[str, float]:
    """Random shares of `WATER_KINDS` around `centre`."""
    shares = rng.dirichlet(np.maximum(np.array(centre), 0.02) * 0.8)
    return dict(zip(WATER_KINDS, map(float, shares), strict=True))


def _contour_direction(settings: Settings, terrain: Terrain, centre: tuple[float, float]) -> float:
    """Direction of the contour line at a place, radians from east."""
    row = int((settings.origin[1] - centre[1]) / PIXEL) + PAD
    col = int((centre[0] - settings.origin[0]) / PIXEL) + PAD
    window = terrain.height[row - 20 : row + 21, col - 20 : col + 21]
    down, east = np.gradient(gaussian_filter(window, 5))
    return float(np.arctan2(-down.mean(), east.mean()) + np.pi / 2)


def footprint(lake: Lake) -> Polygon:
    """Union of a lake's outlines in all seasons."""
    return unary_union([outline for outline in lake.outlines if outline is not None])
