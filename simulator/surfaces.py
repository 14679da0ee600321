"""Ground cover between the lakes: rock, debris, ice, meadow and forest, with natural variability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from simulator.coverage import cover
from simulator.lakes import Lake
from simulator.landscape import landscape
from simulator.light import slope_degrees
from simulator.noise import Field, fractal, smooth_noise, smoothstep
from simulator.parcels import SURFACES, lay_out
from simulator.plan import footprint
from simulator.settings import PAD, Settings
from simulator.spectra import Palette
from simulator.terrain import Terrain

_COARSE = 4  # fields and towns are laid out on ground that is gentle at 40 m
_BURNS = ("grass", "grass_dry", "forest", "forest_dark")


@dataclass(frozen=True)
class Ground:
    """Ground cover of the square without lakes and seasonal snow, at 10 m."""

    optical: Field
    """Reflectance (12, H, W)."""
    radar: Field
    """Linear gamma0 (2, H, W)."""
    snowiness: Field
    """Amount (H, W) in metres that is added to the elevation when it is compared with the snow line (shade,
    steepness, noise)."""


def build_ground(
    settings: Settings, terrain: Terrain, height: Field, lakes: list[Lake], colours: Palette
) -> Ground:
    """Mix surfaces by elevation, slope, aspect and distance from ice, with random variation at all scales."""
    weights_of, snowiness = shares(settings, terrain, height, lakes)
    names = list(weights_of)
    rng = settings.stream("texture")
    n = settings.size
    weights = np.stack([weights_of.pop(name) for name in names]).reshape(len(names), -1)
    weights /= weights.sum(axis=0)
    optical = (np.stack([colours.optical[name] for name in names], axis=1) @ weights).reshape(12, n, n)
    radar = (np.stack([colours.radar[name] for name in names], axis=1) @ weights).reshape(2, n, n)
    wild = weights[[names.index(name) for name in _BURNS]].sum(axis=0).reshape(n, n)
    del weights
    _paint(settings, terrain, wild, colours, (optical, radar))
    bright = (
        1 + 0.13 * smooth_noise(rng, n, 45) + 0.11 * smooth_noise(rng, n, 9) + 0.09 * smooth_noise(rng, n, 2)
    )
    lean = 0.14 * smooth_noise(rng, n, 30) + 0.05 * smooth_noise(rng, n, 4)
    for band in range(12):
        optical[band] *= np.clip(bright + lean * np.float32((band - 5.5) / 5.5), 0.5, 1.6)
    radar *= np.exp(0.20 * smooth_noise(rng, n, 25) + 0.16 * smooth_noise(rng, n, 3))
    return Ground(optical.astype(np.float32, copy=False), radar.astype(np.float32, copy=False), snowiness)


def _paint(
    settings: Settings, terrain: Terrain, wild: Field, colours: Palette, fields: tuple[Field, Field]
) -> None:
    """Cover the gentle low ground with the parcels of the landscape, in the optical and the radar field."""
    scenery = landscape(settings)
    inner = slice(PAD, PAD + settings.size, _COARSE)
    steep = slope_degrees(gaussian_filter(terrain.height[::_COARSE, ::_COARSE], 1.0) / _COARSE)
    z = terrain.height[inner, inner]
    edge = slice(PAD // _COARSE, (PAD + settings.size) // _COARSE)
    gentle = (steep[edge, edge] < 8.5) & (terrain.glacier_distance[inner, inner] > 1100)
    gentle &= z < np.quantile(z, scenery.green)
    parcels = lay_out(settings, scenery, np.kron(gentle, np.ones((_COARSE, _COARSE), bool)), wild > 0.5)
    for field, table in zip(fields, (colours.optical, colours.radar), strict=True):
        values = np.stack([table[name] for name in SURFACES])
        for band, flat in enumerate(field.reshape(field.shape[0], -1)):
            flat[parcels.pixels] = values[parcels.kind, band] * parcels.bright


def shares(
    settings: Settings, terrain: Terrain, height: Field, lakes: list[Lake]
) -> tuple[dict[str, Field], Field]:
    """Relative weight (H, W) of every surface, and the snowiness of `Ground`."""
    rng = settings.stream("surfaces")
    n = settings.size
    inner = slice(PAD, PAD + n)
    z, ice_far = height[inner, inner], terrain.glacier_distance[inner, inner]
    steep = slope_degrees(gaussian_filter(height, 1.5))[inner, inner]
    scenery = landscape(settings)
    north_rise = -np.gradient(gaussian_filter(height, 4), axis=0)[inner, inner]
    pole = 1 if settings.epsg < 32700 else -1
    shady = np.clip(-pole * north_rise / 4, -1, 1)
    patchy, fine = smooth_noise(rng, n, 60), fractal(rng, n, 24, 4, 0.6)
    ice = gaussian_filter(terrain.glacier.astype(np.float32), 0.6)[inner, inner]
    marks = np.quantile(z[::8, ::8], [0.06, 0.52 * scenery.green, scenery.green])
    firn = (
        np.quantile(z[::8, ::8][terrain.glacier[inner, inner][::8, ::8]], 0.62) if (ice > 0.5).any() else 9e3
    )
    tongue = ice * smoothstep(firn - 150 - z + 90 * patchy, 0, 160)
    covered = tongue * smoothstep(firn - 330 - z + 80 * patchy + 40 * fine, 0, 90)
    near_ice = np.exp(-ice_far / np.float32(rng.uniform(500, 900)))
    bare = 1 - ice
    green = smoothstep(marks[2] + 60 * patchy + 40 * fine - z, -120, 220) * smoothstep(40 - steep, 0, 14)
    green *= bare * (1 - 0.9 * near_ice)
    wood = smoothstep(marks[1] - z + 50 * patchy, -60, 60) * smoothstep(shady + 0.5 * fine, 0.15, 0.6)
    wood *= smoothstep(z - marks[0], -20, 60)
    debris = (
        bare * smoothstep(near_ice + 0.12 * fine + 0.10 * patchy, 0.22, 0.5) * smoothstep(44 - steep, 0, 12)
    )
    rock = np.clip(bare - debris - green, 0, 1)
    stone = smooth_noise(rng, n, 170)
    wet = _wet(settings, lakes, fine, debris, steep)
    plain = (
        smoothstep(4.5 - steep, 0, 3)
        * smoothstep(fine + 0.5 * patchy, 0.1, 0.9)
        * bare
        * (0.25 + 0.6 * debris)
    )
    dry = smoothstep(0.8 * patchy + 0.7 * fine, -0.6, 0.9)
    conifers = smoothstep(
        smooth_noise(rng, n, 50), 1.2 - 2.8 * scenery.dark_forest, 2.0 - 2.8 * scenery.dark_forest
    )
    melting = smoothstep(smooth_noise(rng, n, 40) + 0.6 * patchy, 0.7, 3.0)
    weights = {
        "ice_clean": ice * (1 - covered) * smoothstep(fine + patchy, -1.0, 1.2),
        "ice_dirty": ice * (1 - covered) * smoothstep(-fine - patchy, -1.2, 1.0),
        "moraine": (debris * (1 - wet) + covered * (1 - 0.3 * wet)) * (1 - plain),
        "wet_debris": (debris + 0.3 * covered + 0.25 * rock) * wet * (1 - plain),
        "silt_dry": plain * smoothstep(patchy, -0.3, 0.6),
        "silt_wet": plain * smoothstep(-patchy, -0.6, 0.3),
        "rock_granite": rock * smoothstep(stone, -0.4, 0.5) * (1 - 0.8 * plain),
        "rock_schist": rock * smoothstep(-stone, -0.5, 0.4) * (1 - 0.8 * plain),
        "rock_red": rock * smoothstep(smooth_noise(rng, n, 120), 0.8, 1.5),
        "grass": green * (1 - wood) * (1 - 0.85 * dry) * (1 - 0.5 * plain),
        "grass_dry": green * (1 - wood) * (0.1 + 0.85 * dry),
        "forest": green * wood * (1 - conifers),
        "forest_dark": green * wood * conifers,
    }
    firn_cover = ice * (1 - tongue) * 1.4
    weights["snow_old"] = firn_cover * (1 - melting) + 1e-4
    weights["snow_wet"] = firn_cover * melting
    weights["snow_dirty"] = firn_cover * 0.5 * melting * smoothstep(fine, 0.3, 1.6)
    # in low mountains the snow line is as uneven as in high ones in proportion to their height
    snowiness = scenery.relief * (190 * shady + 80 * patchy + 70 * fine) - 14 * np.clip(steep - 34, 0, 20)
    return weights, np.asarray(snowiness, np.float32)


def _wet(settings: Settings, lakes: list[Lake], fine: Field, debris: Field, steep: Field) -> Field:
    """Share of wet ground: seeps in debris, thin meltwater streams, and shores of some lakes."""
    n, rng = settings.size, settings.stream("wet")
    wet = smoothstep(smooth_noise(rng, n, 18) + 0.6 * fine, 1.2, 2.0) * smoothstep(30 - steep, 0, 10)
    runs = np.exp(-(((smooth_noise(rng, n, 40) + 0.12 * smooth_noise(rng, n, 8)) / 0.035) ** 2))
    wet = np.maximum(wet, 0.8 * runs * debris * smoothstep(26 - steep, 0, 10))
    for lake in lakes:
        if "wet debris" not in lake.cases:
            continue
        around = cover(footprint(lake), settings, margin=16)
        if around is None:
            continue
        far = distance_transform_edt(around.share < 0.5).astype(np.float32)
        rim = smoothstep(1.1 * fine[around.rows, around.cols] + 0.6 - far / 9, -0.1, 0.7)
        wet[around.rows, around.cols] = np.maximum(wet[around.rows, around.cols], 0.95 * rim)
    return np.asarray(wet, np.float32)
