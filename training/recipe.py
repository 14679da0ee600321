"""Every number that decides the weights, in one place; it is written into the model's manifest."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from segmenter.manifest import Architecture
from training.errors import TrainingError

#: the seed of the demo's archive, which no model may have seen
DEMO_SEED = 7


@dataclass(frozen=True)
class Augmentation:
    """What is changed in a chip before the network sees it. Shares are probabilities a chip."""

    #: share of chips whose brightness is changed at all
    spectral: float = 0.6
    #: standard deviation of a band's own gain, optical and radar and DEM (recipe of CryoSentinel v1.0)
    band_gain: tuple[float, float, float] = (0.03, 0.07, 0.02)
    #: standard deviation of a gain common to all optical bands: light varies more than one region shows
    brightness: float = 0.08
    #: greatest path radiance added in the blue, reflectance x 10000; it falls to nothing in the infrared
    haze: float = 150.0
    #: standard deviation of a shift of both polarisations, dB
    radar_shift: float = 0.8
    #: standard deviation of a shift of all elevations, metres: height alone says nothing about water
    dem_shift: float = 600.0


@dataclass(frozen=True)
class Recipe:
    """How the network is fitted."""

    steps: int = 1000
    batch: int = 8
    #: peak learning rate of AdamW, after a linear warm-up, falling to nothing along a cosine
    rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    #: decay of the exponential mean of the weights that is kept as the model
    ema: float = 0.99
    #: weight of the soft Dice term beside binary cross-entropy (Milletari et al. 2016)
    dice: float = 1.0
    #: chips drawn around water for each drawn anywhere (CryoSentinel v1.0's sampler)
    water_to_background: float = 3.0
    #: share of the head's channels left out in each chip: the spread of the same dropout in prediction means
    #: something only where the network was trained with it (Gal and Ghahramani 2016)
    dropout: float = 0.1
    seed: int = 42
    chip: int = 224
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2:
            raise TrainingError(f"steps {self.steps}, batch {self.batch}: at least 1 step of 2 chips")
        if not 0 < self.dropout < 1:
            raise TrainingError(f"dropout: must be between 0 and 1, got {self.dropout}")

    def rate_at(self, step: int) -> float:
        """Learning rate of `step` (from 0): linear warm-up, half a cosine (Loshchilov and Hutter 2017)."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


#: the smallest TerraMind encoder, the decoder's channels quartered: 6.8 M weights, 14 MB as float16
ARCHITECTURE = Architecture(backbone="terramind_v1_tiny", indices=(2, 5, 8, 11), decoder_channels=64)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`101-104,110` as (101, 102, 103, 104, 110).

    Raises:
        TrainingError: not seeds, backwards, twice the same, or the demo's.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            start, end = int(first), int(last or first)
        except ValueError as error:
            raise TrainingError(f"seeds: {part!r} is neither a number nor a range such as 101-116") from error
        if start > end:
            raise TrainingError(f"seeds: {part!r} runs backwards; write {end}-{start}")
        seeds += range(start, end + 1)
    if len(set(seeds)) < len(seeds):
        raise TrainingError(f"seeds: {text!r} names a seed twice")
    if DEMO_SEED in seeds:
        raise TrainingError(f"seeds: {DEMO_SEED} is the demo's, which no model may have seen; leave it out")
    return tuple(seeds)
