"""Scene classification like that of Sen2Cor, with its errors: lakes are class 6, but also 2, 3 and 11."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulator.calendar import OpticalPass
from simulator.clouds import Sky
from simulator.noise import shrink
from simulator.world import World

DARK, SHADOW, PLANTS, BARE, WATER, UNSURE, CLOUD_MAYBE, CLOUD, CIRRUS, SNOW = 2, 3, 4, 5, 6, 7, 8, 9, 10, 11


def classify(
    world: World, date: OpticalPass, sky: Sky, bands: dict[str, NDArray[np.uint16]], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Classes (H / 2, W / 2): true clouds, else thresholds like Sen2Cor's (Main-Knorn et al. 2017)."""
    blue, green, red, near, swir = (
        (shrink(bands[b], 2) if b in ("B02", "B03", "B04") else bands[b].astype(np.float32)) - date.offset
        for b in ("B02", "B03", "B04", "B8A", "B11")
    )
    greenness = (near - red) / np.maximum(near + red, 1)
    whiteness = (green - swir) / np.maximum(green + swir, 1)
    wetness = (green - near) / np.maximum(green + near, 1)
    jitter = gaussian_filter(rng.standard_normal(near.shape, dtype=np.float32), 1.0) * 3.5
    classes = np.full(near.shape, BARE, np.uint8)
    classes[(blue > 2600) & (greenness < 0.1)] = UNSURE
    classes[greenness > 0.36] = PLANTS
    classes[(near < 850 + 120 * jitter) & (swir < 900)] = DARK
    classes[(wetness > 0.12 + 0.06 * jitter) & (near < 1500) & (swir < 600) & (green > 250)] = WATER
    classes[(whiteness > 0.42) & (green > 1500 + 150 * jitter) & (near > 1100)] = SNOW
    _lake_mistakes(world, date, classes, rng)
    opacity, shade = shrink(sky.opacity, 2), shrink(sky.shadow, 2)
    classes[(shade > 0.3 + 0.08 * jitter)] = SHADOW
    classes[opacity > 0.12] = CLOUD_MAYBE
    classes[opacity > 0.50 + 0.08 * jitter] = CLOUD
    classes[shrink(sky.thin, 2) > 0.5] = CIRRUS
    bright = (classes == BARE) & (blue > 2300) & (jitter > 1.6)
    classes[bright] = CLOUD_MAYBE
    return classes


def _lake_mistakes(
    world: World, date: OpticalPass, classes: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    """Classify some lakes, whole or in part, as dark ground, cloud shadow or snow."""
    water = world.water[date.season]
    called = rng.choice([0, DARK, SHADOW, SNOW], size=len(world.lakes), p=[0.70, 0.14, 0.10, 0.06])
    part = rng.uniform(0.3, 1.0, len(world.lakes))
    n = world.settings.size
    full = water.share > 0.5
    rows, cols, owner = water.pixels[full] // n // 2, water.pixels[full] % n // 2, water.lake[full]
    chosen = (called[owner] > 0) & (rng.random(owner.size) < part[owner])
    classes[rows[chosen], cols[chosen]] = called[owner[chosen]]
