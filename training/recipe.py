"""Hyperparameters of training; they are recorded in the model's manifest."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from segmenter.architecture import PATCH
from segmenter.manifest import SENSORS, Architecture, ModalityName, code_of
from segmenter.sensors import sensors_of
from training.errors import TrainingError

#: seed of the demo's archive, which must not be used for training
DEMO_SEED = 7


@dataclass(frozen=True)
class Augmentation:
    """Random changes of chips. Each chip is changed with the probability `spectral`."""

    #: probability that a chip is changed
    spectral: float = 0.7
    #: standard deviation of the gain of each band, for optical and radar (CryoSentinel v1.0: 0.03 and 0.07;
    #: more in the optical bands, because real spectra vary more than those of one simulator)
    band_gain: tuple[float, float] = (0.05, 0.07)
    #: standard deviation of a gain common to all optical bands, since light varies more than in one region
    brightness: float = 0.2
    #: greatest added path radiance in the blue band, reflectance x 10000; it decreases to 0 in the infrared
    haze: float = 300.0
    #: probability that the water of a chip carries more sediment, and the greatest reflectance x 10000 that
    #: this adds in red
    turbid: float = 0.3
    sediment: float = 2200.0
    #: probability that patches of a chip are put into shadow
    shaded: float = 0.25
    #: probability that a chip lacks some optical bands, and the greatest number of these
    lacking: float = 0.1
    most_lacking: int = 4
    #: standard deviation of a shift of both polarisations, dB
    radar_shift: float = 0.8


@dataclass(frozen=True)
class SetShare:
    """A set of sensors, and its share of the training steps."""

    sensors: tuple[ModalityName, ...]
    share: float

    def __post_init__(self) -> None:
        if self.sensors != sensors_of(code_of(self.sensors)):
            raise TrainingError(f"sets: {self.sensors} must be some of {SENSORS}, in this order")
        if not self.share > 0:
            raise TrainingError(f"sets: the share of {'+'.join(self.sensors)} must be above 0")

    @property
    def name(self) -> str:
        """Such as "S1+DEM"."""
        return "+".join(self.sensors)


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the fit."""

    steps: int = 3500
    #: number of chips of a step
    batch: int = 24
    #: edge of their windows, px; that of prediction
    window: int = 224
    #: peak learning rate of AdamW, after a linear warm-up and before a cosine decay to 0
    rate: float = 1e-3
    #: steps in which the rate increases
    warmup: int = 50
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    #: decay of the exponential moving average of the weights, which becomes the model
    ema: float = 0.99
    #: weight of the soft Dice term, relative to binary cross-entropy (Milletari et al. 2016)
    dice: float = 1.0
    #: chips with water drawn per chip drawn from all (CryoSentinel v1.0's sampler)
    water_to_background: float = 3.0
    #: sets of sensors, of which each step has one; the first is that of all sensors. The others are absent as
    #: they are in prediction: the network has no tokens of them
    sets: tuple[SetShare, ...] = (
        SetShare(("S2L2A", "S1", "DEM"), 0.45),
        SetShare(("S2L2A", "DEM"), 0.08),
        SetShare(("S2L2A", "S1"), 0.07),
        SetShare(("S2L2A",), 0.2),
        SetShare(("S1", "DEM"), 0.2),
    )
    #: share of real chips in the steps of a set of sensors that at least `real_places` real places have; it
    #: decreases in proportion to the number of places
    real: float = 0.4
    real_places: int = 20
    #: share of the head's channels dropped in each chip; dropout in prediction gives an uncertainty only if
    #: the network was trained with it (Gal and Ghahramani 2016)
    dropout: float = 0.1
    seed: int = 42
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2:
            raise TrainingError(f"steps {self.steps}, batch {self.batch}: must be at least 1 step of 2 chips")
        if self.window < PATCH or self.window % PATCH:
            raise TrainingError(f"window {self.window}: must be a multiple of {PATCH} px")
        if not 0 < self.dropout < 1:
            raise TrainingError(f"dropout: must be between 0 and 1, got {self.dropout}")
        if not 0 <= self.real < 1:
            raise TrainingError(f"real: must be at least 0 and below 1, got {self.real}")
        names = [entry.name for entry in self.sets]
        if names[:1] != ["+".join(SENSORS)] or len(set(names)) < len(names):
            raise TrainingError(
                f"sets: must begin with {'+'.join(SENSORS)} and name each set once, got {names}"
            )

    def rate_at(self, step: int) -> float:
        """Rate of `step`, from 0: linear warm-up, then half a cosine (Loshchilov and Hutter 2017)."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * progress))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


#: smallest TerraMind encoder, with a quarter of the decoder's channels: 6.8 M weights, 14 MB as float16
ARCHITECTURE = Architecture(backbone="terramind_v1_tiny", indices=(2, 5, 8, 11), decoder_channels=64)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds such as `101-104,110` to (101, 102, 103, 104, 110).

    Raises:
        TrainingError: the text is not a list of seeds, a range is reversed, a seed is repeated or the demo's.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            start, end = int(first), int(last or first)
        except ValueError as error:
            raise TrainingError(f"seeds: {part!r} is neither a number nor a range such as 101-116") from error
        if start > end:
            raise TrainingError(f"seeds: {part!r} is reversed; write {end}-{start}")
        seeds += range(start, end + 1)
    if len(set(seeds)) < len(seeds):
        raise TrainingError(f"seeds: {text!r} names a seed twice")
    if DEMO_SEED in seeds:
        raise TrainingError(f"seeds: {DEMO_SEED} is the demo's, which must not be used for training; omit it")
    return tuple(seeds)


def parse_sensors(text: str) -> tuple[ModalityName, ...]:
    """Parse a set of sensors such as `S1+DEM`, in any order.

    Raises:
        TrainingError: it names something else.
    """
    named = [part.strip() for part in text.split("+")]
    if unknown := [part for part in named if part not in SENSORS]:
        raise TrainingError(
            f"sensors: {', '.join(unknown)}: must be some of {', '.join(SENSORS)}, joined by +"
        )
    return tuple(name for name in SENSORS if name in named)
