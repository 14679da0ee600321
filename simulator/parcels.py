"""Ground shaped by people and fire: fields, towns with roads and roofs, and burnt ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.landscape import Landscape
from simulator.noise import Field, smooth_noise
from simulator.settings import PIXEL, Settings

FIELDS = ("soil_dark", "soil_wet", "soil_bright", "crop", "stubble", "grass", "grass_dry")
_TOWN = ("asphalt", "roof_dark", "roof_red", "roof_bright", "roof_blue", "grass", "forest", "soil_bright")
SURFACES = tuple(dict.fromkeys((*FIELDS, *_TOWN, "burnt")))
"""Surfaces of parcels, in the order of `Parcels.kind`."""
_HASHED = 4096


@dataclass(frozen=True)
class Parcels:
    """Pixels that are covered by one surface each."""

    pixels: NDArray[np.int64]
    """Flat index into the square."""
    kind: NDArray[np.uint8]
    """Index into `SURFACES`."""
    bright: Field
    """Brightness in proportion to the mean of the surface; the same within a parcel."""


def lay_out(
    settings: Settings, scenery: Landscape, gentle: NDArray[np.bool_], wild: NDArray[np.bool_]
) -> Parcels:
    """Parcels of the landscape.

    Args:
        gentle: ground (H, W) for fields and towns.
        wild: ground (H, W) that can burn.
    """
    rng = settings.stream("parcels")
    n = settings.size
    kind = np.full((n, n), -1, np.int16)
    bright = np.ones((n, n), np.float32)
    used = 0.25 * smooth_noise(rng, n, 30)
    if scenery.burnt:
        scar = smooth_noise(rng, n, float(rng.uniform(40, 90))) + used
        burnt = (scar > np.quantile(scar, 1 - scenery.burnt)) & wild
        kind[burnt] = SURFACES.index("burnt")
    if scenery.farmland:
        open_ground = smooth_noise(rng, n, 110) + used
        fields = (open_ground < np.quantile(open_ground, scenery.farmland)) & gentle
        # a landscape has few crops, in proportions of its own
        odds = rng.dirichlet(np.full(len(FIELDS), 0.7))
        _mosaic(rng, n, fields, (kind, bright), FIELDS, odds, tuple(rng.uniform(5, 30, 2)), 0.2)
    if scenery.town:
        centre = smooth_noise(rng, n, 70) + 2 * used
        built = (centre > np.quantile(centre, 1 - scenery.town)) & gentle
        odds = rng.dirichlet((2.0, 1.2, 1.2, 0.7, 0.25, 1.5, 0.8, 0.5))
        _mosaic(rng, n, built, (kind, bright), _TOWN, odds, tuple(rng.uniform(1.5, 5, 2)), 0.3)
        _roads(rng, n, built, kind)
    pixels = np.flatnonzero(kind >= 0)
    return Parcels(pixels, kind.ravel()[pixels].astype(np.uint8), bright.ravel()[pixels])


def _rotated(rng: np.random.Generator, n: int) -> tuple[Field, Field]:
    """Coordinates (n, n) in pixels along two perpendicular directions, a little bent."""
    turn = rng.uniform(0, np.pi)
    across = np.arange(n, dtype=np.float32)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    bend = 4 * smooth_noise(rng, n, 120)
    return cos * across[None, :] + sin * across[:, None] + bend, cos * across[:, None] - sin * across[None, :]


def _mosaic(
    rng: np.random.Generator,
    n: int,
    where: NDArray[np.bool_],
    drawn: tuple[NDArray[np.int16], Field],
    names: tuple[str, ...],
    odds: NDArray[np.float64],
    cell: tuple[float, ...],
    spread: float,
) -> None:
    """Fill `where` with rectangles of `cell` pixels, each of one surface with a brightness of its own."""
    kind, bright = drawn
    along, aside = (field[where] for field in _rotated(rng, n))
    row = np.floor(along / np.float32(cell[0])).astype(np.int64)
    shift = rng.uniform(0, 1, _HASHED).astype(np.float32)[row % _HASHED]
    column = np.floor(aside / np.float32(cell[1]) + shift).astype(np.int64)
    number = (row * 7919 + column * 104_729) % _HASHED
    chosen = rng.choice([SURFACES.index(name) for name in names], _HASHED, p=odds)
    kind[where] = chosen[number]
    bright[where] = rng.lognormal(0, spread, _HASHED).astype(np.float32)[number]


def _roads(rng: np.random.Generator, n: int, where: NDArray[np.bool_], kind: NDArray[np.int16]) -> None:
    """Streets of a pixel's width in two directions."""
    for field in _rotated(rng, n):
        period = np.float32(rng.uniform(60, 140) / PIXEL)
        kind[where & (field % period < 1.0)] = SURFACES.index("asphalt")
