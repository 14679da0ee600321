"""Illumination: position of the sun, illumination of slopes, and shadows of ridges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulator.noise import Field
from simulator.settings import PIXEL


@dataclass(frozen=True)
class Light:
    """Illumination of every pixel (H, W) relative to flat open ground."""

    direct: Field
    """Direct light after the partial terrain correction of the product, 0 in shadow."""
    sky: Field
    """Diffuse light, in proportion to the visible share of the sky."""
    lit: Field
    """1 in the sun, 0 in cast shadow or self-shadow, values between in the penumbra."""


def sun_position(lat: float, day_of_year: int, local_hour: float) -> tuple[float, float]:
    """Azimuth (from north, clockwise) and elevation of the sun, degrees; declination after Cooper (1969)."""
    declination = np.radians(23.45 * np.sin(2 * np.pi * (284 + day_of_year) / 365))
    hour, phi = np.radians(15.0 * (local_hour - 12.0)), np.radians(lat)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return float(np.degrees(np.arctan2(east, north)) % 360), float(np.degrees(np.arcsin(up)))


def gradient(height: NDArray[np.floating]) -> tuple[Field, Field]:
    """Gradient towards east and towards north, metres per metre."""
    down, east = np.gradient(height, np.float32(PIXEL))
    return np.asarray(east, np.float32), np.asarray(-down, np.float32)


def slope_degrees(height: NDArray[np.floating]) -> Field:
    """Slope of the ground in degrees."""
    east, north = gradient(height)
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))), np.float32)


def horizon_excess(height: Field, azimuth: float, elevation: float, reach: int = 256) -> Field:
    """Height in metres of the ground towards `azimuth` above the ray of that elevation; positive means
    hidden.

    The length of the running maximum along the ray doubles in each step, so `reach` pixels need log2(reach)
    passes.
    """
    towards = np.array([-np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])  # rows, columns
    drop = np.tan(np.radians(elevation)) * PIXEL
    ahead = _shifted(height, towards) - np.float32(drop)
    step = 1
    while step < reach:
        ahead = np.maximum(ahead, _shifted(ahead, towards * step) - np.float32(drop * step))
        step *= 2
    return ahead - height


def _shifted(field: Field, by: np.ndarray) -> Field:
    """Value at an offset `by` (rows, columns) from each pixel; very low outside."""
    n, m = field.shape
    down, right = (round(float(v)) for v in by)
    out = np.full_like(field, -1e6)
    rows, cols = slice(max(0, -down), min(n, n - down)), slice(max(0, -right), min(m, m - right))
    if rows.start < rows.stop and cols.start < cols.stop:
        out[rows, cols] = field[rows.start + down : rows.stop + down, cols.start + right : cols.stop + right]
    return out


def light(height: Field, azimuth: float, elevation: float, exponent: float = 0.75) -> Light:
    """Illumination of the ground for one position of the sun.

    Sen2Cor corrects for slope only in part. The cosine law therefore has an `exponent` below 1 (similar to
    Minnaert 1941), 0 where all slopes are as bright as flat ground; the diffuse part follows Richter and
    Schlaepfer (2002).
    """
    east, north = gradient(height)
    az, el = np.radians(azimuth), np.radians(elevation)
    tilt = 1.0 / np.sqrt(1 + east**2 + north**2)
    sun = np.sin(el) - np.cos(el) * (np.sin(az) * east + np.cos(az) * north)
    incidence = np.clip(sun * tilt / np.sin(el), 0, 1.8).astype(np.float32)
    excess = gaussian_filter(horizon_excess(height, azimuth, elevation), 0.7)
    lit = np.clip(0.5 - excess / 6.0, 0, 1).astype(np.float32)
    lit *= np.clip(incidence / 0.08, 0, 1)
    hollow = gaussian_filter(height[::4, ::4], 6.0) - height[::4, ::4]
    open_sky = np.repeat(np.repeat(np.clip(1 - hollow / 400, 0.55, 1.0), 4, 0), 4, 1)[
        : height.shape[0], : height.shape[1]
    ]
    sky = (0.5 + 0.5 * tilt) * open_sky
    return Light(direct=incidence ** np.float32(exponent) * lit, sky=np.asarray(sky, np.float32), lit=lit)
