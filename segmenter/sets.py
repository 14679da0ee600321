"""The set of sensors with which a pixel is predicted, by one model or by several together. No torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import Manifest
from segmenter.sensors import ALL, SensorSet, best_set, code_of, sensors_of


def validated(manifests: Sequence[Manifest]) -> tuple[int, ...]:
    """Codes of the sets of sensors for which every one of the models was validated, the best first.

    The first has all sensors of the models; the others are in the order of the first model with the most
    sensors. A model takes of a set those sensors that it knows, so models of different sensors can be an
    ensemble.
    """
    everything = code_of(name for manifest in manifests for name in manifest.sensors)
    by_sensors = sorted(manifests, key=lambda manifest: -len(manifest.sensors))
    candidates = (entry.code for manifest in by_sensors for entry in manifest.sets)
    return tuple(
        code
        for code in dict.fromkeys((everything, *candidates))
        if all(_taken(manifest, code) in {entry.code for entry in manifest.sets} for manifest in manifests)
    )


def choices(manifests: Sequence[Manifest]) -> NDArray[np.uint8]:
    """(8,) code of the set with which a pixel is predicted, by the code of the sensors that it has.

    0 where no set was validated. For one model it is the code of `Manifest.set_for`.
    """
    codes = validated(manifests)
    return np.array([best_set(codes, present) for present in range(ALL + 1)], np.uint8)


def calibration(manifest: Manifest, code: int) -> SensorSet:
    """The calibration of one of the models for one of their `validated` sets."""
    return manifest.set_named(sensors_of(_taken(manifest, code)))


def _taken(manifest: Manifest, code: int) -> int:
    return code & code_of(manifest.sensors)
