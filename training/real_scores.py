"""Scores of a model on the real test chips, beside those of NDWI and MNDWI, with the lines it must keep.

Every chip is predicted from the sensors that it has, and from Sentinel-2 alone. Where a chip lacks optical
bands, they are interpolated between those that it has. The labels of chips without a hand-made mask come from
the indices themselves (`training.real.evidence`), so the indices are nearly perfect there; a model is to be
no worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE, mndwi, ndwi
from segmenter.manifest import OPTICAL_BANDS, ModalityName, code_of
from segmenter.protocol import Segmenter
from training.chip_files import Chip, ChipFiles
from training.chips import bands_of
from training.evaluate import predict
from training.labels import FULL, IGNORED
from training.real.atmosphere import WAVELENGTHS
from training.real.glacier_points import POINTS

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
#: a model's IoU may be less than that of the better index by this much
IOU_SLACK = 0.02
#: greatest share of false water on a chip without water
MOST_FALSE = 0.001
OPTICAL_ALONE: tuple[ModalityName, ...] = ("S2L2A",)


@dataclass(frozen=True)
class ChipScore:
    """Scores of one chip; None where they are not defined or the model has no answer."""

    name: str
    place: str
    ground: str
    #: sensors that were used, such as "S2L2A+DEM"
    sensors: str
    #: optical bands that the chip lacks
    interpolated: str
    #: share of the chip that is labelled, share of water there, and share with an answer there
    known: float
    water: float
    answered: float
    #: share of the answered pixels of the whole chip that is mapped as water
    mapped: float | None
    #: intersection over union, with water in the label
    iou: float | None
    iou_ndwi: float | None
    iou_mndwi: float | None
    #: share of labelled dry pixels that is mapped as water
    false: float | None
    false_ndwi: float | None
    false_mndwi: float | None
    #: whether the model keeps the line of the chip: of IoU with water, of false water without
    passed: bool | None


def real_scores(model: Segmenter, chips: ChipFiles) -> dict[str, Any]:
    """Scores of every test chip and their summary, as plain values for manifest, card and JSON.

    Returns:
        `own_sensors` and `S2L2A`: for prediction from the sensors of each chip and from Sentinel-2 alone,
        each with `iou` and `false_water` (number of images with that line, number that keeps it, names of
        those that do not), `points` (glacier points by class: chips, share mapped as water by the model and
        by the indices), `no_answer` (names of chips) and `chips` (the values of `ChipScore` of the images;
        in `S2L2A` of those with other sensors).
    """
    test = [chips[row] for row in np.flatnonzero(chips.table["split"] == "test")]
    own, alone = [], []
    for chip in track(test, description="scoring real chips"):
        sensors = _usable(model, chip)
        own.append(score_chip(model, chip, sensors))
        alone.append(own[-1] if sensors == OPTICAL_ALONE else score_chip(model, chip, OPTICAL_ALONE))
    others = [one for one, same in zip(alone, own, strict=True) if one is not same]
    return {"own_sensors": summary(own, own), "S2L2A": summary(alone, others)}


def _usable(model: Segmenter, chip: Chip) -> tuple[ModalityName, ...]:
    """Sensors of a chip that the model takes; the chips' radar is terrain-corrected."""
    taken = set(model.manifest.sensors) - ({"S1"} if model.manifest.inputs.S1.kind == "grd" else set())
    return tuple(name for name in chip.sensors if name in taken)


def score_chip(model: Segmenter, chip: Chip, sensors: Sequence[ModalityName]) -> ChipScore:
    """Predict a chip from some of its sensors and compare it with its labels. It needs optical bands."""
    assert chip.optical is not None
    optical, absent = complete(chip.optical.astype(np.float32))
    entry = model.manifest.set_for(code_of(sensors))
    probability = np.full(chip.labels.shape, np.nan, np.float32)
    if entry is not None:
        radar, dem = (bands_of(chip, name, sensors) for name in ("S1", "DEM"))
        probability = predict(model, optical, radar, dem[0], row=0, col=0).probability
    seen = np.isfinite(probability)
    mapped = np.nan_to_num(probability) >= (1.0 if entry is None else entry.threshold)
    known = chip.labels != IGNORED
    water, dry = known & (chip.labels >= FULL // 2), known & (chip.labels < FULL // 2)
    by_ndwi = ndwi(optical[GREEN], optical[NEAR_INFRARED]) > 0
    by_mndwi = mndwi(optical[GREEN], optical[SHORT_WAVE]) > 0
    answered = _share(seen, known) or 0.0
    ious = [_iou(one, water, known) for one in (mapped, by_ndwi, by_mndwi)]
    false = [_share(one, dry) for one in (mapped, by_ndwi, by_mndwi)]
    if not answered:
        ious[0] = false[0] = None
    return ChipScore(
        name=chip.name,
        place=chip.place,
        ground=chip.ground,
        sensors="+".join(sensors),
        interpolated=" ".join(absent),
        known=round(float(known.mean()), 4),
        water=_share(water, known) or 0.0,
        answered=answered,
        mapped=_share(mapped, seen),
        iou=ious[0],
        iou_ndwi=ious[1],
        iou_mndwi=ious[2],
        false=false[0],
        false_ndwi=false[1],
        false_mndwi=false[2],
        passed=_passed(ious, false[0]),
    )


def complete(optical: Floats) -> tuple[Floats, list[str]]:
    """Bands (12, H, W) in which those that are missing everywhere are interpolated over wavelength.

    Returns them with the names of the missing bands. Beyond the first and last band values are constant.
    """
    there = np.isfinite(optical).any(axis=(1, 2))
    if there.all() or not there.any():
        return optical, []
    wave, found = np.array(WAVELENGTHS), optical.copy()
    having = np.flatnonzero(there)
    for band in np.flatnonzero(~there):
        right = int(np.clip(np.searchsorted(wave[having], wave[band]), 1, len(having) - 1))
        low, high = having[right - 1], having[right]
        part = np.float32(np.clip((wave[band] - wave[low]) / (wave[high] - wave[low]), 0, 1))
        found[band] = optical[low] + part * (optical[high] - optical[low])
    return found, [OPTICAL_BANDS[band] for band in np.flatnonzero(~there)]


def _share(part: Flags, whole: Flags) -> float | None:
    return round(float(part[whole].mean()), 6) if whole.any() else None


def _iou(mapped: Flags, water: Flags, known: Flags) -> float | None:
    """None without water in the labels."""
    union = ((mapped | water) & known).sum()
    return round(float((mapped & water).sum() / union), 4) if water.any() else None


def _passed(ious: Sequence[float | None], false: float | None) -> bool | None:
    mine, *others = ious
    if mine is not None:
        return mine >= max(other for other in others if other is not None) - IOU_SLACK
    if others[0] is not None or false is None:  # no answer on a chip with water, or none at all
        return None
    return false < MOST_FALSE


def summary(scores: Sequence[ChipScore], listed: Sequence[ChipScore]) -> dict[str, Any]:
    """Lines of the chips, and the values of the images among `listed`; see `real_scores`."""
    images = [one for one in scores if not one.ground.startswith(POINTS)]
    return {
        "iou": _line(one for one in images if one.iou is not None),
        "false_water": _line(one for one in images if one.iou is None and one.false is not None),
        "points": _points(scores),
        "no_answer": [one.name for one in scores if not one.answered],
        "chips": [asdict(one) for one in listed if not one.ground.startswith(POINTS)],
    }


def _line(scores: Iterable[ChipScore]) -> dict[str, Any]:
    listed = list(scores)
    failed = [one.name for one in listed if not one.passed]
    return {"chips": len(listed), "passed": len(listed) - len(failed), "failed": failed}


def _points(scores: Sequence[ChipScore]) -> dict[str, dict[str, Any]]:
    """Share of the points of each class that is mapped as water, weighted by the points of each chip."""
    found = {}
    for ground in sorted({one.ground for one in scores if one.ground.startswith(POINTS)}):
        these = [one for one in scores if one.ground == ground]
        weights = [one.known for one in these]
        found[ground.removeprefix(POINTS)] = {"chips": len(these)} | {
            name: _mean([_mapped(one, way) for one in these], weights)
            for name, way in (("mapped", ""), ("ndwi", "_ndwi"), ("mndwi", "_mndwi"))
        }
    return found


def _mapped(one: ChipScore, way: str) -> float | None:
    """Share of a chip's labelled pixels mapped as water: all are water, or none is."""
    value: float | None = getattr(one, f"{'iou' if one.water else 'false'}{way}")
    return value


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    if any(value is None for value in values):
        return None
    return round(float(np.average(np.array(values, float), weights=weights)), 5)
