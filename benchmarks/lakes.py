"""Generated lakes in several seasons: lakes that grow, split, drain, appear or are not observed."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

#: spacing of lakes, degrees; vertices per outline, as in mapped lakes
CELL, VERTICES = 0.02, 80
WEST, SOUTH = 70.0, 28.0
#: shares of lakes per season: not observed, split from a season on, drained from a season on, new
HIDDEN, PARTED, GONE, NEW = 0.05, 0.01, 0.01, 0.02


@dataclass(frozen=True)
class Country:
    """Lakes of all seasons; the same seed gives the same lakes."""

    lakes: int
    seasons: tuple[int, ...]
    seed: int = 0

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        side = int(np.ceil(np.sqrt(self.lakes)))
        return WEST, SOUTH, WEST + side * CELL, SOUTH + side * CELL

    def draw(self, season: int) -> geopandas.GeoSeries:
        """Outlines of one season (EPSG:4326), in random order."""
        fate = np.random.default_rng(self.seed)
        count, last = self.lakes, len(self.seasons)
        radius = np.clip(np.exp(fate.normal(np.log(0.0012), 0.5, count)), 4e-4, 0.005)
        growth = fate.normal(0.01, 0.02, count)
        starts = np.where(fate.random(count) < NEW * last, fate.integers(0, last, count), 0)
        ends = np.where(fate.random(count) < GONE * last, fate.integers(1, last, count), last)
        parts = np.where(fate.random(count) < PARTED * last, fate.integers(1, last, count), last)
        rough = fate.normal(0, 0.1, (count, 4))
        phase = fate.uniform(0, 2 * np.pi, (count, 4))

        at = self.seasons.index(season)
        now = np.random.default_rng((self.seed, season))
        here = (starts <= at) & (at < ends) & (now.random(count) >= HIDDEN)
        size = radius * (1 + growth) ** at * now.normal(1, 0.01, count)
        rings = _rings(size, rough, phase)
        numbers = np.flatnonzero(here)
        side = int(np.ceil(np.sqrt(count)))
        middles = np.column_stack([numbers % side, numbers // side]) * CELL + (
            WEST + CELL / 2,
            SOUTH + CELL / 2,
        )
        outlines = shapely.polygons(rings[numbers] + middles[:, None, :])
        parted = parts[numbers] <= at
        whole = list(outlines[~parted])
        for outline, (x, y) in zip(outlines[parted], middles[parted], strict=True):
            gap = shapely.box(x - 1e-4, y - 1, x + 1e-4, y + 1)
            whole += [p for p in shapely.get_parts(shapely.difference(outline, gap)) if p.area > 1e-8]
        order = now.permutation(len(whole))
        return geopandas.GeoSeries(np.array(whole, object)[order], crs=4326)


def _rings(
    radius: NDArray[np.float64], rough: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rings (N, VERTICES, 2) about the origin: circles with four harmonics."""
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    waves = np.arange(2, 6)
    bend = 1 + (rough[:, :, None] * np.cos(waves[None, :, None] * angle + phase[:, :, None])).sum(axis=1)
    distance = radius[:, None] * np.clip(bend, 0.3, 2)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=-1)
