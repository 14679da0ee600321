"""Calibrate a model on simulated seasons, and score it on other simulated seasons and on real tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.progress import track

from segmenter.area_factor import AreaFactor
from segmenter.manifest import OPTICAL_BANDS, SENSORS, ModalityName, SensorSet, code_of
from segmenter.protocol import Answer, Segmenter
from segmenter.windows import halo as halo_of
from training.areas import Drawn, draw
from training.calibration import (
    Reliability,
    UncertaintySample,
    coverage,
    fit_area_factor,
    reliability,
    sample_uncertainty,
)
from training.chips import seen
from training.errors import TrainingError
from training.labels import IGNORED, outlines, read_lakes
from training.scenes import LabelledStack
from training.scores import THRESHOLDS, Score, choose_threshold, fit_scaling, rescale, rescale_spread, score

Floats = NDArray[np.float32]
#: number of optical bands of a stored scene
OPTICAL = len(OPTICAL_BANDS)


@dataclass(frozen=True)
class Calibration:
    """Parameters fitted on validation scenes."""

    threshold: float
    temperature: float
    #: added to logits before they are divided by the temperature
    shift: float
    #: factor of the standard deviations of areas
    area_factor: AreaFactor
    #: score at each threshold
    table: dict[float, Score]


@dataclass(frozen=True)
class Measured:
    """All measurements on scenes; they add up over scenes."""

    score: Score
    reliability: Reliability
    drawn: Drawn
    uncertainty: UncertaintySample

    def __add__(self, other: Measured) -> Measured:
        names = self.__dataclass_fields__
        return Measured(*(getattr(self, name) + getattr(other, name) for name in names))

    def calibration(self, of: SensorSet) -> dict[str, Any]:
        """Calibration for a set of sensors, for manifest and card."""
        return {
            "reliability": self.reliability.as_dict(),
            "area": intervals(self.drawn, of.area_factor),
            "uncertainty": self.uncertainty.as_dict(of.threshold),
        }


def intervals(drawn: Drawn, factor: AreaFactor) -> dict[str, Any]:
    """Coverage of the intervals of areas, for manifest and card."""
    return {
        "lakes": drawn.lakes,
        "found": drawn.found,
        "joined": drawn.joined,
        "factor": factor,
        "held": coverage(drawn.alone, factor),
        "held_at_factor_1": coverage(drawn.alone, 1.0),
        "held_by_shoreline_alone": coverage(drawn.alone.shoreline_alone(), 1.0),
        "held_as_drawn": coverage(drawn.areas, factor),
    }


def predict(
    model: Segmenter,
    optical: Floats,
    radar: Floats,
    dem: Floats,
    *,
    row: int,
    col: int,
    wanted: NDArray[np.bool_] | None = None,
) -> Answer:
    """Predict the `wanted` pixels of arrays (H, W) without halo; (row, col) is their first global pixel."""
    margin = halo_of(model.manifest)

    def padded(array: Floats) -> Floats:
        width = [(0, 0)] * (array.ndim - 2) + [(margin, margin)] * 2
        return np.pad(array, width, constant_values=np.nan)

    parts = (padded(array) for array in (optical, radar, dem))
    return model.predict(*parts, row=row - margin, col=col - margin, halo=margin, wanted=wanted)


def predict_scene(
    model: Segmenter, scene: LabelledStack, sensors: Sequence[ModalityName] = SENSORS
) -> Answer:
    """Predict the pixels of a scene that all `sensors` saw, from their bands alone."""
    bands, dem = scene.bands.astype(np.float32), np.array(scene.dem)
    for name, array in (("S2L2A", bands[:OPTICAL]), ("S1", bands[OPTICAL:]), ("DEM", dem)):
        if name not in sensors:
            array[:] = np.nan
    optical, radar = bands[:OPTICAL], bands[OPTICAL:]
    wanted = seen(sensors, optical, radar, dem[None])
    return predict(model, optical, radar, dem, row=scene.tile.row, col=scene.tile.col, wanted=wanted)


def labels_of(scene: LabelledStack, answer: Answer) -> NDArray[np.uint8]:
    """Labels (H, W) of the scene, without those of pixels that have no prediction."""
    return np.where(answer.sources > 0, scene.labels, np.uint8(IGNORED))


def lake_numbers(scene: LabelledStack) -> NDArray[np.int32]:
    """Number from 1 of the lake at each pixel's centre (H, W); 0 elsewhere, as in rivers."""
    drawn = outlines(read_lakes(scene.archive), scene.season, "water")
    shapes = list(drawn[drawn["kind"] == "lake"].geometry)
    if not shapes:
        return np.zeros(scene.labels.shape, np.int32)
    numbered = ((shape, number) for number, shape in enumerate(shapes, 1))
    box = scene.geobox
    return np.asarray(rasterize(numbered, out_shape=box.shape, transform=box.affine, dtype="int32"))


def calibrate(
    model: Segmenter, scenes: Sequence[LabelledStack], sensors: Sequence[ModalityName] = SENSORS
) -> Calibration:
    """Fit scaling, threshold and factor of areas for a set of sensors that is not calibrated yet.

    Raises:
        TrainingError: there are too few lakes, or the model is calibrated already.
    """
    name, draft = "+".join(sensors), _set_of(model, sensors)
    if draft is None:
        raise TrainingError(f"{model.manifest.name}: its manifest has no set {name} to calibrate")
    if (draft.temperature, draft.shift) != (1.0, 0.0):
        raise TrainingError(f"{model.manifest.name} is calibrated already; start from temperature 1")
    answers = [predict_scene(model, scene, sensors) for scene in track(scenes, f"calibrating {name}")]
    labels = [labels_of(scene, answer) for scene, answer in zip(scenes, answers, strict=True)]
    scaling = fit_scaling([(answer.probability, true) for answer, true in zip(answers, labels, strict=True)])
    answers = [_rescaled(answer, *scaling) for answer in answers]
    table = dict.fromkeys(THRESHOLDS, Score())
    for scene, answer, true in zip(scenes, answers, labels, strict=True):
        numbers = lake_numbers(scene)
        for threshold in THRESHOLDS:
            table[threshold] += score(answer.probability, true, numbers, threshold)
    if not any(result.area_errors for result in table.values()):
        raise TrainingError(
            f"no lake of a hectare was found in validation from {name}; train longer or add seeds"
        )
    threshold, drawn = choose_threshold(table), Drawn.nothing()
    for scene, answer in zip(scenes, answers, strict=True):
        drawn += draw(answer, scene, threshold, model.manifest.smallest_lake_m2)
    factor = fit_area_factor(drawn.alone)
    if factor is None:
        raise TrainingError(
            f"{drawn.found} lakes were mapped in validation from {name}, too few in a class of size to fit "
            "the factor of areas; add seeds"
        )
    return Calibration(threshold, *scaling, factor, table)


def _set_of(model: Segmenter, sensors: Sequence[ModalityName]) -> SensorSet | None:
    """The model's set of exactly these sensors, None if its manifest has none."""
    code = code_of(sensors)
    return next((entry for entry in model.manifest.sets if entry.code == code), None)


def _rescaled(answer: Answer, temperature: float, shift: float) -> Answer:
    spread = rescale_spread(answer.probability, answer.uncertainty, temperature, shift)
    return Answer(rescale(answer.probability, temperature, shift), spread, answer.sources)


def evaluate(
    model: Segmenter,
    scenes: Sequence[LabelledStack],
    purpose: str = "scoring",
    sensors: Sequence[ModalityName] = SENSORS,
) -> Measured:
    """Measure a model on whole scenes from a set of sensors, with the calibration of its manifest.

    Raises:
        TrainingError: the model was not validated for this set.
    """
    chosen = _set_of(model, sensors)
    if chosen is None:
        known = ", ".join(entry.name for entry in model.manifest.sets)
        raise TrainingError(
            f"{model.manifest.name}: was not validated for {'+'.join(sensors)}, but for {known}"
        )
    total = Measured(Score(), Reliability.nothing(), Drawn.nothing(), UncertaintySample.nothing())
    for scene in track(scenes, description=f"{purpose}, {chosen.name}"):
        answer = predict_scene(model, scene, sensors)
        labels = labels_of(scene, answer)
        total += Measured(
            score(answer.probability, labels, lake_numbers(scene), chosen.threshold),
            reliability(answer.probability, labels),
            draw(answer, scene, chosen.threshold, model.manifest.smallest_lake_m2),
            sample_uncertainty(answer.probability, answer.uncertainty, labels),
        )
    return total
