"""Calibration of probabilities, uncertainties and intervals of areas, measured against labels. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.stats import spearmanr

from monitor.lakes.uncertainty import combine
from segmenter.area_factor import AreaFactor, Knots, factor_at
from storage.policy import Z95
from training.labels import FULL, IGNORED

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
#: number of bins of probability, of equal width, from 0 to 1
BINS = 10
#: intended coverage of the intervals of areas
LEVEL = 0.95
#: least area of each size class, m2; the last class is open
CLASSES_M2 = (10_000.0, 20_000.0, 50_000.0, 100_000.0)
#: areas at which the factor of areas is fitted, m2
KNOTS_M2 = (14_000.0, 38_000.0, 100_000.0)
#: least number of lakes or pixels from which a quantile or correlation is computed
FEWEST = 20
#: range of the probabilities of unsure pixels
UNSURE = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Sums over the pixels of each of `BINS` bins of probability; they add up over scenes."""

    pixels: NDArray[np.int64]
    #: sums of probabilities and of true shares of water
    predicted: NDArray[np.float64]
    water: NDArray[np.float64]

    @classmethod
    def nothing(cls) -> Reliability:
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS))

    def __add__(self, other: Reliability) -> Reliability:
        names = self.__dataclass_fields__
        return Reliability(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def error(self) -> float:
        """Expected calibration error over all pixels (Guo et al. 2017); NaN without pixels."""
        return self._error(slice(None))

    @property
    def error_between(self) -> float:
        """Expected calibration error without the first and last bin, which contain nearly all pixels."""
        return self._error(slice(1, -1))

    def _error(self, bins: slice) -> float:
        pixels = int(self.pixels[bins].sum())
        return float(np.abs(self.predicted - self.water)[bins].sum() / pixels) if pixels else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Table of the bins, and both calibration errors."""
        rows = []
        sums = zip(self.pixels, self.predicted, self.water, strict=True)
        for number, (pixels, predicted, water) in enumerate(sums):
            rows.append(
                {
                    "from": round(number / BINS, 2),
                    "to": round((number + 1) / BINS, 2),
                    "mean_probability": round(float(predicted / pixels), 4) if pixels else None,
                    "share_of_water": round(float(water / pixels), 4) if pixels else None,
                    "pixels": int(pixels),
                }
            )
        errors = {"expected_error": self.error, "expected_error_between": self.error_between}
        return {"bins": rows, **{name: _rounded(value, 5) for name, value in errors.items()}}


def reliability(probability: Floats, labels: Labels) -> Reliability:
    """Bins of a map (H, W) with its labels (`training.labels`), without unlabelled and unpredicted pixels."""
    known = (labels != IGNORED) & np.isfinite(probability)
    predicted = probability[known].astype(np.float64)
    water = labels[known].astype(np.float64) / FULL
    at = np.minimum((predicted * BINS).astype(int), BINS - 1)
    sums = [np.bincount(at, values, BINS).astype(np.float64) for values in (predicted, water)]
    return Reliability(np.bincount(at, minlength=BINS).astype(np.int64), *sums)


@dataclass(frozen=True, eq=False)
class Areas:
    """True and mapped areas of lakes, and the two parts of the standard deviation, m2, (N,) each."""

    true_m2: NDArray[np.float64]
    mapped_m2: NDArray[np.float64]
    shoreline_m2: NDArray[np.float64]
    model_m2: NDArray[np.float64]

    @classmethod
    def nothing(cls) -> Areas:
        return cls(*(np.zeros(0) for _ in range(4)))

    def __len__(self) -> int:
        return len(self.true_m2)

    def __add__(self, other: Areas) -> Areas:
        names = self.__dataclass_fields__
        return Areas(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def where(self, here: NDArray[np.bool_]) -> Areas:
        """The lakes for which `here` (N,) is True."""
        return Areas(*(getattr(self, name)[here] for name in self.__dataclass_fields__))

    def shoreline_alone(self) -> Areas:
        """The same lakes without the model's part."""
        return replace(self, model_m2=np.zeros(len(self)))

    def deviations(self) -> NDArray[np.float64]:
        """(mapped - true) / sigma of each lake, at a factor of 1."""
        return (self.mapped_m2 - self.true_m2) / combine(self.shoreline_m2, self.model_m2)


def fit_area_factor(areas: Areas) -> Knots | None:
    """Factor of the standard deviations with which the 95 % interval of a new lake contains its true area.

    Quantile regression (Koenker and Bassett 1978) of the absolute deviations, divided by 1.96, on the
    logarithm of the mapped area, which is known where the factor is used: linear between the areas `KNOTS_M2`
    and constant beyond them, so that 95 % of the lakes near each of them are covered. For the n lakes of a
    class of size the level is ceil(0.95 (n + 1)) / n, as in split conformal prediction for each class (Vovk
    et al. 2005). The factor does not rise with the area: errors that neither term describes matter most for
    small lakes.

    None if a class, by mapped area, has fewer than `FEWEST` lakes. Lakes below the first class count for it.
    """
    classes = np.digitize(areas.mapped_m2, CLASSES_M2[1:])
    counts = np.bincount(classes, minlength=len(CLASSES_M2))
    if counts.min() < FEWEST:
        return None
    # half a lake less than the rank: the quantile is the deviation of one lake, not any value above it
    levels = ((np.minimum(np.ceil(LEVEL * (counts + 1)), counts) - 0.5) / counts)[classes]
    at = np.log(np.clip(areas.mapped_m2, KNOTS_M2[0], KNOTS_M2[-1]))
    weights = np.transpose([np.interp(at, np.log(KNOTS_M2), knot) for knot in np.eye(len(KNOTS_M2))])
    # steps between the factors of neighbouring knots, all of them at least 0: the factor falls with the area
    steps = np.cumsum(weights, axis=1)
    # the dual of the regression has one variable per lake and is solved faster; its multipliers are the steps
    solved = linprog(
        -np.abs(areas.deviations()) / Z95,
        A_ub=steps.T,
        b_ub=np.zeros(len(KNOTS_M2)),
        bounds=[(level - 1, level) for level in levels.tolist()],
    )
    factors = np.cumsum(-solved.ineqlin.marginals[::-1])[::-1]
    return tuple((area, round(float(factor), 4)) for area, factor in zip(KNOTS_M2, factors, strict=True))


def coverage(areas: Areas, factor: AreaFactor) -> list[dict[str, Any]]:
    """Coverage of the 95 % intervals: one row per class of true area, then one for all lakes of the classes.

    The standard error is that of a binomial proportion; `half_width` is the median of 1.96 sigma divided by
    the mapped area.
    """
    bounds = [*CLASSES_M2, np.inf]
    rows = []
    for least, most in [*pairwise(bounds), (bounds[0], np.inf)]:
        part = areas.where((areas.true_m2 >= least) & (areas.true_m2 < most))
        rows.append({"from_ha": least / 1e4, "to_ha": most / 1e4 if np.isfinite(most) else None})
        rows[-1] |= _covered(part, factor)
    return rows


def _covered(areas: Areas, factor: AreaFactor) -> dict[str, Any]:
    count = len(areas)
    if not count:
        return {"lakes": 0, "held": 0, "share": None, "standard_error": None, "half_width": None}
    factors = factor_at(factor, areas.mapped_m2)
    held = int((np.abs(areas.deviations()) <= Z95 * factors).sum())
    share = held / count
    width = Z95 * combine(areas.shoreline_m2, areas.model_m2, factors) / areas.mapped_m2
    return {
        "lakes": count,
        "held": held,
        "share": round(share, 4),
        "standard_error": round(float(np.sqrt(share * (1 - share) / count)), 4),
        "half_width": round(float(np.median(width)), 4),
    }


@dataclass(frozen=True, eq=False)
class UncertaintySample:
    """Pixels sampled from maps: probability, its uncertainty, and true share of water, (N,) each."""

    probability: Floats
    uncertainty: Floats
    #: share of water 0..1
    water: Floats

    @classmethod
    def nothing(cls) -> UncertaintySample:
        return cls(*(np.zeros(0, np.float32) for _ in range(3)))

    def __add__(self, other: UncertaintySample) -> UncertaintySample:
        names = self.__dataclass_fields__
        return UncertaintySample(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        )

    def as_dict(self, threshold: float) -> dict[str, Any]:
        """Agreement of the uncertainty with the errors of the map, for all pixels and for the unsure ones.

        Rank correlations (Spearman) with |probability - share of water|: of the uncertainty, and of
        p (1 - p), which needs no passes. A pixel is wrong when it lies on the wrong side of the threshold.
        """
        unsure = (self.probability > UNSURE[0]) & (self.probability < UNSURE[1])
        return {
            "all": self._figures(np.ones_like(unsure), threshold),
            "unsure": self._figures(unsure, threshold),
        }

    def _figures(self, here: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
        p, spread, water = (part[here].astype(np.float64) for part in vars(self).values())
        wrong = (p >= threshold) != (water >= 0.5)
        if len(p) < FEWEST or not wrong.any():
            return {"pixels": len(p)}
        error = np.abs(p - water)
        most = np.argsort(spread, kind="stable")[-(len(p) // 10) :]
        top = np.isin(np.arange(len(p)), most)
        figures = {
            "rank_correlation": _ranks(spread, error),
            "rank_correlation_of_p": _ranks(p * (1 - p), error),
            "wrong_in_most_doubtful_tenth": float(wrong[top].mean()),
            "wrong_in_the_rest": float(wrong[~top].mean()),
        }
        return {"pixels": len(p), **{name: _rounded(value, 5) for name, value in figures.items()}}


def sample_uncertainty(
    probability: Floats, uncertainty: Floats, labels: Labels, step: int = 3
) -> UncertaintySample:
    """Sample every `step`-th pixel along each axis of a map (H, W), where it is labelled and predicted."""
    thin = labels[::step, ::step]
    predicted, spread = probability[::step, ::step], uncertainty[::step, ::step]
    known = (thin != IGNORED) & np.isfinite(predicted) & np.isfinite(spread)
    return UncertaintySample(predicted[known], spread[known], thin[known].astype(np.float32) / FULL)


def _ranks(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's rank correlation, NaN where one of the arrays is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if np.isfinite(value) else None
