"""Verdicts on change: significant or not, given the error of both areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.lakes.change import Verdict, compare
from monitor.lakes.uncertainty import area_sigma
from storage.codes import LineageKind, Outcome

LINEAGE = pd.DataFrame(columns=["season", "kind", "lake_id", "other_lake_id"])


def water(area: float, sigma: float | None = 100.0, seen: float | None = 1.0) -> dict[str, Any]:
    return {"outcome": "water", "area_m2": area, "sigma_m2": sigma, "seen_share": seen}


DRY = {"outcome": "dry", "area_m2": None, "sigma_m2": None, "seen_share": 1.0}
HIDDEN = {"outcome": "not observed", "area_m2": None, "sigma_m2": None, "seen_share": 0.0}


def frame(row: dict[str, Any] | None) -> pd.DataFrame:
    rows = [] if row is None else [{"lake_id": "a", "season": 2021, **row}]
    columns = ["lake_id", "season", "outcome", "area_m2", "sigma_m2", "seen_share"]
    return pd.DataFrame(rows, columns=columns).set_index("lake_id")


def verdict(before: dict[str, Any] | None, after: dict[str, Any] | None, *kinds: LineageKind) -> pd.Series:
    lineage = pd.DataFrame([(2022, k, "a", None) for k in kinds], columns=LINEAGE.columns)
    return compare(frame(before), frame(after), lineage).loc["a"]


def test_sigma_by_hand() -> None:
    """A lake of 10 x 10 pixels has 40 edge pixels: 0.6872 x 40 x 50 m2."""
    assert area_sigma(400.0) == pytest.approx(1374.4)
    assert area_sigma(400.0, pixel_m=30.0) == pytest.approx(0.6872 * 400 / 30 * 900 / 2)


@pytest.mark.parametrize(
    ("before", "after", "kinds", "expected"),
    [
        (water(10_000), water(10_500), (), Verdict.GROWN),
        (water(10_000), water(9_500), (), Verdict.SHRUNK),
        (water(10_000), water(10_200), (), Verdict.SAME),
        (DRY, water(4_000), (), Verdict.NEW),
        (None, water(4_000), (LineageKind.NEW,), Verdict.NEW),
        (None, water(4_000), (LineageKind.REAPPEARED,), Verdict.NEW),
        (HIDDEN, water(4_000), (), Verdict.NOT_OBSERVED),
        (None, water(4_000), (), Verdict.NOT_OBSERVED),
        (water(10_000), DRY, (), Verdict.DRAINED),
        (water(10_000), HIDDEN, (), Verdict.NOT_OBSERVED),
        (water(10_000), None, (), Verdict.NOT_OBSERVED),
        (water(10_000), None, (LineageKind.MERGED,), Verdict.MERGED),
        (None, water(10_000), (LineageKind.SPLIT,), Verdict.SPLIT),
        (DRY, DRY, (), Verdict.SAME),
        (HIDDEN, HIDDEN, (), Verdict.NOT_OBSERVED),
        (water(10_000), water(4_000, seen=0.5), (), Verdict.NOT_OBSERVED),
        (water(10_000, seen=0.5), DRY, (), Verdict.DRAINED),
        (water(10_000, seen=None), water(9_000), (), Verdict.NOT_OBSERVED),
        (DRY, water(4_000, seen=0.5), (), Verdict.NOT_OBSERVED),
        (water(10_000, sigma=None), water(10_001, sigma=None), (), Verdict.GROWN),
    ],
)
def test_every_verdict(before, after, kinds, expected: Verdict) -> None:
    assert verdict(before, after, *kinds).verdict == expected


def test_figures_of_a_change() -> None:
    row = verdict(water(10_000, 300), water(15_000, 400))
    assert row.change_m2 == 5_000 and row.change_percent == 50
    assert row.sigma_m2 == pytest.approx(500) and row.detection_limit_m2 == pytest.approx(980)


def test_unobserved_lakes_have_no_change() -> None:
    row = verdict(water(10_000), HIDDEN)
    assert row.area_before_m2 == 10_000
    assert (
        row[["area_after_m2", "change_m2", "sigma_m2", "detection_limit_m2", "change_percent"]].isna().all()
    )


def test_a_drained_lake_has_area_zero_and_a_hidden_one_has_none() -> None:
    assert verdict(water(10_000), DRY).area_after_m2 == 0
    assert verdict(water(10_000), DRY).change_percent == -100
    assert np.isnan(verdict(DRY, water(5_000)).change_percent)


def test_no_lakes() -> None:
    changes = compare(frame(None), frame(None), LINEAGE)
    assert changes.empty and "verdict" in changes


seen_areas = st.tuples(st.floats(1e3, 1e7), st.floats(0, 1e5), st.floats(0, 1))


@given(seen_areas, seen_areas)
def test_a_change_within_the_error_is_ignored(before: tuple[float, ...], after: tuple[float, ...]) -> None:
    row = verdict(water(*before), water(*after))
    if min(before[2], after[2]) < 0.9:
        assert row.verdict == Verdict.NOT_OBSERVED
        return
    limit = 1.96 * float(np.hypot(before[1], after[1]))
    assert row.detection_limit_m2 == pytest.approx(limit)
    if abs(after[0] - before[0]) <= limit:
        assert row.verdict == Verdict.SAME
    else:
        assert row.verdict == (Verdict.GROWN if after[0] > before[0] else Verdict.SHRUNK)


def test_outcomes_are_those_of_the_history() -> None:
    assert {HIDDEN["outcome"], DRY["outcome"], water(1.0)["outcome"]} == {
        outcome.value for outcome in Outcome
    }
