"""Clouds and their shadows on all dates of a season; nearly every pixel is clear at least once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from simulator.calendar import OpticalPass
from simulator.noise import Field, enlarge, fractal, smooth_noise, smoothstep
from simulator.plan import footprint
from simulator.settings import PIXEL, Settings
from simulator.world import World

_COARSE = 4
_SHADOW_SEEN, _CLOUD_SEEN = 0.25, 0.12


@dataclass(frozen=True)
class Sky:
    """Clouds over the square on one date, arrays (H, W)."""

    opacity: Field
    """0 clear to 1 opaque."""
    shadow: Field
    """Share of direct sunlight lost to cloud shadow."""
    thin: NDArray[np.bool_]
    """Mask of cirrus."""

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Mask of pixels neither under cloud nor in cloud shadow."""
        return (self.opacity < _CLOUD_SEEN) & (self.shadow < _SHADOW_SEEN)


def season_skies(world: World, passes: list[OpticalPass], season: int) -> list[Sky]:
    """Clouds on all dates of a season, in order.

    Cumulus fields with shadows displaced away from the sun. Pixels that would be hidden on every date are
    cleared on the clearest one, except around lakes that are planned to be hidden.
    """
    settings = world.settings
    dates = [p for p in passes if p.season == season]
    fields, heights, cirrus = [], [], []
    for date in dates:
        rng = settings.stream("clouds", season, date.number)
        opacity, height = _field(settings, date, rng)
        fields.append(opacity)
        heights.append(height)
        cirrus.append(_cirrus(settings, date, rng))
    best = int(np.argmin([f.mean() for f in fields]))
    for _ in range(3):
        hidden = np.logical_and.reduce(
            [
                (np.maximum(f, c) > 0.08) | (_cast(f, d, h) > 0.15)
                for f, c, d, h in zip(fields, cirrus, dates, heights, strict=True)
            ]
        )
        if not hidden.any():
            break
        margin = smoothstep(gaussian_filter(maximum_filter(hidden, 9).astype(np.float32), 3), 0.05, 0.6)
        back = np.maximum(margin, _cast(margin, dates[best], -heights[best]))
        fields[best] = fields[best] * (1 - back)
        cirrus[best] = cirrus[best] * (1 - margin)
    skies = []
    for number, date in enumerate(dates):
        low = _planned(world, date, season)
        shadow = np.maximum(_cast(fields[number], date, heights[number]), _cast(low, date, 260.0))
        dark = np.float32(settings.stream("cloud shadow", season, date.number).uniform(0.85, 0.98))
        thin = np.maximum(cirrus[number], _veil(settings, date))
        skies.append(_sky(np.maximum(fields[number], low), shadow * dark, thin, settings.size))
    return skies


def _coarse(settings: Settings) -> int:
    return settings.size // _COARSE


def _field(settings: Settings, date: OpticalPass, rng: np.random.Generator) -> tuple[Field, float]:
    """Opacity of cumulus on the 40 m grid, and its height above ground in metres."""
    n = _coarse(settings)
    shape = fractal(rng, n, rng.uniform(30, 70), 6, 0.62) + 0.8 * smooth_noise(rng, n, max(n / 2.5, 60))
    edge = np.quantile(shape, 1 - min(date.cloud, 0.6))
    return smoothstep(shape, edge - 0.10, edge + rng.uniform(0.4, 0.9)), float(rng.uniform(700, 2200))


def _cirrus(settings: Settings, date: OpticalPass, rng: np.random.Generator) -> Field:
    """Opacity of cirrus on the 40 m grid, up to 0.3; 0 on half of the dates."""
    n = _coarse(settings)
    veil = fractal(rng, n, 120, 4, 0.6)
    return smoothstep(veil, 1.4, 2.6) * np.float32(0.3 if rng.random() < 0.5 else 0.0)


def _veil(settings: Settings, date: OpticalPass) -> Field:
    """Opacity of thin cirrus on the 40 m grid, up to `date.veil`."""
    if not date.veil:
        return np.zeros((_coarse(settings),) * 2, np.float32)
    sheet = smooth_noise(settings.stream("veil", date.season, date.number), _coarse(settings), 60)
    return smoothstep(sheet, -1.5, 1.5) * np.float32(date.veil)


def _cast(opacity: Field, date: OpticalPass, height: float) -> Field:
    """Displace clouds at `height` metres to their shadow; a negative height displaces shadows to clouds."""
    azimuth, elevation = np.radians(date.sun)
    away = height / np.tan(elevation) / (PIXEL * _COARSE)
    down, right = round(float(np.cos(azimuth) * away)), round(float(-np.sin(azimuth) * away))
    n = opacity.shape[0]
    out = np.zeros_like(opacity)
    rows, cols = np.arange(n) - down, np.arange(n) - right
    ok_r, ok_c = (rows >= 0) & (rows < n), (cols >= 0) & (cols < n)
    out[np.ix_(ok_r, ok_c)] = opacity[np.ix_(rows[ok_r], cols[ok_c])]
    return gaussian_filter(out, 0.6)


def _planned(world: World, date: OpticalPass, season: int) -> Field:
    """Opacity of low clouds over lakes that are planned to be hidden on every date of the season."""
    settings = world.settings
    n = _coarse(settings)
    out = np.zeros((n, n), np.float32)
    index = settings.seasons.index(season)
    rng = settings.stream("planned clouds", season, date.number)
    ragged = fractal(rng, n, 11, 4, 0.7)
    east = settings.origin[0] + (np.arange(n) + 0.5) * PIXEL * _COARSE
    north = settings.origin[1] - (np.arange(n) + 0.5) * PIXEL * _COARSE
    for lake in world.lakes:
        if not (lake.clouded and lake.clouded[index]):
            continue
        shape = footprint(lake)
        reach = (
            np.sqrt((shape.bounds[2] - shape.bounds[0]) ** 2 + (shape.bounds[3] - shape.bounds[1]) ** 2) / 2
        )
        middle = (shape.bounds[0] + shape.bounds[2]) / 2, (shape.bounds[1] + shape.bounds[3]) / 2
        away = np.hypot(east[None, :] - middle[0], north[:, None] - middle[1]).astype(np.float32)
        blob = smoothstep(reach + 230 + 110 * np.clip(ragged, -1.3, 3) - away, -60, 70)
        out = np.maximum(out, blob)
    return out


def _sky(opacity: Field, shadow: Field, cirrus: Field, size: int) -> Sky:
    total = np.maximum(opacity, cirrus)
    fine = np.clip(enlarge(total, _COARSE), 0, 1)[:size, :size]
    thin = (enlarge(cirrus, _COARSE) > _CLOUD_SEEN)[:size, :size] & (fine < 0.35)
    return Sky(fine, np.clip(enlarge(shadow, _COARSE), 0, 1)[:size, :size] * (1 - 0.5 * fine), thin)
