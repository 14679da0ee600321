"""Dense prediction of pixels that have different sensors, compared with each set predicted on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmenter import batches, dense, windows
from segmenter.errors import OutputError
from segmenter.inputs import present, refuse_unanswered
from segmenter.manifest import Manifest
from segmenter.normalise import normalise
from segmenter.opening import read_manifests
from segmenter.protocol import Answer, TileArrays
from segmenter.sensors import sensors_of
from segmenter.sets import choices
from tests.support.convolutions import Convolution, blot, fewer, folder_of

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.segmenter.conftest import Stack

CHIP = HALO = 32
CORE = (slice(HALO, -HALO), slice(HALO, -HALO))
DELIVERED = (5, 3, 1, 6)
"""Codes of the sets of fewer sensors that a delivered model has, the best first."""


@pytest.fixture(scope="module")
def small(manifest_of: Callable[..., Manifest]) -> Callable[..., Manifest]:
    def make(*codes: int, **changes: object) -> Manifest:
        fields = {"chip": CHIP, "stride": 20, "sigma": 8, "passes": 0, "temperature": 1.3}
        return manifest_of(**{**fields, "fewer": fewer(*codes), **changes})

    return make


def scene_of(stack: Stack, row: int = 0, col: int = 0, wanted: NDArray[np.bool_] | None = None) -> TileArrays:
    return TileArrays(stack.optical, stack.radar, stack.dem, row, col, HALO, wanted)


def holes(stack: Stack, seed: int, share: float, *, single: float = 0.0) -> None:
    """Take each sensor away in blocks, single bands of each likewise, and at single pixels."""
    rng = np.random.default_rng(seed)
    blot([*stack.optical[:1], *stack.radar, stack.dem], rng, share)
    for sensor in (stack.optical, stack.radar, stack.dem[None]):
        gone = np.zeros(stack.dem.shape, np.float32)
        blot([gone], rng, share)
        gone[rng.random(gone.shape) < single] = np.nan
        sensor[:, np.isnan(gone)] = np.nan


def codes_of(manifest: Manifest, stack: Stack) -> NDArray[np.uint8]:
    """The code of the set of each pixel of the core, pixel by pixel."""
    has = present(stack.optical, stack.radar, stack.dem)[CORE]
    found = [manifest.set_for(code) for code in has.ravel().tolist()]
    return np.array([0 if one is None else one.code for one in found], np.uint8).reshape(has.shape)


def by_definition(
    model: Convolution, stack: Stack, row: int, col: int, code: int, joint: Sequence[Manifest] = ()
) -> NDArray[np.float64]:
    """(h, w) probabilities in float64 as if every pixel had this set: all windows that have a pixel of it in
    their middle, the other sensors absent."""
    manifest, (height, width) = model.manifest, stack.dem.shape
    profile = windows.profile(CHIP, manifest.sigma).astype(np.float64)
    weights = np.outer(profile, profile)
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    has = choices(joint or [manifest])[present(stack.optical, stack.radar, stack.dem)]
    first = (CHIP - manifest.stride) // 2
    for top in range(-row % manifest.stride, height - CHIP + 1, manifest.stride):
        for left in range(-col % manifest.stride, width - CHIP + 1, manifest.stride):
            here = (slice(top, top + CHIP), slice(left, left + CHIP))
            middle = (slice(edge + first, edge + first + manifest.stride) for edge in (top, left))
            if not (has[tuple(middle)] == code).any():
                continue
            optical, radar, dem = (torch.from_numpy(part.copy())[None] for part in stack.cut(*here))
            chips = normalise(optical, radar, dem[None], manifest.inputs)
            with torch.no_grad():
                given = (part if code >> bit & 1 else None for bit, part in enumerate(chips))
                total[here] += weights * model.logits(*given)[0, 0].numpy()
            weight[here] += weights
    fitted = manifest.set_named(sensors_of(code))
    with np.errstate(invalid="ignore"):
        logit = (total[CORE] / weight[CORE] + fitted.shift) / fitted.temperature
    return 1 / (1 + np.exp(-logit))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_equals_every_set_predicted_for_the_whole_scene_and_chosen_per_pixel(
    data: st.DataObject, small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    codes = data.draw(st.lists(st.sampled_from(range(1, 7)), unique=True, max_size=6), "sets")
    model = Convolution(small(*codes, stride=data.draw(st.integers(8, CHIP), "stride")))
    row, col, seed = (data.draw(st.integers(0, 1000), name) for name in ("row", "col", "seed"))
    stack = stack_of(47 + 2 * HALO, 61 + 2 * HALO, seed=seed)
    holes(stack, seed, data.draw(st.sampled_from([0.0, 0.6]), "clouds"), single=0.02)
    answer = dense.predict([model], scene_of(stack, row, col))
    assert answer.sources.dtype == np.uint8
    np.testing.assert_array_equal(answer.sources, codes_of(model.manifest, stack))
    expected = np.full(answer.sources.shape, np.nan)
    for entry in model.manifest.sets:
        ours = answer.sources == entry.code
        if ours.any():
            expected[ours] = by_definition(model, stack, row, col, entry.code)[ours]
    np.testing.assert_allclose(answer.probability, expected, atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_tiles_and_batches_change_nothing_whatever_sensors_the_pixels_have(
    data: st.DataObject, small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    manifest = small(*DELIVERED, passes=2, flips=data.draw(st.booleans(), "flips"),
                     stride=data.draw(st.integers(12, CHIP), "stride"))  # fmt: skip
    row, col, seed = (data.draw(st.integers(0, 1000), name) for name in ("row", "col", "seed"))
    rows, cols = (data.draw(st.integers(2, 80), name) for name in ("rows", "cols"))
    stack = stack_of(rows + 2 * HALO, cols + 2 * HALO, seed=seed)
    holes(stack, seed, data.draw(st.sampled_from([0.3, 0.8]), "clouds"), single=0.01)
    whole = dense.predict([Convolution(manifest, batch=1)], scene_of(stack, row, col))
    down, across = data.draw(st.integers(1, rows - 1), "cut"), data.draw(st.integers(1, cols - 1), "cut")
    parts = [
        (slice(top, bottom), slice(left, right))
        for top, bottom in ((0, down), (down, rows))
        for left, right in ((0, across), (across, cols))
    ]
    scenes = [
        TileArrays(*stack.cut(*(slice(part.start, part.stop + 2 * HALO) for part in here)),
                   row + here[0].start, col + here[1].start, HALO)
        for here in parts
    ]  # fmt: skip
    size = data.draw(st.sampled_from([1, 3, 8, 64]), "batch")
    for here, answer in zip(
        parts, dense.predict_all([Convolution(manifest, batch=size)], scenes), strict=True
    ):
        np.testing.assert_array_equal(answer.sources, whole.sources[here])
        for part, expected in (
            (answer.probability, whole.probability), (answer.uncertainty, whole.uncertainty)
        ):  # fmt: skip
            np.testing.assert_allclose(part, expected[here], atol=0 if size == 1 else 2e-6, rtol=0)
        np.testing.assert_array_equal(np.isnan(answer.probability), answer.sources == 0)


def test_a_set_alone_and_among_others_gives_the_same_bits(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """Logits of other sets add nothing, and a pixel's calibration is its own."""
    model = Convolution(small(*DELIVERED, passes=2), batch=1)
    stack = stack_of(90 + 2 * HALO, 110 + 2 * HALO)
    holes(stack, 8, 0.8, single=0.01)
    together = dense.predict([model], scene_of(stack))
    assert set(np.unique(together.sources).tolist()) == {0, 7, *DELIVERED}
    for code in (7, *DELIVERED):
        ours = together.sources == code
        model.passes.clear()
        alone = dense.predict([model], scene_of(stack, wanted=ours))
        assert {run for run, _ in model.passes} == {code}
        np.testing.assert_array_equal(alone.sources, np.where(ours, code, 0))
        np.testing.assert_array_equal(alone.probability[ours], together.probability[ours])
        np.testing.assert_array_equal(alone.uncertainty[ours], together.uncertainty[ours])


def test_where_all_pixels_have_all_sensors_other_sets_cost_nothing(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(90 + 2 * HALO, 110 + 2 * HALO)
    plain, able = Convolution(small(passes=2)), Convolution(small(*DELIVERED, passes=2))
    first, second = (dense.predict([model], scene_of(stack)) for model in (plain, able))
    np.testing.assert_array_equal(first.probability, second.probability)
    np.testing.assert_array_equal(first.uncertainty, second.uncertainty)
    assert (second.sources == 7).all() and plain.passes == able.passes


def test_only_windows_over_pixels_of_a_set_are_run_with_it(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(1, stride=CHIP), batch=1)
    stack = stack_of(4 * CHIP + 2 * HALO, 4 * CHIP + 2 * HALO)
    stack.radar[:, : HALO + CHIP + 1] = np.nan  # a row of windows, and one line of pixels of the next
    dense.predict([model], scene_of(stack))
    assert sorted(code for code, _ in model.passes) == [1] * 8 + [7] * 12


def test_windows_of_a_rare_set_do_not_split_batches_and_hold_few_back(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(12 * CHIP + 2 * HALO, 10 * CHIP + 2 * HALO)
    for number in range(5):  # a window among the first ones and in every second row
        stack.radar[:, HALO + 2 * number * CHIP : HALO + (2 * number + 1) * CHIP, HALO : HALO + CHIP] = np.nan
    model = Convolution(small(1, stride=CHIP), batch=8)
    answer = dense.predict([model], scene_of(stack))
    common, rare = ([size for code, size in model.passes if code == of] for of in (7, 1))
    assert common == [8] * 14 + [3] and sum(rare) == 5 and len(rare) <= 3
    first = [code for code, _ in model.passes].index(1)
    assert first <= batches.HELD, "the first rare window holds back a bounded number of windows"
    one = dense.predict([Convolution(small(1, stride=CHIP), batch=1)], scene_of(stack))
    np.testing.assert_allclose(answer.probability, one.probability, atol=1e-6)
    np.testing.assert_array_equal(answer.sources, one.sources)


@pytest.mark.parametrize("rare", [0, 3])
def test_what_is_held_back_is_bounded(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], rare: int
) -> None:
    """Of an endless row of scenes, only a few are taken before the first has its answer."""
    model = Convolution(small(1, stride=CHIP), batch=8)
    taken = []

    def scenes() -> Any:
        for number in range(40):
            stack = stack_of(2 * CHIP + 2 * HALO, 2 * CHIP + 2 * HALO, seed=number)
            if number == rare:
                stack.radar[:, HALO : HALO + CHIP] = np.nan
            taken.append(number)
            yield scene_of(stack)

    ahead = []
    for number, answer in enumerate(dense.predict_all([model], scenes())):
        ahead.append(len(taken) - number)
        assert (answer.sources == 1).any() == (number == rare)
    # a scene has 4 windows; patches and strips are a little ahead of them
    assert max(ahead) <= (batches.HELD + 1) * 8 / 4 + 8
    assert max(ahead[15:30]) < 8, "later scenes wait for their own batch alone"


def test_a_calibration_belongs_to_its_set(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(60 + 2 * HALO, 60 + 2 * HALO)
    stack.radar[:, :, : HALO + 30] = np.nan
    plain, other = (
        dense.predict([Convolution(small(passes=2, fewer=fewer(5, **calibration)))], scene_of(stack))
        for calibration in ({"temperature": 1, "shift": 0}, {"temperature": 2.5, "shift": -0.7})
    )
    np.testing.assert_array_equal(plain.probability[:, 30:], other.probability[:, 30:])
    np.testing.assert_array_equal(plain.uncertainty[:, 30:], other.uncertainty[:, 30:])
    likely = plain.probability[:, :30].astype(np.float64)
    expected = 1 / (1 + np.exp(-(np.log(likely / (1 - likely)) - 0.7) / 2.5))
    np.testing.assert_allclose(other.probability[:, :30], expected, atol=1e-5)
    assert (plain.uncertainty[:, :30] != other.uncertainty[:, :30]).any()


def test_an_answer_is_due_where_a_set_was_validated(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    manifest = small(5, 6)
    stack = stack_of(40 + 2 * HALO, 40 + 2 * HALO)
    stack.radar[:, : HALO + 10] = np.nan
    stack.dem[: HALO + 4] = np.nan
    scene = scene_of(stack)
    answer = dense.predict([Convolution(manifest)], scene)
    assert np.isnan(answer.probability[:4]).all() and np.isfinite(answer.probability[4:]).all()
    refuse_unanswered(scene, answer, manifest)
    without = replace(answer, probability=np.where(answer.sources == 5, np.nan, answer.probability))
    with pytest.raises(OutputError, match=r"model made-up: .* not finite on 240 of 1440 pixels"):
        refuse_unanswered(scene, without, manifest)
    refuse_unanswered(scene, without, small())


def test_an_ensemble_uses_the_sets_of_all_its_members(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], tmp_path: Path
) -> None:
    manifests = [
        small(5, 3, 1, passes=2),
        small(6, 1, 5, fewer=fewer(6, 1, 5, threshold=0.8, area_factor=2.5)),
    ]
    folders = [folder_of(tmp_path / f"{number}", manifest) for number, manifest in enumerate(manifests)]
    joint = read_manifests(folders)
    assert [entry.code for entry in joint.sets] == [7, 5, 1]
    assert [entry.threshold for entry in joint.fewer] == pytest.approx([0.6, 0.6])
    assert [entry.area_factor for entry in joint.fewer] == [2.0, 2.0]
    models = [Convolution(manifest, gain=gain) for manifest, gain in zip(manifests, (1, 1.5), strict=True)]
    stack = stack_of(60 + 2 * HALO, 70 + 2 * HALO)
    holes(stack, 5, 0.8, single=0.01)
    answer = dense.predict(models, scene_of(stack))
    np.testing.assert_array_equal(answer.sources, codes_of(joint, stack))
    assert set(np.unique(answer.sources).tolist()) == {0, 1, 5, 7}
    for code in (1, 5, 7):
        each = [by_definition(model, stack, 0, 0, code, manifests) for model in models]
        mean = np.mean([np.log(part / (1 - part)) for part in each], axis=0)
        ours = answer.sources == code
        np.testing.assert_allclose(answer.probability[ours], (1 / (1 + np.exp(-mean)))[ours], atol=2e-6)


def test_an_answer_without_a_set_is_no_answer(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(20 + 2 * HALO, 20 + 2 * HALO)
    stack.optical[3] = np.nan
    model = Convolution(small(5))
    answer: Answer = dense.predict([model], scene_of(stack))
    assert np.isnan(answer.probability).all() and not answer.sources.any() and not model.passes
