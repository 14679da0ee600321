"""Scores of a probability map against labels and lakes; choice of threshold and scaling of logits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize
from scipy.special import expit

from training.labels import FULL, IGNORED

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
#: least size of lakes that are scored individually, in pixels of 10 m: 1 ha
SMALLEST_PIXELS = 100
#: least size of large lakes, in pixels of 10 m: 2 ha
LARGE_PIXELS = 200
#: least mapped share of a found lake, and least share of water in a correct mapped water body
HALF = 0.5
#: least labelled share of a scored lake
LABELLED = 0.9
#: distance from a lake up to which mapped pixels belong to it, px
REACH = 5
THRESHOLDS = tuple(round(0.2 + 0.05 * i, 2) for i in range(13))
#: greatest loss of IoU that is accepted for a smaller error of areas
IOU_SLACK = 0.005
#: probabilities are clipped to this distance from 0 and 1, so that logits are finite
EPSILON = 1e-7
_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True)
class Score:
    """Counts that add up over scenes. Pixels with at least half water in the label are water."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    #: lakes and mapped water bodies of at least a hectare
    lakes: int = 0
    found: int = 0
    mapped: int = 0
    right: int = 0
    #: those of at least two hectares
    large_lakes: int = 0
    large_found: int = 0
    large_mapped: int = 0
    large_right: int = 0
    #: (mapped - true) / true area of every found lake
    area_errors: tuple[float, ...] = ()

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def iou(self) -> float:
        """Global intersection over union of pixels."""
        return _share(self.hit, self.hit + self.false + self.missed)

    @property
    def area_error(self) -> float:
        """Median of the absolute relative errors of areas."""
        return float(np.median(np.abs(self.area_errors))) if self.area_errors else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Scores for manifest and card; None where nothing was counted."""
        bias = float(np.median(self.area_errors)) if self.area_errors else float("nan")
        shares = {
            "iou": self.iou,
            "pixel_precision": _share(self.hit, self.hit + self.false),
            "pixel_recall": _share(self.hit, self.hit + self.missed),
            "lake_recall": _share(self.found, self.lakes),
            "lake_precision": _share(self.right, self.mapped),
            "lake_recall_from_2_ha": _share(self.large_found, self.large_lakes),
            "lake_precision_from_2_ha": _share(self.large_right, self.large_mapped),
            "median_area_error": self.area_error,
            "median_area_bias": bias,
        }
        rounded = {name: None if np.isnan(value) else round(value, 4) for name, value in shares.items()}
        return {"lakes": self.lakes, "mapped_waters": self.mapped, **rounded}


def score(probability: Floats, labels: Labels, lakes: NDArray[np.int32], threshold: float) -> Score:
    """Score one map.

    Args:
        probability: (H, W), NaN where there is no prediction; such pixels count as not mapped.
        labels: (H, W), see `training.labels`.
        lakes: (H, W) number of the lake at each pixel, from 1; 0 outside the lakes to score individually.
        threshold: least probability of a water pixel.
    """
    labelled = labels != IGNORED
    mapped = (np.nan_to_num(probability) >= threshold) & labelled
    water = labelled & (labels >= FULL // 2)
    pixels = Score(int((mapped & water).sum()), int((mapped & ~water).sum()), int((~mapped & water).sum()))
    return pixels + _score_lakes(mapped, labels, lakes) + _score_waters(mapped, labels)


def _score_lakes(mapped: NDArray[np.bool_], labels: Labels, lakes: NDArray[np.int32]) -> Score:
    """Number of found lakes and errors of their areas; mapped pixels belong to the nearest lake."""
    count = int(lakes.max())
    if not count:
        return Score()
    labelled = labels != IGNORED
    size, seen, hit = (_per_lake(lakes, mask) for mask in (lakes > 0, labelled, mapped))
    fair = (size >= SMALLEST_PIXELS) & (seen >= LABELLED * size)
    found = fair & (hit >= HALF * size)
    distance, (rows, cols) = ndimage.distance_transform_edt(lakes == 0, return_indices=True)
    nearest = np.where(distance <= REACH, lakes[rows, cols], 0)
    shares = np.where(labelled, labels, 0).astype(np.float64) / FULL
    true = np.bincount(nearest.ravel(), shares.ravel(), count + 1)[1:]
    area = np.bincount(nearest[mapped], minlength=count + 1)[1:]
    errors = (area - true)[found] / true[found]
    large = size >= LARGE_PIXELS
    return Score(
        lakes=int(fair.sum()),
        found=int(found.sum()),
        large_lakes=int((fair & large).sum()),
        large_found=int((found & large).sum()),
        area_errors=tuple(float(e) for e in errors),
    )


def _per_lake(lakes: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(lakes[mask], minlength=int(lakes.max()) + 1)[1:].astype(np.int64)


def _score_waters(mapped: NDArray[np.bool_], labels: Labels) -> Score:
    """Number of mapped water bodies of at least a hectare, and of those that are at least half water."""
    numbered, count = ndimage.label(mapped, _EIGHT)
    if not count:
        return Score()
    size = np.bincount(numbered.ravel())[1:]
    real = np.bincount(numbered[mapped & (labels >= FULL // 2)], minlength=count + 1)[1:]
    right = real >= HALF * size
    scored, large = size >= SMALLEST_PIXELS, size >= LARGE_PIXELS
    return Score(
        mapped=int(scored.sum()),
        right=int((scored & right).sum()),
        large_mapped=int(large.sum()),
        large_right=int((large & right).sum()),
    )


def choose_threshold(table: dict[float, Score]) -> float:
    """Threshold with the smallest median error of areas, among those with nearly the best IoU (`IOU_SLACK`).

    Of equal ones, the one nearest to one half.
    """
    best = max(result.iou for result in table.values())
    fair = [threshold for threshold, result in table.items() if result.iou >= best - IOU_SLACK]

    def key(threshold: float) -> tuple[float, float]:
        error = table[threshold].area_error
        return (np.inf if np.isnan(error) else error, abs(threshold - 0.5))

    return min(fair, key=key)


def fit_scaling(maps: Sequence[tuple[Floats, Labels]], step: int = 3) -> tuple[float, float]:
    """Fit temperature T and shift by maximum likelihood for the probability sigmoid((logit + shift) / T).

    Platt scaling (1999). Temperature scaling alone (Guo et al. 2017) cannot correct the bias of a loss such
    as Dice.

    Args:
        maps: probabilities at temperature 1 and labels of whole scenes, (H, W) each; every `step`-th pixel
            along each axis is used.
    """
    logits, water = [], []
    for probability, labels in maps:
        thin_labels, thin = labels[::step, ::step], probability[::step, ::step]
        known = (thin_labels != IGNORED) & np.isfinite(thin)
        logits.append(logit(thin[known]))
        water.append(thin_labels[known].astype(np.float64) / FULL)
    x, share = np.concatenate(logits), np.concatenate(water)

    def entropy(how: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean cross-entropy at (1 / T, shift / T), and its gradient."""
        scaled = how[0] * x + how[1]
        wrong = expit(scaled) - share
        value = float((np.logaddexp(0, scaled) - share * scaled).mean())
        return value, np.array([(wrong * x).mean(), wrong.mean()])

    bounds = [(0.2, 5.0), (-10.0, 10.0)]
    found = minimize(entropy, np.array([1.0, 0.0]), jac=True, bounds=bounds, options={"ftol": 1e-12})
    steepness, moved = found.x
    return round(float(1 / steepness), 3), round(float(moved / steepness), 3)


def logit(probability: Floats) -> NDArray[np.float64]:
    """Log odds of probabilities, which are clipped to the resolution of float32."""
    clipped = np.clip(probability.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))


def rescale(probability: Floats, temperature: float, shift: float = 0.0) -> Floats:
    """Apply the scaling of `fit_scaling` to a map at temperature 1; NaN stays NaN."""
    return expit((logit(probability) + shift) / temperature).astype(np.float32)


def rescale_spread(probability: Floats, uncertainty: Floats, temperature: float, shift: float) -> Floats:
    """Standard deviation of the result of `rescale`, to first order: multiplied by the derivative.

    Args:
        probability, uncertainty: (H, W), at temperature 1.
    """
    before = np.clip(probability.astype(np.float64), EPSILON, 1 - EPSILON)
    after = rescale(probability, temperature, shift).astype(np.float64)
    slope = after * (1 - after) / (before * (1 - before)) / temperature
    return (uncertainty * slope).astype(np.float32)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
