"""Terrain-corrected Sentinel-1 scenes: gamma0 in linear power with speckle and layover, on a shifted grid."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr
from scipy.stats import gamma

from simulator.calendar import RadarPass
from simulator.light import gradient, horizon_excess
from simulator.noise import Field, smooth_noise
from simulator.settings import PAD, PIXEL
from simulator.world import World, icebergs

LOOKS = 4.4
"""Equivalent number of looks of the IW GRD product."""
NODATA = -32768.0
_FLOOR = (10 ** (-24.5 / 10), 10 ** (-28.5 / 10))  # noise-equivalent gamma0 of VV and VH


def render_radar(world: World, sight: RadarPass) -> Field:
    """VV and VH (2, H, W) in linear gamma0 on the shifted 10 m grid of the pass; `NODATA` without data.

    Mean terrain-flattened backscatter of each surface (Small 2011), gamma-distributed speckle of 4.4 looks
    (Ulaby and Dobson 1989) correlated over the resolution of 20 m, residual terrain effects on slopes facing
    the sensor, layover on slopes steeper than the beam, and noise in radar shadow.
    """
    settings = world.settings
    n = settings.size
    rng = settings.stream("radar", sight.season, sight.direction)
    power = mean_power(world, sight, rng)
    layover, hidden, facing = slopes(world, sight)
    for k in range(2):
        power[k] *= 1 + np.clip(0.55 * facing, -0.45, 0.8)
        power[k] *= 1 + layover * np.clip(2.2 + 0.8 * smooth_noise(rng, n, 3), 0.2, None)
        power[k] = power[k] * (1 - hidden) + np.float32(_FLOOR[k])
        power[k] = _shift(gaussian_filter(power[k], 0.6), sight.shift)
        power[k] *= speckle(rng, n)
    lost = _shift(hidden, sight.shift) > 0.97
    lost &= _shift(np.clip(smooth_noise(rng, n, 4), 0, 1), sight.shift) > 0.9
    power[:, lost] = NODATA
    return power


def mean_power(world: World, sight: RadarPass, rng: np.random.Generator) -> Field:
    """Speckle-free gamma0 (2, H, W) of ground, old snow above the snow line, lake beds and lakes."""
    settings, colours = world.settings, world.colours.radar
    water = world.water[sight.season]
    power = world.ground.radar.copy()
    inner = slice(PAD, PAD + settings.size)
    z = world.height[inner, inner] + world.ground.snowiness
    wet_snow = z > np.quantile(world.height[inner, inner][::8, ::8], 0.93) + 120
    table, ice = (np.zeros((len(world.lakes), 2), np.float32) for _ in range(2))
    gusty = np.zeros(len(world.lakes), np.float32)
    for number in range(len(world.lakes)):
        mix = rng.random()
        ice[number] = colours["lake_ice"] * mix + colours["lake_ice_dark"] * (1 - mix)
        rough = rng.uniform(0.3, 1.0) if rng.random() < sight.wind else rng.uniform(0, 0.12)
        table[number] = colours["water"] * (1 - rough) + colours["water_rough"] * rough
        stormy = sight.storm * rng.uniform(0.4, 1.0)  # in proportion to decibels
        table[number] *= (colours["water_storm"] / table[number]) ** np.float32(stormy)
        gusty[number] = rng.uniform(0.15, 0.45)
    wind = smooth_noise(rng, settings.size, 14).ravel()[water.pixels]
    lakes = table[water.lake] * np.exp(gusty[water.lake] * wind)[:, None]
    bergs = icebergs(world, sight.season, rng)
    if bergs is not None:
        lakes += bergs[:, None] * (colours["iceberg"] - lakes)
    lakes += water.ice[:, None] * (ice[water.lake] - lakes)
    bed = colours["silt_dry"] * 0.45 + colours["silt_wet"] * 0.55
    for k in range(2):
        power[k][wet_snow] = 0.3 * power[k][wet_snow] + 0.7 * colours["snow_old"][k]
        flat = power[k].ravel()
        flat[water.bed_pixels] += water.bed_share * (bed[k] - flat[water.bed_pixels])
        flat[water.pixels] += water.share * (lakes[:, k] - flat[water.pixels])
    return power


def slopes(world: World, sight: RadarPass) -> tuple[Field, Field, Field]:
    """Layover (0..1), radar shadow (0..1) and tangent of the slope towards the sensor, each (H, W)."""
    inner = slice(PAD, PAD + world.settings.size)
    smooth = gaussian_filter(world.height, 1.0)
    east, north = gradient(smooth)
    look = np.radians(sight.look)
    facing = (
        np.sin(look) * east + np.cos(look) * north
    )  # positive where the ground rises away from the sensor
    steep = np.tan(np.radians(sight.incidence))
    layover = gaussian_filter(np.clip((facing / steep - 0.92) / 0.15, 0, 1), 1.2)
    excess = horizon_excess(smooth, (sight.look + 180) % 360, 90 - sight.incidence)
    hidden = gaussian_filter((excess > 0).astype(np.float32), 0.8)
    return layover[inner, inner], hidden[inner, inner], facing[inner, inner]


def _shift(field: Field, metres: tuple[float, float]) -> Field:
    """Bilinear interpolation on a grid shifted by `metres` (east, north; less than one pixel each)."""
    right, up = metres[0] / PIXEL, metres[1] / PIXEL
    east = np.concatenate([field[:, 1:], field[:, -1:]], axis=1)
    across = field * np.float32(1 - right) + east * np.float32(right)
    north = np.concatenate([across[:1], across[:-1]], axis=0)
    return np.asarray(across * np.float32(1 - up) + north * np.float32(up), np.float32)


_QUANTILES = np.linspace(-4.5, 4.5, 721)
_SPECKLE = gamma.ppf(ndtr(_QUANTILES), LOOKS, scale=1 / LOOKS).astype(np.float32)


def speckle(rng: np.random.Generator, n: int) -> Field:
    """Gamma-distributed speckle (n, n) of unit mean and LOOKS looks, correlated over neighbouring pixels."""
    normal = gaussian_filter(rng.standard_normal((n, n), dtype=np.float32), 0.55)
    normal /= normal[::4, ::4].std()
    at = np.clip((normal + 4.5) * 80, 0, 719.99)
    low = at.astype(np.int32)
    rest = at - low
    return np.asarray(_SPECKLE[low] * (1 - rest) + _SPECKLE[low + 1] * rest, np.float32)
