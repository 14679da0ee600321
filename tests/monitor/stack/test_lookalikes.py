"""Patches that are cloud on every date in the same shape are ground; clouds are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stack.lookalikes import LARGEST, RING, Sky, lookalikes

SIDE = 200
LAKE = np.s_[80:120, 70:130]


def sky(*clouds: tuple[slice, slice], seen: np.ndarray | None = None) -> Sky:
    cloud = np.zeros((SIDE, SIDE), bool)
    for window in clouds:
        cloud[window] = True
    return Sky(np.ones((SIDE, SIDE), bool) if seen is None else seen, cloud)


def lake() -> np.ndarray:
    return sky(LAKE).cloud


def test_a_turbid_lake_is_found() -> None:
    dates = {"a": sky(LAKE), "b": sky(LAKE), "c": sky(LAKE, np.s_[0:50, 0:50])}
    found = lookalikes(dates)
    assert set(found) == set(dates) and all(np.array_equal(flags, lake()) for flags in found.values())


def test_a_date_with_cloud_around_is_not_used() -> None:
    deck = sky(LAKE, np.s_[60:140, 50:150])
    assert set(lookalikes({"a": sky(LAKE), "b": sky(LAKE), "c": deck})) == {"a", "b"}
    assert lookalikes({"a": sky(LAKE), "c": deck}) == {}, "one clear date shows no repetition"


def test_clouds_are_not_ground() -> None:
    assert lookalikes({"a": sky(LAKE)}) == {}
    assert lookalikes({"a": sky(LAKE), "b": sky(LAKE), "c": sky()}) == {}, "clear on one date"
    moved = sky(np.s_[90:130, 80:140])
    assert lookalikes({"a": sky(LAKE), "b": moved}) == {}
    assert lookalikes({"a": sky(np.s_[:, :]), "b": sky(np.s_[:, :])}) == {}, "overcast"


def test_shores_differ_a_little() -> None:
    found = lookalikes({"a": sky(np.s_[80:120, 70:130]), "b": sky(np.s_[82:120, 70:128])})
    assert set(found) == {"a", "b"} and found["a"][LAKE].mean() > 0.9


def test_a_date_that_does_not_show_the_place_counts_neither_way() -> None:
    unseen = np.ones((SIDE, SIDE), bool)
    unseen[:, 60:] = False
    dates = {"a": sky(LAKE), "b": sky(LAKE), "c": Sky(unseen, np.zeros((SIDE, SIDE), bool))}
    assert set(lookalikes(dates)) == {"a", "b"}


@settings(max_examples=25, deadline=None)
@given(top=st.integers(0, 40), left=st.integers(0, 40), height=st.integers(1, 60), width=st.integers(1, 60))
def test_the_result_does_not_depend_on_the_window(top: int, left: int, height: int, width: int) -> None:
    patch = np.s_[100 : 100 + height, 90 : 90 + width]
    dates = {"a": sky(patch), "b": sky(patch, np.s_[0:40, 150:])}
    whole = lookalikes(dates)
    part = np.s_[top : top + 160, left : left + 160]
    cut = {name: Sky(one.seen[part], one.cloud[part]) for name, one in dates.items()}
    found = lookalikes(cut)
    assert max(height, width) <= LARGEST - RING
    for name in dates:
        assert np.array_equal(found[name], whole[name][part])
