"""Agreement of model and index, and the seasons that it makes suspect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.history.season import draft_season
from monitor.lakes.fitness import BLOCK, LEAST_IOU, NOT_FIT, Agreement, agreement, misfit
from storage.codes import Index, Reason, SurveyKind
from tests.support.scenery import History, cut, region, season_of
from tests.support.sensor_sets import sensor_set

SIDE = 96
#: 14.4 ha: 90 blocks
LAKE = np.zeros((SIDE, SIDE), bool)
LAKE[8:44, 8:48] = True
NOTHING = np.zeros((SIDE, SIDE), bool)


def maps(model: NDArray[np.bool_], index: NDArray[np.bool_], size: int = SIDE, **layers):
    return cut(model, size, index=index.astype(np.uint8), **layers)


def whole(tiles) -> Agreement:
    return sum(map(agreement, tiles), Agreement())


def test_by_hand() -> None:
    blocks = (SIDE // BLOCK) ** 2
    assert whole(maps(LAKE, LAKE)) == Agreement(blocks, both=90)
    assert whole(maps(LAKE, NOTHING)) == Agreement(blocks, model_only=90)
    assert whole(maps(NOTHING, LAKE)) == Agreement(blocks, index_only=90)
    assert whole(maps(LAKE, LAKE)).iou == 1 and whole(maps(NOTHING, NOTHING)).iou is None


@pytest.mark.parametrize("index", [Index.SNOW, Index.SHADOW, Index.RADAR, Index.TURBID, Index.NODATA])
def test_ground_that_the_index_cannot_judge_is_not_compared(index: Index) -> None:
    classes = np.where(LAKE, index, Index.DRY).astype(np.uint8)
    found = whole(cut(NOTHING, SIDE, index=classes))
    assert found == Agreement((SIDE // BLOCK) ** 2 - 90)


@pytest.mark.parametrize("reason", [Reason.CLOUD, Reason.NODATA, Reason.OUTSIDE])
def test_ground_that_the_model_did_not_see_is_not_compared(reason: Reason) -> None:
    reasons = np.where(LAKE, reason, Reason.DRY).astype(np.uint8)
    found = whole(cut(NOTHING, SIDE, index=LAKE.astype(np.uint8), reason=reasons))
    assert found == Agreement((SIDE // BLOCK) ** 2 - 90)


def test_shores_and_single_pixels_do_not_matter() -> None:
    shifted = np.roll(LAKE, (1, 1), (0, 1))
    speckled = NOTHING.copy()
    speckled[::3, ::3] = True
    assert whole(maps(LAKE, shifted)).iou == 1
    found = whole(maps(NOTHING, speckled & ~LAKE))
    assert found.water == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([4, 8, 16, 24, 32, 48]), grain=st.integers(1, 12))
def test_it_is_the_same_for_any_tiling_and_symmetric(seed: int, size: int, grain: int) -> None:
    rng = np.random.default_rng(seed)
    fields = [
        np.kron(rng.random((-(-SIDE // grain),) * 2), np.ones((grain, grain)))[:SIDE, :SIDE] for _ in range(2)
    ]
    model, index = (field > 0.6 for field in fields)
    one, many, turned = (
        whole(maps(*pair, size=edge))
        for pair, edge in (((model, index), SIDE), ((model, index), size), ((index, model), SIDE))
    )
    assert one == many
    assert (turned.both, turned.model_only, turned.index_only) == (one.both, one.index_only, one.model_only)
    assert one.water <= one.compared <= (SIDE // BLOCK) ** 2


counts = st.integers(0, 2_000_000)


@given(compared=counts, both=counts, model=counts, index=counts)
def test_a_misfit_is_little_agreement_on_enough_water(compared, both, model, index) -> None:
    found = Agreement(compared + both + model + index, both, model, index)
    why = misfit(found)
    if why is None:
        assert found.water < 63 or found.water < found.compared / 1000 or found.iou >= LEAST_IOU
    else:
        assert found.iou < LEAST_IOU and why.why.startswith(NOT_FIT)
        assert why.area_m2 == pytest.approx(1600 * (model + index))
        worse = Agreement(found.compared + 10, both, model + 5, index + 5)
        assert misfit(worse) or worse.water < worse.compared / 1000
    assert misfit(Agreement(found.compared + both, 2 * both + model + index, model, index)) is None


def drafted(tiles, season: int, history: History, kind: SurveyKind = SurveyKind.MODEL):
    return draft_season(
        season_of(tiles),
        region(),
        season,
        history.prior(season),
        [],
        smallest_m2=2000,
        kind=kind,
        sets=(sensor_set(),),
    )


def test_a_season_of_a_model_that_sees_no_water_is_suspect_and_nothing_drains() -> None:
    history = History()
    first = drafted(maps(LAKE, LAKE), 2021, history)
    assert first.suspect is None and first.flags.empty
    history.record(first, 2021)
    second = drafted(maps(NOTHING, LAKE), 2022, history)
    assert second.suspect == (
        f"{NOT_FIT}: of 92 ha of clear ground, 0 ha are water to model and index, 0 ha to the model only, "
        "14 ha to the index only"
    )
    assert list(second.observations.outcome) == ["not observed"] and second.lineage.empty
    flags = second.flags.set_index("kind")
    assert set(flags.index) == {"index water, model dry", "suspect season"}
    assert flags.score["suspect season"] == pytest.approx(14.4)
    assert flags.detail["suspect season"] == {"why": second.suspect}


def test_a_model_that_sees_water_on_dry_ground_is_suspect_in_its_first_season() -> None:
    draft = drafted(maps(LAKE, NOTHING), 2021, History())
    assert draft.suspect is not None and draft.suspect.startswith(NOT_FIT)


def test_a_survey_of_the_index_is_not_compared_with_itself() -> None:
    draft = drafted(maps(NOTHING, LAKE), 2021, History(), SurveyKind.INDEX)
    assert draft.suspect is None
