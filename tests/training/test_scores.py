"""Scores, threshold and temperature are pure functions of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from training.labels import FULL, IGNORED
from training.scores import Score, choose_threshold, fit_scaling, logit, rescale, rescale_spread, score


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Labels with two lakes of 144 px and one of 36, and their numbers."""
    labels, lakes = np.zeros((80, 80), np.uint8), np.zeros((80, 80), np.int32)
    for number, (row, col, edge) in enumerate([(5, 5, 12), (40, 40, 12), (60, 5, 6)], 1):
        labels[row : row + edge, col : col + edge] = FULL
        lakes[row : row + edge, col : col + edge] = number
    return labels, lakes


def test_a_perfect_map_has_perfect_scores() -> None:
    labels, lakes = scene()
    result = score((labels / FULL).astype(np.float32), labels, lakes, 0.5)
    assert result.iou == 1
    assert (result.lakes, result.found) == (2, 2), "a lake below one hectare is not scored separately"
    assert (result.mapped, result.right) == (2, 2)
    assert result.area_errors == (0, 0)


def test_a_missed_lake_a_false_one_and_a_wrong_area() -> None:
    labels, lakes = scene()
    probability = np.zeros(labels.shape, np.float32)
    probability[5:17, 5:20] = 0.9  # 3 columns too many: a quarter
    probability[60:72, 60:72] = 0.9  # no lake there
    result = score(probability, labels, lakes, 0.5)
    assert (result.lakes, result.found, result.mapped, result.right) == (2, 1, 2, 1)
    assert result.area_errors == pytest.approx((0.25,))
    assert result.as_dict()["lake_recall"] == 0.5


def test_an_unobserved_lake_is_not_scored() -> None:
    labels, lakes = scene()
    labels[40:52, 40:52] = IGNORED
    probability = np.where(labels == IGNORED, np.nan, labels / FULL).astype(np.float32)
    result = score(probability, labels, lakes, 0.5)
    assert (result.lakes, result.found, result.missed, result.false) == (1, 1, 0, 0)


def test_scores_add_up_and_empty_ones_are_null() -> None:
    labels, lakes = scene()
    one = score((labels / FULL).astype(np.float32), labels, lakes, 0.5)
    assert (one + one).lakes == 2 * one.lakes
    assert Score().as_dict()["iou"] is None


def test_threshold_with_the_best_area_among_nearly_best_iou() -> None:
    def made(hit: int, error: float) -> Score:
        return Score(hit=hit, false=1000 - hit, area_errors=(error,))

    table = {0.3: made(900, 0.01), 0.4: made(948, -0.03), 0.5: made(950, 0.06), 0.6: made(949, 0.04)}
    assert choose_threshold(table) == 0.4
    table[0.55] = made(948, 0.03)
    assert choose_threshold(table) == 0.55, "among equals the nearest to 0.5"


@pytest.mark.parametrize("shift", [0.0, -0.7])
def test_scaling_corrects_overconfidence_and_bias(shift: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (200, 200))
    labels = np.where(rng.random((200, 200)) < 1 / (1 + np.exp(-logits)), FULL, 0).astype(np.uint8)
    overconfident = (1 / (1 + np.exp(-(3 * logits - shift)))).astype(np.float32)
    scaling = fit_scaling([(overconfident, labels)], step=1)
    assert scaling == pytest.approx((3, shift), rel=0.06, abs=0.1)
    assert logit(rescale(overconfident, *scaling)) == pytest.approx(
        (logit(overconfident) + scaling[1]) / scaling[0], abs=1e-3
    )


def test_a_spread_is_rescaled_with_its_probability() -> None:
    rng = np.random.default_rng(5)
    members = rng.normal(0, 2, (1, 400)) + rng.normal(0, 0.2, (64, 400))
    before = expit(members)
    after = expit((members + 0.4) / 0.7)
    mean = expit(members.mean(axis=0)).astype(np.float32)
    spread = rescale_spread(mean, before.std(axis=0).astype(np.float32), 0.7, 0.4)
    assert spread == pytest.approx(after.std(axis=0), rel=0.15)
    sure = rescale_spread(np.float32([1e-12, 0.5, np.nan]), np.float32([0, 0.1, np.nan]), 2.0, 0.0)
    assert sure[0] == 0 and np.isnan(sure[2])
    assert sure[1] == pytest.approx(0.05)
