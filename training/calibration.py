"""Whether stated doubt is right: probabilities against water, areas' intervals against the truth. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from monitor.lakes.uncertainty import combine
from storage.policy import Z95
from training.labels import FULL, IGNORED

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
#: of equal width, from 0 to 1
BINS = 10
#: share of lakes whose interval is to hold the truth
LEVEL = 0.95
#: least area of a size class, m2; the last has no greatest
CLASSES_M2 = (10_000.0, 20_000.0, 50_000.0, 100_000.0)
#: fewer lakes leave the 95th of a hundred to chance
FEWEST = 20
#: probabilities between these are no clear answer
UNSURE = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Sums over pixels in each of `BINS` bins of probability; they add up over scenes."""

    pixels: NDArray[np.int64]
    #: sums of probabilities and of observed shares of water
    said: NDArray[np.float64]
    water: NDArray[np.float64]

    @classmethod
    def nothing(cls) -> Reliability:
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS))

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.pixels + other.pixels, self.said + other.said, self.water + other.water)

    @property
    def error(self) -> float:
        """Expected calibration error over all pixels (Guo et al. 2017), NaN without any."""
        return self._error(slice(None))

    @property
    def error_between(self) -> float:
        """The same without the first and the last bin, which hold nearly all pixels of any scene."""
        return self._error(slice(1, -1))

    def _error(self, bins: slice) -> float:
        pixels = int(self.pixels[bins].sum())
        return float(np.abs(self.said - self.water)[bins].sum() / pixels) if pixels else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Table of the bins, and the error over all of them."""
        rows = []
        for number, (pixels, said, water) in enumerate(zip(self.pixels, self.said, self.water, strict=True)):
            rows.append(
                {
                    "from": round(number / BINS, 2),
                    "to": round((number + 1) / BINS, 2),
                    "mean_probability": round(float(said / pixels), 4) if pixels else None,
                    "share_of_water": round(float(water / pixels), 4) if pixels else None,
                    "pixels": int(pixels),
                }
            )
        errors = {"expected_error": self.error, "expected_error_between": self.error_between}
        return {"bins": rows, **{name: _rounded(value, 5) for name, value in errors.items()}}


def reliability(probability: Floats, labels: Labels) -> Reliability:
    """Bins of one map (H, W) with its labels (`training.labels`); what is not known is left out."""
    known = (labels != IGNORED) & np.isfinite(probability)
    said = probability[known].astype(np.float64)
    water = labels[known].astype(np.float64) / FULL
    at = np.minimum((said * BINS).astype(int), BINS - 1)
    sums = [np.bincount(at, values, BINS).astype(np.float64) for values in (said, water)]
    return Reliability(np.bincount(at, minlength=BINS).astype(np.int64), *sums)


@dataclass(frozen=True, eq=False)
class Areas:
    """Lakes with their true and their mapped area and the two terms of its error, m2, (N,) each."""

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

    def shoreline_alone(self) -> Areas:
        """The same without the model's term."""
        return replace(self, model_m2=np.zeros(len(self)))

    def deviations(self) -> NDArray[np.float64]:
        """(mapped - true) / sigma of each lake, at a factor of 1."""
        return (self.mapped_m2 - self.true_m2) / combine(self.shoreline_m2, self.model_m2)


def fit_area_factor(areas: Areas) -> float | None:
    """What sigmas must be multiplied by so that the 95 % interval of a new lake holds its true area.

    The ceil(0.95 (n + 1))-th of the n absolute deviations over 1.96, as split conformal prediction takes it
    (Vovk et al. 2005). None from fewer than `FEWEST` lakes.
    """
    if len(areas) < FEWEST:
        return None
    rank = min(ceil(LEVEL * (len(areas) + 1)), len(areas))
    return round(float(np.sort(np.abs(areas.deviations()))[rank - 1]) / Z95, 4)


def coverage(areas: Areas, factor: float) -> list[dict[str, Any]]:
    """How many lakes' 95 % intervals hold the truth: a row a class of true size, then one for all.

    The standard error is that of a binomial share; `half_width` is the median of 1.96 sigma over the mapped
    area.
    """
    bounds = [*CLASSES_M2, np.inf]
    rows = []
    for least, most in [*pairwise(bounds), (bounds[0], np.inf)]:
        here = (areas.true_m2 >= least) & (areas.true_m2 < most)
        part = Areas(*(getattr(areas, name)[here] for name in Areas.__dataclass_fields__))
        rows.append({"from_ha": least / 1e4, "to_ha": most / 1e4 if np.isfinite(most) else None})
        rows[-1] |= _covered(part, factor)
    return rows


def _covered(areas: Areas, factor: float) -> dict[str, Any]:
    count = len(areas)
    if not count:
        return {"lakes": 0, "held": 0, "share": None, "standard_error": None, "half_width": None}
    held = int((np.abs(areas.deviations()) <= Z95 * factor).sum())
    share = held / count
    width = Z95 * combine(areas.shoreline_m2, areas.model_m2, factor) / areas.mapped_m2
    return {
        "lakes": count,
        "held": held,
        "share": round(share, 4),
        "standard_error": round(float(np.sqrt(share * (1 - share) / count)), 4),
        "half_width": round(float(np.median(width)), 4),
    }


@dataclass(frozen=True, eq=False)
class Doubt:
    """Pixels drawn from maps: what was said, how unsure it was, and what was true, (N,) each."""

    probability: Floats
    uncertainty: Floats
    #: share of water 0..1
    water: Floats

    @classmethod
    def nothing(cls) -> Doubt:
        return cls(*(np.zeros(0, np.float32) for _ in range(3)))

    def __add__(self, other: Doubt) -> Doubt:
        names = self.__dataclass_fields__
        return Doubt(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def as_dict(self, threshold: float) -> dict[str, Any]:
        """Whether the uncertainty tells where the map is wrong, over all pixels and over the unsure ones.

        Rank correlations (Spearman) with |probability - share of water|: of the uncertainty, and of
        p (1 - p), which needs no passes. A pixel is wrong when it lies on the wrong side of the threshold.
        """
        unsure = (self.probability > UNSURE[0]) & (self.probability < UNSURE[1])
        return {"all": self._told(np.ones_like(unsure), threshold), "unsure": self._told(unsure, threshold)}

    def _told(self, here: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
        p, doubt, water = (part[here].astype(np.float64) for part in vars(self).values())
        wrong = (p >= threshold) != (water >= 0.5)
        if len(p) < FEWEST or not wrong.any():
            return {"pixels": len(p)}
        error = np.abs(p - water)
        most = np.argsort(doubt, kind="stable")[-(len(p) // 10) :]
        top = np.isin(np.arange(len(p)), most)
        figures = {
            "rank_correlation": _ranks(doubt, error),
            "rank_correlation_of_p": _ranks(p * (1 - p), error),
            "wrong_in_most_doubtful_tenth": float(wrong[top].mean()),
            "wrong_in_the_rest": float(wrong[~top].mean()),
        }
        return {"pixels": len(p), **{name: _rounded(value, 5) for name, value in figures.items()}}


def doubt(probability: Floats, uncertainty: Floats, labels: Labels, step: int = 3) -> Doubt:
    """Every `step`-th pixel of each axis of one map (H, W) that is known."""
    thin = labels[::step, ::step]
    said, spread = probability[::step, ::step], uncertainty[::step, ::step]
    known = (thin != IGNORED) & np.isfinite(said) & np.isfinite(spread)
    return Doubt(said[known], spread[known], thin[known].astype(np.float32) / FULL)


def _ranks(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's rank correlation, NaN where either does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if np.isfinite(value) else None
