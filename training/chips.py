"""Chips drawn from whole scenes, as a pure function of seed and step, so that runs can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Inputs, Modality, Radar
from training.errors import TrainingError
from training.labels import FULL, IGNORED
from training.recipe import Augmentation, Recipe
from training.scenes import LabelledStack

Floats = NDArray[np.float32]
OPTICAL = len(OPTICAL_BANDS)
#: limits to which reflectance x 10000 and metres are clipped (CryoSentinel v1.0)
OPTICAL_CLIP, DEM_CLIP = (0.0, 16000.0), (-500.0, 9000.0)
#: path radiance of each optical band relative to blue: less steep than Rayleigh's law because of aerosol
HAZE = np.array([1.0, 0.85, 0.55, 0.32, 0.25, 0.2, 0.17, 0.13, 0.12, 0.1, 0.01, 0.0], np.float32)
#: least labelled share of a chip; others are drawn again
KNOWN_SHARE = 0.3
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """Chips in the units of the stack, before normalisation; NaN where there are no data."""

    #: (B, 12, H, W)
    optical: Floats
    #: (B, 2, H, W)
    radar: Floats
    #: (B, 1, H, W)
    dem: Floats
    #: (B, H, W) share of water 0..1
    water: Floats
    #: (B, H, W) 1 where the pixel is labelled
    known: Floats


class ChipSource:
    """Draws chips from `scenes`, around lakes (all equally likely) and anywhere, in the recipe's ratio."""

    def __init__(self, scenes: Sequence[LabelledStack], recipe: Recipe) -> None:
        self._scenes, self._recipe = scenes, recipe
        smallest = min((min(scene.labels.shape) for scene in scenes), default=0)
        if smallest < recipe.chip:
            raise TrainingError(f"scenes: the smallest is {smallest} px wide, a chip is {recipe.chip}")
        #: (scene, row, col) of a pixel in each lake
        self._lakes = [
            (index, round(row), round(col))
            for index, scene in enumerate(scenes)
            for row, col in _lakes_of(scene.labels)
        ]
        if not self._lakes:
            raise TrainingError("scenes: none of them contains water; add seeds")

    def batch(self, step: int) -> Batch:
        """The chips of `step`; the same for every call."""
        rng = np.random.default_rng([self._recipe.seed, step])
        drawn = [self._chip(rng) for _ in range(self._recipe.batch)]
        bands, dem, labels = (np.stack(part) for part in zip(*drawn, strict=True))
        water = np.where(labels == IGNORED, 0, labels.astype(np.float32) / FULL).astype(np.float32)
        return Batch(
            bands[:, :OPTICAL], bands[:, OPTICAL:], dem, water, (labels != IGNORED).astype(np.float32)
        )

    def _chip(self, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.uint8]]:
        """One chip, augmented and flipped: bands (14, H, W), DEM (1, H, W), labels (H, W)."""
        for _ in range(_TRIES):
            scene, rows, cols = self._place(rng)
            labels = np.array(scene.labels[rows, cols])
            if (labels != IGNORED).mean() >= KNOWN_SHARE:
                break
        bands = scene.bands[:, rows, cols].astype(np.float32)
        dem = np.array(scene.dem[None, rows, cols])
        augment(bands, dem, self._recipe.augmentation, rng)
        axes = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
        return np.flip(bands, axes), np.flip(dem, axes), np.flip(labels, axes)

    def _place(self, rng: np.random.Generator) -> tuple[LabelledStack, slice, slice]:
        chip, ratio = self._recipe.chip, self._recipe.water_to_background
        if rng.random() < ratio / (ratio + 1):
            index, row, col = self._lakes[int(rng.integers(len(self._lakes)))]
            scene = self._scenes[index]
            row, col = (int(place - rng.integers(chip)) for place in (row, col))
        else:
            scene = self._scenes[int(rng.integers(len(self._scenes)))]
            row, col = (int(rng.integers(edge - chip + 1)) for edge in scene.labels.shape)
        height, width = scene.labels.shape
        row, col = min(max(row, 0), height - chip), min(max(col, 0), width - chip)
        return scene, slice(row, row + chip), slice(col, col + chip)


def _lakes_of(labels: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Centre (row, col) of every connected water body of a scene."""
    numbered, count = ndimage.label((labels > 0) & (labels != IGNORED))
    if not count:
        return []
    centres = ndimage.center_of_mass(numbered > 0, numbered, range(1, count + 1))
    return [(float(row), float(col)) for row, col in centres]


def augment(bands: Floats, dem: Floats, how: Augmentation, rng: np.random.Generator) -> None:
    """Change brightness, haze, backscatter and elevation of one chip in place; NaN stays NaN."""
    if rng.random() >= how.spectral:
        return
    optical, radar = bands[:OPTICAL], bands[OPTICAL:]
    gains = 1 + rng.normal(0, how.band_gain[0], OPTICAL) + rng.normal(0, how.brightness)
    optical *= np.clip(gains, 0.6, 1.5).astype(np.float32)[:, None, None]
    optical += (rng.uniform(0, how.haze) * HAZE)[:, None, None].astype(np.float32)
    shift = rng.normal(0, how.radar_shift) + rng.normal(0, how.band_gain[1] * 6, 2)  # 6 dB: spread of a scene
    radar += shift.astype(np.float32)[:, None, None]
    dem += np.float32(rng.normal(0, how.dem_shift))


def statistics(scenes: Sequence[LabelledStack], s1_kind: str = "rtc", step: int = 7) -> Inputs:
    """Mean and standard deviation of every input over every `step`-th pixel along each axis of `scenes`."""
    thin = [scene.bands[:, ::step, ::step].astype(np.float64) for scene in scenes]
    bands = np.concatenate([part.reshape(len(part), -1) for part in thin], 1)
    dem = np.concatenate([scene.dem[::step, ::step].astype(np.float64).ravel() for scene in scenes])
    bands[:OPTICAL] = np.clip(bands[:OPTICAL], *OPTICAL_CLIP)
    mean, std = (
        [round(float(value), 3) for value in values] for values in (np.nanmean(bands, 1), np.nanstd(bands, 1))
    )
    optical, radar = slice(0, OPTICAL), slice(OPTICAL, None)
    return Inputs(
        S2L2A=Modality(
            bands=OPTICAL_BANDS, clip=OPTICAL_CLIP, mean=tuple(mean[optical]), std=tuple(std[optical])
        ),
        S1=Radar.model_validate(
            {"kind": s1_kind, "bands": RADAR_BANDS, "mean": tuple(mean[radar]), "std": tuple(std[radar])}
        ),
        DEM=Modality(
            bands=DEM_BANDS,
            clip=DEM_CLIP,
            mean=(round(float(np.nanmean(dem)), 3),),
            std=(round(float(np.nanstd(dem)), 3),),
        ),
    )
