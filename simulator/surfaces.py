"""Ground cover between the lakes: rock, debris, ice, meadow and forest, with natural variability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from simulator.coverage import cover
from simulator.lakes import Lake
from simulator.light import slope_degrees
from simulator.noise import Field, fractal, smooth_noise, smoothstep
from simulator.plan import footprint
from simulator.settings import PAD, Settings
from simulator.spectra import Palette
from simulator.terrain import Terrain


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
    shares, snowiness = _shares(settings, terrain, height, lakes)
    names = list(shares)
    rng = settings.stream("texture")
    n = settings.size
    weights = np.stack([shares.pop(name) for name in names]).reshape(len(names), -1)
    weights /= weights.sum(axis=0)
    optical = (np.stack([colours.optical[name] for name in names], axis=1) @ weights).reshape(12, n, n)
    radar = (np.stack([colours.radar[name] for name in names], axis=1) @ weights).reshape(2, n, n)
    del weights
    bright = (
        1 + 0.09 * smooth_noise(rng, n, 45) + 0.07 * smooth_noise(rng, n, 9) + 0.08 * smooth_noise(rng, n, 2)
    )
    lean = 0.06 * smooth_noise(rng, n, 30) + 0.03 * smooth_noise(rng, n, 4)
    for band in range(12):
        optical[band] *= np.clip(bright + lean * np.float32((band - 5.5) / 5.5), 0.5, 1.6)
    radar *= np.exp(0.20 * smooth_noise(rng, n, 25) + 0.16 * smooth_noise(rng, n, 3))
    return Ground(optical.astype(np.float32, copy=False), radar.astype(np.float32, copy=False), snowiness)


def _shares(
    settings: Settings, terrain: Terrain, height: Field, lakes: list[Lake]
) -> tuple[dict[str, Field], Field]:
    """Relative weight (H, W) of every surface, and the snowiness of `Ground`."""
    rng = settings.stream("surfaces")
    n = settings.size
    inner = slice(PAD, PAD + n)
    z, ice_far = height[inner, inner], terrain.glacier_distance[inner, inner]
    steep = slope_degrees(gaussian_filter(height, 1.5))[inner, inner]
    north_rise = -np.gradient(gaussian_filter(height, 4), axis=0)[inner, inner]
    pole = 1 if settings.epsg < 32700 else -1
    shady = np.clip(-pole * north_rise / 4, -1, 1)
    patchy, fine = smooth_noise(rng, n, 60), fractal(rng, n, 24, 4, 0.6)
    ice = gaussian_filter(terrain.glacier.astype(np.float32), 0.6)[inner, inner]
    marks = np.quantile(z[::8, ::8], [0.06, 0.26, 0.5])
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
    shares = {
        "ice_clean": ice * (1 - covered) * smoothstep(fine + patchy, -1.4, 0.6),
        "ice_dirty": ice * (1 - covered) * smoothstep(-fine - patchy, -0.6, 1.4),
        "moraine": (debris * (1 - wet) + covered * (1 - 0.3 * wet)) * (1 - plain),
        "wet_debris": (debris + 0.3 * covered + 0.25 * rock) * wet * (1 - plain),
        "silt_dry": plain * smoothstep(patchy, -0.3, 0.6),
        "silt_wet": plain * smoothstep(-patchy, -0.6, 0.3),
        "rock_granite": rock * smoothstep(stone, -0.4, 0.5) * (1 - 0.8 * plain),
        "rock_schist": rock * smoothstep(-stone, -0.5, 0.4) * (1 - 0.8 * plain),
        "rock_red": rock * smoothstep(smooth_noise(rng, n, 120), 0.8, 1.5),
        "grass": green * (1 - wood) * (1 - 0.85 * dry) * (1 - 0.5 * plain),
        "grass_dry": green * (1 - wood) * (0.1 + 0.85 * dry),
        "forest": green * wood,
    }
    shares["snow_old"] = ice * (1 - tongue) * 1.4 + 1e-4
    snowiness = 190 * shady + 80 * patchy + 70 * fine - 14 * np.clip(steep - 34, 0, 20)
    return shares, np.asarray(snowiness, np.float32)


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
