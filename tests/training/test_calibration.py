"""Reliability and coverage on synthetic numbers whose uncertainty is correct, or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.area_factor import Knots
from training.calibration import (
    BINS,
    CLASSES_M2,
    FEWEST,
    KNOTS_M2,
    Areas,
    Reliability,
    UncertaintySample,
    coverage,
    fit_area_factor,
    reliability,
    sample_uncertainty,
)
from training.labels import FULL, IGNORED

seeds = st.integers(0, 2**32 - 1)


def lakes(seed: int, count: int, spread: float | Callable[..., Any]) -> Areas:
    """Lakes whose areas have normal errors, `spread` times the stated ones, or a function of their size."""
    rng = np.random.default_rng(seed)
    true = rng.lognormal(10.5, 1, count)  # m2
    shoreline, model = 3 * np.sqrt(true), 0.01 * true
    times = spread(true) if callable(spread) else spread
    mapped = true + rng.normal(0, 1, count) * times * np.hypot(shoreline, model)
    return Areas(true, mapped, shoreline, model)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_calibrated_probabilities_have_no_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability_map = rng.random((400, 400)).astype(np.float32)
    labels = np.where(rng.random(probability_map.shape) < probability_map, FULL, 0).astype(np.uint8)
    table = reliability(probability_map, labels)
    assert table.error < 0.012, "16,000 pixels per bin: 0.004 or less for each by chance"
    overconfident = reliability(np.where(probability_map > 0.5, 1, 0).astype(np.float32), labels)
    assert overconfident.error == pytest.approx(0.25, abs=0.02)


def test_bins_count_every_known_pixel_once_and_add_up() -> None:
    probability_map = np.array([[0.0, 0.1, 0.95], [1.0, np.nan, 0.55]], np.float32)
    labels = np.array([[0, 0, FULL], [FULL, FULL, IGNORED]], np.uint8)
    table = reliability(probability_map, labels)
    assert table.pixels.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    rows = (table + table).as_dict()["bins"]
    assert (rows[9]["pixels"], rows[9]["mean_probability"], rows[9]["share_of_water"]) == (4, 0.975, 1)
    assert rows[5]["mean_probability"] is None
    assert len(rows) == BINS
    assert table.error == pytest.approx((0 + 0.1 + 0.05) / 4)
    assert table.error_between == pytest.approx(0.1)
    assert Reliability.nothing().as_dict()["expected_error"] is None


def test_half_a_pixel_of_water_has_probability_half() -> None:
    half = np.full((4, 4), FULL // 2, np.uint8)
    assert reliability(np.full((4, 4), 0.5, np.float32), half).error == 0


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_correct_errors_contain_95_percent_of_lakes(seed: int) -> None:
    rows = coverage(lakes(seed, 4000, 1), 1.0)
    assert rows[-1]["share"] == pytest.approx(0.95, abs=4.5 * rows[-1]["standard_error"])
    assert sum(row["lakes"] for row in rows[:-1]) == rows[-1]["lakes"] > 0
    assert rows[-1]["from_ha"] == 1 and rows[-1]["to_ha"] is None


@settings(max_examples=10, deadline=None)
@given(seeds, st.floats(0.2, 4))
def test_the_factor_corrects_errors_stated_too_small_or_too_large(seed: int, spread: float) -> None:
    factor = fit_area_factor(lakes(seed, 3000, spread))
    assert factor is not None
    assert [value for _, value in factor] == pytest.approx([spread] * len(KNOTS_M2), rel=0.12)
    fresh = coverage(lakes(seed + 1, 3000, spread), factor)[-1]
    assert 0.925 < fresh["share"] < 0.975


@settings(max_examples=10, deadline=None)
@given(seeds, st.floats(0.3, 3), st.floats(0, 3))
def test_every_class_of_size_is_covered(seed: int, large: float, more: float) -> None:
    """Errors `large` times the stated ones above 10 ha, and up to `more` times as many below."""
    training, fresh = (
        lakes(number, 6000, lambda true: large + more * np.clip(np.log(1e5 / true), 0, 2))
        for number in (seed, seed + 1)
    )
    training = training.where(training.true_m2 >= CLASSES_M2[0])
    factor = fit_area_factor(training)
    assert factor is not None
    values = [value for _, value in factor]
    assert values == sorted(values, reverse=True)
    for row in coverage(fresh, factor):
        assert 0.91 < row["share"] < 0.985, row


def at_knots(count: int, off: np.ndarray) -> Areas:
    """`count` lakes at each knot and at 30 ha, with a shoreline's term of 1 / 1000 of their area.

    Args:
        off: (4, count) errors in the same unit.
    """
    mapped = np.repeat([*KNOTS_M2[:2], 70_000, 300_000], count)
    return Areas(mapped * (1 + off.ravel() / 1000), mapped, mapped / 1000, np.zeros(4 * count))


def values_of(factor: Knots | None) -> list[float]:
    assert factor is not None
    assert [area for area, _ in factor] == list(KNOTS_M2)
    return [value for _, value in factor]


def test_the_factor_at_a_knot_is_the_conformal_quantile_of_its_lakes() -> None:
    """Of 200 lakes with the deviations 1, 2, ..., 200 it is the 191st: ceil(0.95 * 201)."""
    off = np.arange(1, 201.0) * np.array([[4.0], [2.0], [1.5], [1.0]])
    values = values_of(fit_area_factor(at_knots(200, off)))
    assert values[0] == pytest.approx(191 * 4 / 1.96, rel=1e-4)
    assert values[1:] == pytest.approx([191 * 2 / 1.96, 191 / 1.96], rel=0.1), "7 ha is between the knots"


def test_small_lakes_have_at_least_the_factor_of_large_ones() -> None:
    off = np.repeat([[100.0], [300.0], [200.0], [200.0]], 50, axis=1)
    small, middle, large = values_of(fit_area_factor(at_knots(50, off)))
    assert small == pytest.approx(middle) == pytest.approx(300 / 1.96, rel=1e-4)
    assert large == pytest.approx(200 / 1.96, rel=1e-4)


def test_a_class_with_too_few_lakes_has_no_factor() -> None:
    areas = at_knots(FEWEST, np.ones((4, FEWEST)))
    assert fit_area_factor(areas.where(areas.mapped_m2 < 1e5)) is None
    assert fit_area_factor(areas) is not None


def test_without_the_models_term_the_intervals_are_narrower() -> None:
    areas = lakes(8, 500, 1)
    both, shore = coverage(areas, 1.0)[-1], coverage(areas.shoreline_alone(), 1.0)[-1]
    assert shore["half_width"] < both["half_width"]
    assert shore["held"] < both["held"]
    assert len(areas + areas) == 1000


def test_without_lakes_there_is_no_share() -> None:
    assert [row["share"] for row in coverage(Areas.nothing(), 1.0)] == [None] * 5


def test_doubt_correlated_and_uncorrelated_with_errors() -> None:
    rng = np.random.default_rng(4)
    spread = rng.random(20_000).astype(np.float32) / 2
    probability = rng.uniform(0.3, 0.49, 20_000).astype(np.float32)
    water = (rng.random(20_000) < spread).astype(np.float32)
    informative = UncertaintySample(probability, spread, water).as_dict(0.5)["unsure"]
    assert informative["wrong_in_most_doubtful_tenth"] > 1.5 * informative["wrong_in_the_rest"]
    assert informative["rank_correlation"] > 0.2
    uninformative = UncertaintySample(probability, rng.permutation(spread), water).as_dict(0.5)["unsure"]
    assert abs(uninformative["rank_correlation"]) < 0.05
    assert UncertaintySample.nothing().as_dict(0.5) == {"all": {"pixels": 0}, "unsure": {"pixels": 0}}


def test_doubt_is_sampled_from_known_pixels() -> None:
    probability_map = np.full((9, 9), 0.3, np.float32)
    probability_map[3, 3] = np.nan
    labels = np.full((9, 9), FULL, np.uint8)
    labels[6, 6] = IGNORED
    drawn = sample_uncertainty(probability_map, probability_map / 10, labels)
    assert len(drawn.water) == 7
    assert (drawn.water == 1).all()
    assert len((drawn + drawn).water) == 14
