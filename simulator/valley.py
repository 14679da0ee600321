"""Non-glacial water of the large valley: a river and a reservoir."""

from __future__ import annotations

import numpy as np
from shapely.geometry import LineString, Polygon

from simulator.lakes import Lake, random_shape
from simulator.settings import PIXEL, Settings
from simulator.terrain import Terrain, has_valley


def valley_water(settings: Settings, terrain: Terrain) -> list[Lake]:
    """River and reservoir on the valley floor; empty where there is no large valley."""
    if not has_valley(settings):
        return []
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
    mix = {"water_clear": 0.35, "water_dark": 0.1, "water_flour": 0.4, "water_silt": 0.15}
    water = ("water",) * count
    return [
        Lake("R001", "river", ("river",), tuple(streams), water, colour=mix | {"water_silt": 0.5}),
        Lake("W001", "reservoir", ("reservoir",), tuple(pools), water, colour=mix),
    ]


def _place(settings: Settings, terrain: Terrain, from_edge: float, across: float) -> tuple[float, float]:
    """Map coordinates of a point, in pixels from the valley's side of the square and along it."""
    row, col = from_edge, across
    for _ in range(terrain.uphill):
        row, col = settings.size - col, row
    return settings.origin[0] + col * PIXEL, settings.origin[1] - row * PIXEL


def _largest(shape: Polygon) -> Polygon:
    """The parts of a river that are larger than a few pixels."""
    parts = [part for part in getattr(shape, "geoms", [shape]) if part.area > 2000]
    return shape if len(parts) <= 1 else type(shape)(parts)
