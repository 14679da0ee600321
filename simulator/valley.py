"""Non-glacial water of the large valley: a river and a reservoir."""

from __future__ import annotations

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.ops import unary_union

from simulator.lakes import Lake, random_shape
from simulator.landscape import landscape
from simulator.settings import PIXEL, Settings
from simulator.spectra import WATER_KINDS
from simulator.terrain import Terrain, has_valley


def valley_water(settings: Settings, terrain: Terrain) -> list[Lake]:
    """River and reservoir, or one large reservoir, on the valley floor; empty without a large valley."""
    if not has_valley(settings):
        return []
    if landscape(settings).basin:
        return [_basin(settings, terrain)]
    rng = settings.stream("valley")
    size = settings.size
    across = np.linspace(-10, size + 10, 240)
    swing = np.cumsum(rng.normal(0, 1, across.size))
    swing -= np.linspace(swing[0], swing[-1], across.size)
    swing = np.convolve(np.pad(swing, 12, mode="edge"), np.hanning(25) / np.hanning(25).sum(), "valid")
    wave = swing / max(np.abs(swing).max(), 1e-6) * 14 + 6 * np.sin(across / 40 + rng.uniform(0, 6))
    middle = 55.0 if size >= 1536 else 42.0
    course = LineString([_place(settings, terrain, middle + w, a) for a, w in zip(across, wave, strict=True)])
    river = (
        course.buffer(float(rng.uniform(22, 36)))
        .buffer(12)
        .buffer(-12)
        .intersection(settings.square.buffer(-5))
    )
    area = rng.uniform(3.2e5, 5e5) if size >= 1536 else rng.uniform(1.0e5, 1.6e5)
    at = rng.uniform(0.3, 0.7) * size
    near = float(np.interp(at, across, wave)) + middle
    shape = random_shape(
        rng, _place(settings, terrain, near, at), 0.0 if terrain.uphill % 2 == 0 else np.pi / 2, 2.2
    )
    count = len(settings.seasons)
    levels = 1 + rng.normal(0, 0.03, count)
    pools = [shape.outline(area * level, area) for level in levels]
    streams = [_largest(river.difference(pool)) for pool in pools]
    mix = _mix(rng)
    water = ("water",) * count
    return [
        Lake("R001", "river", ("river",), tuple(streams), water, colour=mix | {"water_silt": 0.5}),
        Lake("W001", "reservoir", ("reservoir",), tuple(pools), water, colour=mix),
    ]


def _basin(settings: Settings, terrain: Terrain) -> Lake:
    """A reservoir from the edge of the square over the whole valley floor, with bays, capes and islands.

    Its level differs from season to season, which moves the shore by up to 40 m.
    """
    rng = settings.stream("basin")
    size, width = settings.size, landscape(settings).basin * settings.size
    across = np.linspace(-10, size + 10, 600)
    bays = sum(
        0.8 * rng.normal(0, 1) * np.sin(across / (size * length) + rng.uniform(0, 6)) * length**0.8
        for length in 0.2 * 0.75 ** (np.arange(16) + rng.uniform(-0.5, 0.5, 16))
    )
    depth = width * np.clip(0.8 + 0.5 * bays, 0.25, 1.0) - 8
    shore = [_place(settings, terrain, float(d), float(a)) for d, a in zip(depth, across, strict=True)]
    corners = [_place(settings, terrain, -10.0, at) for at in (size + 10.0, -10.0)]
    whole = Polygon([*shore, *corners]).buffer(0)
    islands = []
    for _ in range(int(rng.integers(0, 5))):
        at = _place(settings, terrain, rng.uniform(0.1, 0.8) * width, rng.uniform(0.05, 0.95) * size)
        area = float(np.exp(rng.uniform(np.log(4e3), np.log(2e5))))
        islands.append(random_shape(rng, at, rng.uniform(0, np.pi), 1.6).outline(area, area))
    whole = whole.difference(unary_union(islands))
    drawn_down = rng.uniform(0, 40, len(settings.seasons))
    pools = [_largest(whole.buffer(-down).intersection(settings.square)) for down in drawn_down]
    water = ("water",) * len(pools)
    return Lake("W001", "reservoir", ("reservoir",), tuple(pools), water, colour=_mix(rng))


def _mix(rng: np.random.Generator) -> dict[str, float]:
    """Colour of water that does not come from a glacier nearby: from black over green to silty."""
    shares = rng.dirichlet((0.9, 0.6, 0.7, 0.25, 0.1, 0.5, 0.7))
    return dict(zip(WATER_KINDS, map(float, shares), strict=True))


def _place(settings: Settings, terrain: Terrain, from_edge: float, across: float) -> tuple[float, float]:
    """Map coordinates of a point, in pixels from the valley's side of the square and along it."""
    row, col = from_edge, across
    for _ in range(terrain.uphill):
        row, col = settings.size - col, row
    return settings.origin[0] + col * PIXEL, settings.origin[1] - row * PIXEL


def _largest(shape: Polygon) -> Polygon:
    """The parts of a water body that are larger than a few pixels."""
    parts = [part for part in getattr(shape, "geoms", [shape]) if part.area > 2000]
    return shape if len(parts) <= 1 else type(shape)(parts)
