"""Explanations: codes with typed parameters, their sentences, and the summary of several."""

from __future__ import annotations

import json
import pickle

import pytest

from monitor.archive.explanations import Code, Explanation, Refusal, summary
from monitor.plan import Why


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"cloud": [0.124]}, "(12% cloud"),
        ({"cloud": [0.5, 0.124, 0.8]}, "(12% to 80% cloud"),
        ({"cloud": [0.121, 0.124]}, "(12% cloud"),
    ],
)
def test_numbers_are_given_in_the_format_of_the_sentence_or_as_a_range(
    params: dict[str, list[float]], sentence: str
) -> None:
    assert sentence in summary([Refusal.CLOUDIER.because(cloud=cloud) for cloud in params["cloud"]])


def test_each_parameter_is_summarised_by_itself() -> None:
    found = [
        Refusal.OTHER_RADAR.because(
            direction=direction,
            satellites="Sentinel-1A/B",
            region_direction="ascending",
            region_satellites="Sentinel-1C",
        )
        for direction in ("descending", "ascending", "descending")
    ]
    assert summary(found) == (
        "ascending / descending Sentinel-1A/B, the region's radar is ascending Sentinel-1C"
    )


def test_many_names_are_left_out() -> None:
    names = [Refusal.NEWER_BASELINE.because(newer=name) for name in "abcd"]
    assert summary(names[:3]).endswith(": a / b / c") and summary(names).endswith(": …")


def test_a_list_of_names_is_one_value() -> None:
    both, one = (Refusal.LACKS_ASSETS.because(assets=names) for names in (("B01", "B02"), ("B02",)))
    assert str(both) == "lacks the asset B01, B02"
    assert summary([both, one, both]) == "lacks the asset B01, B02 / B02"


@pytest.mark.parametrize("params", [{}, {"days": 1.0, "more": 2}, {"day": 1.0}])
def test_parameters_must_be_those_of_the_code(params: dict[str, float]) -> None:
    with pytest.raises(TypeError, match="far_in_time takes \\['days'\\]"):
        Refusal.FAR_IN_TIME.because(**params)


def test_an_explanation_is_a_value() -> None:
    """Scene lists go to worker processes by pickle, and to scripts as JSON."""
    why = Refusal.FAR_IN_TIME.because(days=8.25)
    assert pickle.loads(pickle.dumps(why)) == why == Explanation(Refusal.FAR_IN_TIME, {"days": 8.25})
    assert why != Refusal.FAR_IN_TIME.because(days=9.0) and len({why, why}) == 1
    assert json.loads(json.dumps(why.plain)) == {
        "code": "far_in_time",
        "params": {"days": 8.25},
        "reason": "8.2 days from the nearest optical date",
    }


@pytest.mark.parametrize("code", [*Refusal, *Why], ids=str)
def test_codes_are_words_of_their_own_and_can_be_looked_up(code: Code) -> None:
    assert type(code)(code.value) is code and code.value == code.name.lower()
    assert [other.value for other in (*Refusal, *Why)].count(code.value) == 1, "unique in JSON"
