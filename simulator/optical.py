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
from simulator.world import World, icebergs

_ADJACENT = 0.022
"""Share of the light of a pixel that comes from its surroundings within a few hundred metres."""


_GAIN_ERROR = np.array([0.12, 0.04, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.15, 0.03, 0.03])
"""Relative error of a scene's atmospheric correction; largest in the bands that serve to correct others."""


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
    n = settings.size
    rng = settings.stream("optical", date.season, date.number)
    inner = slice(PAD, PAD + n)
    shine = light(world.height, *date.sun, date.relief_left)
    shine = Light(shine.direct[inner, inner], shine.sky[inner, inner], shine.lit[inner, inner])
    snow, snow_pixels = seasonal_snow(world, date, rng)
    fresh, aged = _snow_colours(world, date, rng)
    age = np.clip(0.35 + 0.4 * smooth_noise(rng, n, 35).ravel()[snow_pixels], 0, 1)
    shade = _Shade(shine, rng)
    sunny = shine.direct * (1 - sky.shadow)
    water = world.water[date.season]
    lakes = _lake_colours(world, date)
    cloud = 0.52 + 0.14 * sky.opacity + 0.07 * smooth_noise(rng, n, 28) + 0.05 * smooth_noise(rng, n, 7)
    haze = np.float32(date.haze) * (1 + np.float32(0.35) * smooth_noise(rng, n, max(n / 4, 60)))
    bed = world.colours.optical["silt_dry"] * 0.45 + world.colours.optical["silt_wet"] * 0.55
    gains = rng.lognormal(0, _GAIN_ERROR)
    bands: dict[str, NDArray[np.uint16]] = {}
    for k, band in enumerate(BANDS):
        ground = world.ground.optical[k].copy()
        flat = ground.ravel()
        flat[water.bed_pixels] += water.bed_share * (
            bed[k] * _uneven(rng, water.bed_share.size, 0.06) - flat[water.bed_pixels]
        )
        flat[snow_pixels] += snow * (fresh[k] + age * (aged[k] - fresh[k]) - flat[snow_pixels])
        flat[water.pixels] += water.share * (lakes[:, k] - flat[water.pixels])
        seen = ground * (SKYLIGHT[k] * shine.sky + (1 - SKYLIGHT[k]) * sunny)
        shade.add(seen, ground, k)
        del ground, flat
        scatter = np.float32((0.55 / WAVELENGTHS[k]) ** date.haze_slope)
        seen *= np.float32(gains[k]) * (1 - scatter * np.float32(max(date.haze, 0)))  # haze also dims
        seen += scatter * haze
        # droplets and ice absorb in the shortwave infrared; thin cirrus is nearly equal in all bands
        white = cloud * (1 - np.float32(0.42) * sky.opacity) if k >= 10 else cloud
        seen += sky.opacity * (white - seen)
        bands[band] = _sense(seen, RESOLUTION.get(band, 20), rng, date.offset)
    classes = classify(world, date, sky, bands, rng)
    return OpticalScene(bands, classes)


class _Shade:
    """Light in terrain shadow and on dim slopes: amplified skylight, and light from the ground around.

    Processors divide by the modelled illumination, which is small in shadow, and so make the ground there too
    bright and too blue (Richter and Schlaepfer 2002). Shadowed snow among snow is therefore brighter in the
    product than in nature.
    """

    _STEP = 8
    #: diffuse light by air (Rayleigh scattering) and by aerosol, relative to direct light
    _DIFFUSE = np.asarray(
        0.12 * (WAVELENGTHS[0] / WAVELENGTHS) ** 4 + 0.10 * (WAVELENGTHS[0] / WAVELENGTHS) ** 0.5, np.float32
    )

    def __init__(self, shine: Light, rng: np.random.Generator) -> None:
        self.direct = shine.direct[:: self._STEP, :: self._STEP]
        self.pixels = np.flatnonzero(shine.direct < 0.9)
        rows, cols = np.divmod(self.pixels, shine.lit.shape[1])
        self.coarse = rows // self._STEP * self.direct.shape[1] + cols // self._STEP
        gain, bounce = np.float32(rng.lognormal(np.log(1.8), 0.75)), np.float32(rng.uniform(0.2, 0.7))
        self.sky = gain * shine.sky.ravel()[self.pixels] * (1 - shine.lit.ravel()[self.pixels])
        self.bounce = bounce * (1 - shine.direct.ravel()[self.pixels])

    def add(self, seen: Field, ground: Field, band: int) -> None:
        """Add to `seen` (H, W) the light that shadow gets besides skylight."""
        near = uniform_filter(ground[:: self._STEP, :: self._STEP] * self.direct, 25)
        more = ((1 - SKYLIGHT[band]) * near).ravel()[self.coarse]
        more *= self.bounce
        more += self._DIFFUSE[band] * self.sky
        more *= ground.ravel()[self.pixels]
        seen.ravel()[self.pixels] += more


def _snow_colours(world: World, date: OpticalPass, rng: np.random.Generator) -> tuple[Field, Field]:
    """Reflectance (12,) of the whitest and of the oldest seasonal snow of one date."""
    colours = world.colours.optical
    new, melt, dust = rng.uniform(0, 1) ** 3, rng.uniform(0, 0.9), rng.uniform(0, 1) ** 2 * 0.4
    fresh = colours["snow_fresh"] * new + colours["snow_old"] * (1 - new)
    aged = colours["snow_wet"] * melt + colours["snow_old"] * (1 - melt)
    aged = aged * (1 - dust) + colours["snow_dirty"] * dust
    grains = np.ones(len(BANDS))
    grains[-2:] = rng.lognormal(-0.15, 0.5)  # larger grains are darker in the shortwave infrared
    fresh, aged = fresh * grains, aged * grains
    return np.asarray(fresh, np.float32), np.asarray(aged, np.float32)


def _uneven(rng: np.random.Generator, count: int, spread: float) -> Field:
    return (1 + spread * rng.standard_normal(count, dtype=np.float32)).astype(np.float32)


def seasonal_snow(
    world: World, date: OpticalPass, rng: np.random.Generator
) -> tuple[Field, NDArray[np.int64]]:
    """Share of seasonal snow, and the flat indices of the pixels with snow."""
    inner = slice(PAD, PAD + world.settings.size)
    z = world.height[inner, inner]
    line = np.quantile(z[::8, ::8], date.snow_line)
    share = smoothstep(z + world.ground.snowiness - line + 40 * smooth_noise(rng, z.shape[0], 5), 60, 170)
    pixels = np.flatnonzero(share > 0.02)
    return share.ravel()[pixels], pixels


def _lake_colours(world: World, date: OpticalPass) -> Field:
    """Reflectance (pixels, 12) of the water or ice in every pixel of the season's lakes."""
    water, colours = world.water[date.season], world.colours.optical
    rng = world.settings.stream("lake colours", date.season, date.number)
    table = np.zeros((len(world.lakes), 12), np.float32)
    for number, lake in enumerate(world.lakes):
        own = world.settings.stream("lake colour", lake.name, date.season)
        shares = (
            np.array([lake.colour.get(name, 0.0) for name in WATER_KINDS])
            * own.lognormal(0, 0.35, len(WATER_KINDS))
            + 1e-3
        )
        shares /= shares.sum()
        table[number] = sum(s * colours[name] for s, name in zip(shares, WATER_KINDS, strict=True))
        table[number] *= own.lognormal(0, 0.2)
    n = world.settings.size
    drift = smooth_noise(rng, n, 22).ravel()[water.pixels]
    ripple = smooth_noise(rng, n, 2).ravel()[water.pixels]
    out = table[water.lake] * (1 + 0.07 * drift + 0.03 * ripple)[:, None]
    shallow = 0.28 * (1 - water.depth) * np.clip(1 + 0.6 * drift, 0, 2)
    bottom = colours["silt_wet"] * np.array(
        [1, 1, 0.95, 0.7, 0.55, 0.3, 0.28, 0.2, 0.18, 0.1, 0.03, 0.02], np.float32
    )
    out += shallow[:, None] * (bottom - out)
    bergs = icebergs(world, date.season, rng)
    if bergs is not None:
        out += bergs[:, None] * (0.5 * (colours["lake_ice"] + colours["ice_clean"]) - out)
    ice = water.ice > 0
    if ice.any():
        grey = smoothstep(drift[ice] + 0.5 * ripple[ice], -0.2, 1.2)[:, None]
        white = smoothstep(-drift[ice] + 0.4 * ripple[ice], 0.2, 1.0)[:, None]
        surface = colours["lake_ice"] * (1 - 0.75 * grey) + colours["lake_ice_dark"] * 0.75 * grey
        surface = surface + 0.6 * white * (colours["snow_fresh"] - surface)
        out[ice] += water.ice[ice][:, None] * (surface - out[ice])
    return np.clip(out, 0.001, 1.0).astype(np.float32)


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
    wide = uniform_filter(seen[::step, ::step], 15) * np.float32(_ADJACENT)
    wide = np.repeat(np.repeat(wide, step, 0), step, 1)[: seen.shape[0], : seen.shape[1]]
    sharp *= np.float32(1 - _ADJACENT)
    sharp += wide
    noise = rng.standard_normal(sharp.shape, dtype=np.float32)
    noise *= np.float32(0.0011) + np.float32(0.008) * sharp
    sharp += noise
    sharp *= 10000
    sharp += np.float32(offset + 0.5)  # truncation below then rounds
    np.clip(sharp, 1, 65535, out=sharp)
    return np.asarray(sharp.astype(np.uint16))
