"""Batches of chips from chip files, as a pure function of seed and step, so that runs can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from segmenter.manifest import (
    DEM_BANDS,
    OPTICAL_BANDS,
    RADAR_BANDS,
    Elevation,
    Inputs,
    Modality,
    ModalityName,
    Radar,
    Steepness,
)
from segmenter.normalise import relief
from training.chip_files import Chip, ChipFiles
from training.errors import TrainingError
from training.labels import FULL, IGNORED
from training.recipe import Augmentation, Recipe, SetShare

T = TypeVar("T")
Floats = NDArray[np.float32]
#: limits to which reflectance x 10000 and metres are clipped (CryoSentinel v1.0)
OPTICAL_CLIP, DEM_CLIP = (0.0, 16000.0), (-500.0, 9000.0)
#: path radiance of each optical band relative to blue: less steep than Rayleigh's law because of aerosol
HAZE = np.array([1.0, 0.85, 0.55, 0.32, 0.25, 0.2, 0.17, 0.13, 0.12, 0.1, 0.01, 0.0], np.float32)
#: reflectance that suspended sediment adds to water in each optical band, relative to red: low in blue, which
#: it absorbs, and nearly none in the shortwave infrared, which water absorbs (after Doxaran et al. 2002)
SEDIMENT = np.array([0.45, 0.65, 0.95, 1.0, 0.95, 0.45, 0.5, 0.4, 0.35, 0.3, 0.06, 0.04], np.float32)
#: first band of SEDIMENT in the near infrared, whose share grows with the concentration
_INFRARED = OPTICAL_BANDS.index("B06")
#: least number of labelled pixels of a chip in a batch
FEWEST_KNOWN = 500
#: least number of water pixels of a chip with water
FEWEST_WATER = 30
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """Chips in the units of the stack, before normalisation; NaN where there are no data. All are float32."""

    #: sensors of the batch; the arrays of others are NaN
    sensors: tuple[ModalityName, ...]
    #: (B, 12, H, W)
    optical: Tensor
    #: (B, 2, H, W)
    radar: Tensor
    #: (B, 1, H, W)
    dem: Tensor
    #: (B, H, W) share of water 0..1
    water: Tensor
    #: (B, H, W) 1 where the pixel is labelled and all sensors of the batch saw it
    known: Tensor


class ChipSource:
    """Draws the chips of a step, all with the sensors of one set, from the training chips of `files`."""

    def __init__(self, files: Sequence[ChipFiles], recipe: Recipe) -> None:
        self._files, self._recipe = files, recipe
        parts = [
            part.table.assign(file=number, row=np.arange(len(part))) for number, part in enumerate(files)
        ]
        table = pd.concat(parts, ignore_index=True)
        table = table[(table.split == "train") & (table.known_pixels >= FEWEST_KNOWN)]
        self._pools = [_Pool(table, entry) for entry in recipe.sets]
        shares = np.array([entry.share for entry in recipe.sets])
        self._shares = shares / shares.sum()

    def batch(self, step: int) -> Batch:
        """The chips of `step`; the same for every call."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, step])
        number = int(rng.choice(len(recipe.sets), p=self._shares))
        sensors = recipe.sets[number].sensors
        drawn = [self._chip(self._pools[number], sensors, recipe.window, rng) for _ in range(recipe.batch)]
        optical, radar, dem, labels, known = (np.stack(part) for part in zip(*drawn, strict=True))
        arrays = (optical, radar, dem, water_share(labels), known.astype(np.float32))
        return Batch(sensors, *map(torch.from_numpy, arrays))

    def _chip(
        self, pool: _Pool, sensors: Sequence[ModalityName], size: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], ...]:
        """A window of a chip, augmented and flipped: optical, radar, DEM (bands, H, W); labels, known."""
        recipe = self._recipe
        for _ in range(_TRIES):
            file, row, wet = pool.draw(recipe, rng)
            chip = self._files[file][row]
            pixel = _on_a_lake(chip.labels, rng) if wet else None
            chip = _window(chip.labels.shape, size, rng, pixel).of(chip)
            optical, radar, dem = (bands_of(chip, name, sensors) for name in ("S2L2A", "S1", "DEM"))
            known = (chip.labels != IGNORED) & seen(sensors, optical, radar, dem)
            if known.sum() >= FEWEST_KNOWN:
                break
        cloud_water(optical, chip.labels, recipe.augmentation, rng)
        augment(optical, radar, recipe.augmentation, rng)
        axes = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
        return tuple(np.flip(array, axes) for array in (optical, radar, dem, chip.labels, known))


class _Pool:
    """The chips that have the sensors of a set: simulated and real ones, with water and all."""

    def __init__(self, table: pd.DataFrame, entry: SetShare) -> None:
        having = table[[set(entry.sensors) <= set(sensors) for sensors in table.sensors]]
        wet = having.water_pixels >= FEWEST_WATER
        of_real = having.origin == "real"
        if not (wet & ~of_real).any():
            raise TrainingError(f"chips: no simulated one with water has the sensors {entry.name}; add seeds")
        self._simulated = _chips_of(having[wet & ~of_real]), _chips_of(having[~of_real])
        self._real = _by_ground(having[wet & of_real]), _by_ground(having[of_real])
        self._places = sum(map(len, self._real[1]))

    def draw(self, recipe: Recipe, rng: np.random.Generator) -> tuple[int, int, bool]:
        """(file, row) of a chip, and whether it was drawn because it has water.

        Of real chips, first a class of ground is drawn, then a place, then a chip, because some classes have
        many places, and some places many chips that overlap. Where few places have the sensors of the set,
        their share is smaller: with the whole share, the network would see little else.
        """
        real = recipe.real * min(1.0, self._places / recipe.real_places)
        of_real = rng.random() < real
        wet = rng.random() < recipe.water_to_background / (recipe.water_to_background + 1)
        if not of_real:
            return *_any(self._simulated[0] if wet else self._simulated[1], rng), wet
        wet = wet and bool(self._real[0])
        return *_any(_any(_any(self._real[0] if wet else self._real[1], rng), rng), rng), wet


Chips = list[tuple[int, int]]


def _chips_of(table: pd.DataFrame) -> Chips:
    """(file, row) of the chips."""
    return list(zip(table.file, table.row, strict=True))


def _by_ground(table: pd.DataFrame) -> list[list[Chips]]:
    """The chips of every place of every class of ground."""
    return [
        [_chips_of(chips) for _, chips in places.groupby("place")] for _, places in table.groupby("ground")
    ]


def _any(values: Sequence[T], rng: np.random.Generator) -> T:
    return values[int(rng.integers(len(values)))]


def bands_of(chip: Chip, name: ModalityName, sensors: Sequence[ModalityName]) -> Floats:
    """Bands (12 | 2 | 1, H, W) of a sensor, float32; NaN if the chip lacks it, or it is not in `sensors`."""
    dem = None if chip.dem is None else chip.dem[None]
    array = {"S2L2A": chip.optical, "S1": chip.radar, "DEM": dem}[name]
    bands = {"S2L2A": OPTICAL_BANDS, "S1": RADAR_BANDS, "DEM": DEM_BANDS}[name]
    if array is None or name not in sensors:
        return np.full((len(bands), *chip.labels.shape), np.nan, np.float32)
    return array.astype(np.float32)


def seen(sensors: Sequence[ModalityName], optical: Floats, radar: Floats, dem: Floats) -> NDArray[np.bool_]:
    """Pixels (H, W) with every band of `sensors` finite. Bands that are missing everywhere do not count.

    Args:
        optical, radar, dem: (12 | 2 | 1, H, W).
    """
    known = np.ones(dem.shape[-2:], bool)
    for name, array in (("S2L2A", optical), ("S1", radar), ("DEM", dem)):
        if name in sensors:
            finite = np.isfinite(array)
            there = finite.any(axis=(1, 2))
            known &= finite[there].all(axis=0) if there.any() else False
    return known


@dataclass(frozen=True)
class _Window:
    """A square of `size` pixels: a part of a larger chip, or around a smaller one, for each axis."""

    size: int
    #: rows and columns of the chip that are in the window
    inside: tuple[slice, slice]
    #: their first row and column in the window
    at: tuple[int, int]

    def of(self, chip: Chip) -> Chip:
        """The window of a chip; missing and unlabelled beyond it."""
        fills = {"optical": np.nan, "radar": np.nan, "dem": np.nan, "labels": IGNORED}
        arrays = {name: getattr(chip, name) for name in fills}
        cut: dict[str, Any] = {
            name: self._cut(array, fills[name]) for name, array in arrays.items() if array is not None
        }
        return replace(chip, **cut, left=None, top=None)

    def _cut(self, array: NDArray[Any], fill: float) -> NDArray[Any]:
        """The window of (..., H, W), filled beyond the chip."""
        part = array[(..., *self.inside)]
        if part.shape[-2:] == (self.size, self.size):
            return part
        wide = np.full((*array.shape[:-2], self.size, self.size), fill, array.dtype)
        rows, cols = (slice(first, first + n) for first, n in zip(self.at, part.shape[-2:], strict=True))
        wide[..., rows, cols] = part
        return wide


def _on_a_lake(labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a pixel of water in a chip that has water; every lake is as likely."""
    lakes, count = ndimage.label((labels > 0) & (labels != IGNORED))
    pixels = np.argwhere(lakes == rng.integers(1, count + 1))
    row, col = pixels[rng.integers(len(pixels))]
    return int(row), int(col)


def _window(
    shape: tuple[int, ...], size: int, rng: np.random.Generator, pixel: tuple[int, int] | None
) -> _Window:
    """A window at a random place that has `pixel` in it, if there is one."""
    inside, at = [], []
    for axis, length in enumerate(shape):
        low, high = 0, abs(length - size)
        if pixel is not None and length > size:
            low, high = max(0, pixel[axis] - size + 1), min(high, pixel[axis])
        first = int(rng.integers(low, high + 1))
        inside.append(slice(first, first + size) if length > size else slice(0, length))
        at.append(0 if length > size else first)
    return _Window(size, (inside[0], inside[1]), (at[0], at[1]))


def augment(optical: Floats, radar: Floats, how: Augmentation, rng: np.random.Generator) -> None:
    """Change brightness, haze and backscatter of one chip in place; NaN stays NaN.

    Some chips lose some optical bands, which become NaN.
    """
    if rng.random() < how.spectral:
        gains = 1 + rng.normal(0, how.band_gain[0], len(OPTICAL_BANDS)) + rng.normal(0, how.brightness)
        optical *= np.clip(gains, 0.5, 1.7).astype(np.float32)[:, None, None]
        optical += (rng.uniform(0, how.haze) * HAZE)[:, None, None].astype(np.float32)
        # 6 dB: spread of a scene
        shift = rng.normal(0, how.radar_shift) + rng.normal(0, how.band_gain[1] * 6, len(RADAR_BANDS))
        radar += shift.astype(np.float32)[:, None, None]
    if rng.random() < how.shaded:
        shade(optical, rng)
    if rng.random() < how.lacking:
        optical[rng.permutation(len(OPTICAL_BANDS))[: int(rng.integers(1, how.most_lacking + 1))]] = np.nan


def water_share(labels: NDArray[np.uint8]) -> Floats:
    """Share of water of every pixel, 0..1; 0 where it is unknown."""
    return np.where(labels == IGNORED, 0, labels.astype(np.float32) / FULL).astype(np.float32)


def cloud_water(
    optical: Floats, labels: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator
) -> None:
    """Add suspended sediment to the water of some chips (12, H, W), in place.

    Meltwater and floods carry more sediment than most simulated lakes, from milky to brown.

    Args:
        labels: (H, W), as in a chip.
    """
    if rng.random() < how.turbid:
        spectrum = SEDIMENT.copy()
        spectrum[_INFRARED:] *= rng.uniform(0.4, 2.0)
        added = (rng.uniform(0, how.sediment) * spectrum).astype(np.float32)
        optical += water_share(labels) * added[:, None, None]


def shade(optical: Floats, rng: np.random.Generator) -> None:
    """Put patches of a chip (12, H, W) into shadow, in place.

    In shadow the ground has skylight only, whose share of the light decreases from blue to infrared. Shadow
    of houses, trees, clouds and low winter sun is dark and blue as water is, whatever the ground.
    """
    height, width = optical.shape[1:]
    grain = rng.uniform(1.5, 25)
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width), dtype=np.float32), grain)
    covered = noise > np.quantile(noise, rng.uniform(0.3, 0.9))
    soft = ndimage.uniform_filter(covered.astype(np.float32), 3)
    lit = rng.uniform(0.05, 0.4) + rng.uniform(0.1, 0.5) * HAZE
    optical *= 1 - soft * (1 - np.clip(lit, 0, 1))[:, None, None].astype(np.float32)


def statistics(files: Sequence[ChipFiles], s1_kind: str = "rtc", most: int = 200, step: int = 7) -> Inputs:
    """Mean and standard deviation of every input over thinned pixels of simulated training chips.

    Args:
        most: number of chips, spread evenly over the files.
        step: distance along each axis of the pixels that are used.
    """
    chips = [
        (part, row)
        for part in files
        for row in np.flatnonzero((part.table.split == "train") & (part.table.origin == "simulated"))
    ]
    if not chips:
        raise TrainingError("chips: none is simulated and for training; add seeds")
    used = [part[row] for part, row in chips[:: -(-len(chips) // most)]]

    def thin(name: ModalityName) -> NDArray[np.float64]:
        parts = [bands_of(chip, name, chip.sensors)[:, ::step, ::step] for chip in used]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], 1).astype(np.float64)

    def of(values: NDArray[np.float64]) -> dict[str, tuple[float, ...]]:
        return {
            "mean": tuple(round(float(value), 3) for value in np.nanmean(values, 1)),
            "std": tuple(round(float(value), 3) for value in np.nanstd(values, 1)),
        }

    optical = np.clip(thin("S2L2A"), *OPTICAL_CLIP)
    return Inputs(
        S2L2A=Modality(bands=OPTICAL_BANDS, clip=OPTICAL_CLIP, **of(optical)),
        S1=Radar.model_validate({"kind": s1_kind, "bands": RADAR_BANDS, **of(thin("S1"))}),
        DEM=Elevation(bands=DEM_BANDS, clip=DEM_CLIP, **of(thin("DEM")), steepness=_steepness(used)),
    )


def _steepness(chips: Sequence[Chip]) -> Steepness:
    """Mean and standard deviation of the steepness of chips, as the network takes it."""
    metres = Elevation(bands=DEM_BANDS, mean=(0.0,), std=(1.0,), steepness=Steepness(mean=0.0, std=1.0))
    dems = (torch.from_numpy(bands_of(chip, "DEM", chip.sensors)[None]) for chip in chips)
    values = np.concatenate([relief(dem, metres).numpy().ravel() for dem in dems])
    return Steepness(mean=round(float(np.nanmean(values)), 4), std=round(float(np.nanstd(values)), 4))
