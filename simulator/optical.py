"""Sentinel-2 L2A scenes: 12 bands at native resolution and the scene classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from simulator.calendar import OpticalPass
from simulator.clouds import Sky
from simulator.light import Light, light
from simulator.noise import Field, shrink, smooth_noise, smoothstep
from simulator.scene_classes import classify
from simulator.settings import PAD
from simulator.spectra import BANDS, RESOLUTION, SKYLIGHT, WATER_KINDS, WAVELENGTHS
from simulator.world import World


@dataclass(frozen=True)
class OpticalScene:
    """One acquisition."""

    bands: dict[str, NDArray[np.uint16]]
    """Digital numbers of each band at its native resolution, 0 = no data."""
    classes: NDArray[np.uint8]
    """Scene classification at 20 m."""


def render(world: World, date: OpticalPass, sky: Sky) -> OpticalScene:
    """Render the scene of one date, with light, water, snow, haze, clouds, blur and noise."""
    settings = world.settings
    n, index = settings.size, settings.seasons.index(date.season)
    rng = settings.stream("optical", date.season, date.number)
    inner = slice(PAD, PAD + n)
    shine = light(world.height, *date.sun)
    shine = Light(
        shine.direct[inner, inner] * (1 - sky.shadow), shine.sky[inner, inner], shine.lit[inner, inner]
    )
    sunny = shine.direct + np.float32(0.05) * (1 - shine.lit)  # light reflected from sunlit slopes
    snow, snow_pixels = _snow(world, date, rng)
    water = world.water[date.season]
    lakes = _lake_colours(world, date, index)
    cloud = 0.52 + 0.14 * sky.opacity + 0.07 * smooth_noise(rng, n, 28) + 0.05 * smooth_noise(rng, n, 7)
    fresh = world.colours.optical["snow_fresh"] * 0.35 + world.colours.optical["snow_old"] * 0.65
    bed = world.colours.optical["silt_dry"] * 0.45 + world.colours.optical["silt_wet"] * 0.55
    bands: dict[str, NDArray[np.uint16]] = {}
    for k, band in enumerate(BANDS):
        ground = world.ground.optical[k].copy()
        flat = ground.ravel()
        flat[water.bed_pixels] += water.bed_share * (
            bed[k] * _uneven(rng, water.bed_share.size, 0.06) - flat[water.bed_pixels]
        )
        flat[snow_pixels] += snow * (fresh[k] - flat[snow_pixels])
        flat[water.pixels] += water.share * (lakes[:, k] - flat[water.pixels])
        seen = ground * (SKYLIGHT[k] * shine.sky + (1 - SKYLIGHT[k]) * sunny)
        del ground, flat
        haze = date.haze * (0.55 / WAVELENGTHS[k]) ** 1.5
        white = cloud * np.float32(0.62 if k >= 10 else 1.0)
        seen += np.float32(haze) + sky.opacity * (white - seen)
        bands[band] = _sense(seen, RESOLUTION.get(band, 20), rng, date.offset)
    classes = classify(world, date, sky, bands, rng)
    return OpticalScene(bands, classes)


def _uneven(rng: np.random.Generator, count: int, spread: float) -> Field:
    return (1 + spread * rng.standard_normal(count, dtype=np.float32)).astype(np.float32)


def _snow(world: World, date: OpticalPass, rng: np.random.Generator) -> tuple[Field, NDArray[np.int64]]:
    """Share of seasonal snow, and the flat indices of the pixels with snow."""
    inner = slice(PAD, PAD + world.settings.size)
    z = world.height[inner, inner]
    line = np.quantile(z[::8, ::8], date.snow_line)
    share = smoothstep(z + world.ground.snowiness - line + 40 * smooth_noise(rng, z.shape[0], 5), 60, 170)
    pixels = np.flatnonzero(share > 0.02)
    return share.ravel()[pixels], pixels


def _lake_colours(world: World, date: OpticalPass, index: int) -> Field:
    """Reflectance (pixels, 12) of the water or ice in every pixel of the season's lakes."""
    water, colours = world.water[date.season], world.colours.optical
    rng = world.settings.stream("lake colours", date.season, date.number)
    table = np.zeros((len(world.lakes), 12), np.float32)
    frozen = np.zeros(len(world.lakes), bool)
    for number, lake in enumerate(world.lakes):
        own = world.settings.stream("lake colour", lake.name, date.season)
        shares = np.array([lake.colour[name] for name in WATER_KINDS]) * own.lognormal(0, 0.35, 4) + 1e-3
        shares /= shares.sum()
        table[number] = sum(s * colours[name] for s, name in zip(shares, WATER_KINDS, strict=True))
        table[number] *= own.lognormal(0, 0.12)
        frozen[number] = lake.states[index] == "frozen"
    n = world.settings.size
    drift = smooth_noise(rng, n, 22).ravel()[water.pixels]
    ripple = smooth_noise(rng, n, 2).ravel()[water.pixels]
    out = table[water.lake] * (1 + 0.07 * drift + 0.03 * ripple)[:, None]
    shallow = 0.28 * (1 - water.depth) * np.clip(1 + 0.6 * drift, 0, 2)
    bottom = colours["silt_wet"] * np.array(
        [1, 1, 0.95, 0.7, 0.55, 0.3, 0.28, 0.2, 0.18, 0.1, 0.03, 0.02], np.float32
    )
    out += shallow[:, None] * (bottom - out)
    ice = frozen[water.lake]
    if ice.any():
        grey = smoothstep(drift[ice] + 0.5 * ripple[ice], -0.2, 1.2)[:, None]
        white = smoothstep(-drift[ice] + 0.4 * ripple[ice], 0.2, 1.0)[:, None]
        surface = colours["lake_ice"] * (1 - 0.75 * grey) + colours["lake_ice_dark"] * 0.75 * grey
        out[ice] = surface + 0.6 * white * (colours["snow_fresh"] - surface)
    return np.clip(out, 0.001, 0.95).astype(np.float32)


def _sense(seen: Field, metres: int, rng: np.random.Generator, offset: int) -> NDArray[np.uint16]:
    """Digital numbers at native resolution, with blur by optics and adjacency, noise and offset."""
    factor = metres // 10
    n = seen.shape[0]
    short = -n % factor
    if short:
        seen = np.pad(seen, ((0, short), (0, short)), mode="edge")
    if factor > 1:
        seen = shrink(seen, factor)
    sharp = gaussian_filter(seen, 0.42, truncate=2.4)  # one pixel to each side
    step = max(1, 4 // factor)
    wide = uniform_filter(seen[::step, ::step], 15) * np.float32(0.045)
    wide = np.repeat(np.repeat(wide, step, 0), step, 1)[: seen.shape[0], : seen.shape[1]]
    sharp *= np.float32(0.955)
    sharp += wide
    noise = rng.standard_normal(sharp.shape, dtype=np.float32)
    noise *= np.float32(0.0011) + np.float32(0.008) * sharp
    sharp += noise
    sharp *= 10000
    sharp += np.float32(offset + 0.5)  # truncation below then rounds
    np.clip(sharp, 1, 65535, out=sharp)
    return np.asarray(sharp.astype(np.uint16))
