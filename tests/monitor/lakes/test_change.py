"""Verdicts on change: significant or not, given the error of both areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.lakes.change import Verdict, compare, last_observations
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


def lakes(rows: dict[str, dict[str, Any]], season: int = 2021) -> pd.DataFrame:
    return pd.DataFrame([{"lake_id": lake, "season": season, **row} for lake, row in rows.items()]).set_index(
        "lake_id"
    )


def events(*rows: tuple[int, str, str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=LINEAGE.columns)


def test_the_area_of_parts_counts_for_the_lake_from_which_they_split() -> None:
    split = events((2022, "split", "b", "a"), (2022, "split", "c", "a"))
    before = lakes({"a": water(10_000)})
    changes = compare(before, lakes({"a": water(4_000), "b": water(3_000), "c": water(2_900)}), split)
    assert changes.verdict.to_dict() == {"a": Verdict.SAME, "b": Verdict.SPLIT, "c": Verdict.SPLIT}
    assert changes.area_after_m2["a"] == 9_900 and changes.change_m2[["b", "c"]].isna().all()
    assert changes.sigma_m2["a"] == pytest.approx(200)
    lost = compare(before, lakes({"a": water(4_000), "b": water(1_000), "c": DRY}), split)
    assert lost.verdict["a"] == Verdict.SHRUNK and lost.change_m2["a"] == -5_000
    hidden = compare(before, lakes({"a": water(4_000), "b": HIDDEN, "c": water(1_000)}), split)
    assert hidden.verdict["a"] == Verdict.NOT_OBSERVED
    again = compare(before, lakes({"a": water(10_000)}), events(*split.values, (2022, "merged", "b", "a"),
                    (2022, "merged", "c", "a")))  # fmt: skip
    assert again.verdict["a"] == Verdict.SAME
    older = compare(before, lakes({"a": water(4_000), "b": water(3_000)}), split.assign(season=2020))
    assert older.verdict["a"] == Verdict.SHRUNK, "split before the earlier observation"


def test_the_area_of_merged_lakes_counts_for_the_lake_into_which_they_merged() -> None:
    merged = events((2022, "merged", "b", "a"))
    before = lakes({"a": water(6_000), "b": water(5_000)})
    changes = compare(before, lakes({"a": water(11_000)}), merged)
    assert changes.verdict.to_dict() == {"a": Verdict.SAME, "b": Verdict.MERGED}
    assert changes.area_before_m2["a"] == 11_000
    lost = compare(before, lakes({"a": water(6_000)}), merged)
    assert lost.verdict["a"] == Verdict.SHRUNK and lost.change_percent["a"] == pytest.approx(-100 * 5 / 11)


def test_the_last_observation_of_each_lake() -> None:
    """Seen whole or dry; of a season that is not suspect; however long ago."""
    rows = [
        ("a", 2015, water(10_000), False),
        ("a", 2016, water(5_000, seen=0.5), False),
        ("a", 2017, HIDDEN, False),
        ("a", 2018, water(1_000), True),
        ("b", 2015, water(10_000), False),
        ("b", 2016, DRY, False),
        ("c", 2016, water(5_000, seen=0.5), False),
        ("d", 2016, water(5_000), False),
        ("e", 2016, HIDDEN, False),
    ]
    columns = {"kind": "model", "survey_id": "s"}
    frame = pd.DataFrame([{"lake_id": a, "season": s, "suspect": q, **r, **columns} for a, s, r, q in rows])
    last = last_observations(frame, events((2017, "merged", "d", "a"), (2014, "merged", "b", "a")))
    assert last.season.to_dict() == {"a": 2015, "b": 2016, "c": 2016}


def test_no_lakes() -> None:
    changes = compare(frame(None), frame(None), LINEAGE)
    assert changes.empty and "verdict" in changes


seen_areas = st.tuples(st.floats(1e3, 1e7), st.floats(0, 1e5), st.floats(0, 1))


@settings(deadline=None)
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
