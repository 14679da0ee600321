"""Dense prediction compared with a plain double loop, and with itself under every tiling."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmenter import dense, strips, windows
from segmenter.errors import InputError, SegmenterError
from segmenter.inputs import valid
from segmenter.manifest import Manifest
from segmenter.normalise import normalise
from segmenter.protocol import TileArrays
from tests.support.convolutions import Convolution, blot

pytestmark = pytest.mark.slow


if TYPE_CHECKING:
    from tests.segmenter.conftest import Stack

Array = NDArray[np.float32]
CHIP = 32
HALO = 32
MODEL = Path(__file__).parents[2] / "models/terramind-tiny"


@pytest.fixture(scope="module")
def small(manifest_of: Callable[..., Manifest]) -> Callable[..., Manifest]:
    def make(**changes: object) -> Manifest:
        return manifest_of(**{"chip": CHIP, "stride": 20, "sigma": 8, "passes": 0, **changes})

    return make


def layers_of(stack: Stack) -> list[Array]:
    return [*stack.optical[:2], *stack.radar, stack.dem]


def probability(model: Convolution, *arrays: Array, row: int, col: int, halo: int = HALO) -> Array:
    return dense.predict([model], TileArrays(*arrays, row, col, halo)).probability


def in_tiles(
    model: Convolution, stack: Stack, row: int, col: int, cuts: tuple[list[int], list[int]]
) -> Array:
    """The core of the stack, tile by tile. `cuts` are the borders of the tiles in the core, its ends
    included."""
    answer = np.full((cuts[0][-1], cuts[1][-1]), -1, np.float32)
    for top, bottom in pairwise(cuts[0]):
        for left, right in pairwise(cuts[1]):
            read = stack.cut(slice(top, bottom + 2 * HALO), slice(left, right + 2 * HALO))
            answer[top:bottom, left:right] = probability(model, *read, row=row + top, col=col + left)
    return answer


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_tiling_gives_the_same_probabilities(
    data: st.DataObject, small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=data.draw(st.integers(8, CHIP), "stride")))
    row = data.draw(st.integers(-100, 10_000), "row")
    col = data.draw(st.integers(-100, 10_000), "col")
    ends = [data.draw(st.integers(1, 80), name) for name in ("height", "width")]
    cuts = [sorted({0, end, *data.draw(st.lists(st.integers(0, end), max_size=3), "cuts")}) for end in ends]
    stack = stack_of(ends[0] + 2 * HALO, ends[1] + 2 * HALO, seed=row + 100)
    blot(
        [*stack.optical[:2], *stack.radar, stack.dem],
        np.random.default_rng(col + 100),
        data.draw(st.sampled_from([0.0, 0.5, 0.9]), "clouds"),
    )

    whole = in_tiles(model, stack, row, col, ([0, ends[0]], [0, ends[1]]))
    tiled = in_tiles(model, stack, row, col, (cuts[0], cuts[1]))

    np.testing.assert_allclose(tiled, whole, atol=1e-6, rtol=0, equal_nan=True)
    core = (slice(HALO, -HALO), slice(HALO, -HALO))
    known = np.isfinite(np.stack([*stack.optical, *stack.radar, stack.dem])).all(0)[core]
    np.testing.assert_array_equal(np.isfinite(whole), known)


def by_definition(model: Convolution, stack: Stack, row: int, col: int) -> NDArray[np.float64]:
    """The definition, in float64: the weighted sum over all windows of the global grid inside the array that
    have valid pixels in their middle."""
    manifest, (height, width) = model.manifest, stack.dem.shape
    profile = windows.profile(manifest.chip, manifest.sigma).astype(np.float64)
    weights = np.outer(profile, profile)
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    known, first = valid(stack.optical, stack.radar, stack.dem), (CHIP - manifest.stride) // 2
    for top in range(height - CHIP + 1):
        for left in range(width - CHIP + 1):
            if (row + top) % manifest.stride or (col + left) % manifest.stride:
                continue
            middle = (slice(edge + first, edge + first + manifest.stride) for edge in (top, left))
            if not known[tuple(middle)].any():
                continue
            here = (slice(top, top + CHIP), slice(left, left + CHIP))
            optical, radar, dem = (torch.from_numpy(part.copy())[None] for part in stack.cut(*here))
            chips = normalise(optical, radar, dem[None], manifest.inputs)
            with torch.no_grad():
                total[here] += weights * model.logits(*chips)[0, 0].numpy()
            weight[here] += weights
    core = (slice(HALO, -HALO), slice(HALO, -HALO))
    with np.errstate(invalid="ignore"):
        return 1 / (1 + np.exp(-total[core] / weight[core] / manifest.temperature))


@pytest.mark.parametrize(("stride", "temperature"), [(8, 1.0), (20, 1.0), (32, 1.0), (20, 2.5)])
def test_equals_the_definition(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], stride: int, temperature: float
) -> None:
    model = Convolution(small(stride=stride, temperature=temperature))
    stack = stack_of(47 + 2 * HALO, 61 + 2 * HALO)
    answer = probability(model, stack.optical, stack.radar, stack.dem, row=1003, col=517)
    assert answer.dtype == np.float32
    expected = by_definition(model, stack, 1003, 517)
    assert expected.std() > 0.05
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_one_missing_value_leaves_one_pixel_without_result(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    for layer, value in (("optical", np.nan), ("radar", -np.inf), ("dem", np.nan)):
        stack = stack_of(40 + 2 * HALO, 40 + 2 * HALO)
        before = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
        getattr(stack, layer)[..., HALO + 11, HALO + 13] = value
        after = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
        assert np.argwhere(np.isnan(after)).tolist() == [[11, 13]]
        changed = np.abs(after - before) > 1e-6  # neighbouring pixels may change within the kernel only
        rows, cols = np.nonzero(changed)
        assert 0 < changed.sum() <= 24
        assert max(abs(rows - 11).max(), abs(cols - 13).max()) <= 2


def test_pixels_outside_every_window_have_no_effect(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """Values beyond the required halo have no effect."""
    model, wide = Convolution(small()), HALO + 9
    stack = stack_of(30 + 2 * wide, 30 + 2 * wide)
    inner = stack.cut(slice(9, -9), slice(9, -9))
    expected = probability(model, *inner, row=209, col=409)
    for layer in (stack.optical, stack.radar, stack.dem):
        layer[..., :1, :] = np.nan
        layer[..., :, -1:] = 1e30
    answer = probability(model, stack.optical, stack.radar, stack.dem, row=200, col=400, halo=wide)
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_without_known_pixels_no_window_is_run(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    stack = stack_of(50 + 2 * HALO, 50 + 2 * HALO)
    stack.dem[HALO:-HALO, HALO:-HALO] = np.nan
    answer = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
    assert np.isnan(answer).all()
    assert model.batches == []


def test_only_windows_over_known_pixels_are_run(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=CHIP))
    stack = stack_of(4 * CHIP + 2 * HALO, 4 * CHIP + 2 * HALO)
    everything = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
    assert sum(model.batches) == 16
    model.passes.clear()
    stack.radar[:, : HALO + 2 * CHIP] = np.nan
    half = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
    assert sum(model.batches) == 8
    np.testing.assert_allclose(half[2 * CHIP + 2 :], everything[2 * CHIP + 2 :], atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8, 1000])
def test_windows_come_in_batches_that_change_nothing(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], batch: int
) -> None:
    stack = stack_of(70 + 2 * HALO, 70 + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    expected = probability(Convolution(small(), batch=2), *arrays, row=0, col=0)
    model = Convolution(small(), batch=batch)
    answer = probability(model, *arrays, row=0, col=0)
    assert max(model.batches) == min(batch, sum(model.batches))
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_batches_continue_across_scenes(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=CHIP), batch=5)
    stacks = [stack_of(CHIP + 2 * HALO, size + 2 * HALO, seed=size) for size in (CHIP, 2 * CHIP, 4 * CHIP)]
    scenes = [TileArrays(s.optical, s.radar, s.dem, 0, 0, HALO) for s in stacks]
    found = [answer.probability for answer in dense.predict_all([model], scenes)]
    assert model.batches == [5, 2]
    for scene, answer in zip(scenes, found, strict=True):
        np.testing.assert_array_equal(answer, dense.predict([model], scene).probability)


def test_a_batch_too_large_for_the_memory_is_halved_and_the_next_is_smaller(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    stack = stack_of(150 + 2 * HALO, 150 + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    expected = probability(Convolution(small()), *arrays, row=0, col=0)
    model = Convolution(small(), batch=32, memory=10)
    np.testing.assert_allclose(probability(model, *arrays, row=0, col=0), expected, atol=1e-6)
    assert model.batches[:4] == [8, 8, 8, 8]
    assert max(model.batches) == 8
    with pytest.raises(SegmenterError, match="not enough memory for one window of 32 px"):
        probability(Convolution(small(), memory=0), *arrays, row=0, col=0)


def test_a_cpu_without_memory_for_a_batch_halves_it_too(tmp_path: Path) -> None:
    """A real allocator at its limit: the process may not grow by more than a gigabyte."""
    script = tmp_path / "short_of_memory.py"
    script.write_text(
        """
import resource, sys
from pathlib import Path
import numpy as np, torch
from segmenter import dense
from segmenter.manifest import read_manifest
from segmenter.protocol import TileArrays

class Hungry:
    small = {"chip": 32, "stride": 32, "sigma": 8.0, "passes": 0}
    manifest = read_manifest(sys.argv[1]).model_copy(update=small)
    device, batch, ran = torch.device("cpu"), 16, []

    def logits(self, optical, radar, dem):
        room = torch.empty(len(dem), 250_000_000, dtype=torch.uint8)
        self.ran.append(len(dem))
        return optical[:, :1]

grown = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
arrays = (np.ones((bands, 192, 192), np.float32) for bands in (12, 2))
scene = TileArrays(*arrays, np.ones((192, 192), np.float32), 0, 0, 32)
answer = dense.predict([Hungry()], scene)
print(np.isfinite(answer.probability).all(), sum(Hungry.ran), max(Hungry.ran))
"""
    )
    done = subprocess.run(
        [sys.executable, script, MODEL], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split()[:2] == ["True", "16"], done.stderr
    assert int(done.stdout.split()[2]) in (1, 2, 4)  # the part of a batch of 16 that fits into a gigabyte


def test_only_wanted_pixels_are_predicted(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=CHIP))
    stack = stack_of(4 * CHIP + 2 * HALO, 4 * CHIP + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    everything = dense.predict([model], TileArrays(*arrays, 0, 0, HALO)).probability
    model.passes.clear()
    wanted = np.zeros(everything.shape, bool)
    wanted[CHIP + 3 : CHIP + 9, 5:20] = True
    part = dense.predict([model], TileArrays(*arrays, 0, 0, HALO, wanted)).probability
    assert sum(model.batches) == 1
    np.testing.assert_array_equal(np.isfinite(part), wanted)
    np.testing.assert_array_equal(part[wanted], everything[wanted])


def test_uncertainty_is_the_spread_of_passes_flips_and_models(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """Compared with the definition: each member predicted alone, as if it were a model."""
    stack = stack_of(60 + 2 * HALO, 60 + 2 * HALO)
    scene = TileArrays(stack.optical, stack.radar, stack.dem, 0, 0, HALO)
    plain, calm = Convolution(small(temperature=1.7)), Convolution(small(temperature=3.0))
    assert dense.predict([plain], scene).uncertainty.max() == 0

    passes = Convolution(small(passes=3, temperature=1.7))
    answer = dense.predict([passes], scene)
    np.testing.assert_array_equal(answer.probability, dense.predict([plain], scene).probability)
    alone = []
    for number in (1, 2, 3):
        member = Convolution(small(temperature=1.7))
        member.gain = 1 + 0.2 * number
        alone.append(dense.predict([member], scene).probability)
    spread = np.var(alone, axis=0, ddof=1)
    assert spread.max() > 1e-3
    np.testing.assert_allclose(answer.uncertainty**2, spread, atol=1e-6)

    both = dense.predict([plain, calm], scene)
    pair = [dense.predict([model], scene).probability for model in (plain, calm)]
    np.testing.assert_allclose(both.uncertainty**2, np.var(pair, axis=0, ddof=1), atol=1e-6)
    odds = [np.log(part / (1 - part)) for part in pair]
    np.testing.assert_allclose(both.probability, 1 / (1 + np.exp(-np.mean(odds, axis=0))), atol=1e-5)


def test_flips_are_averaged_as_logits_and_their_spread_is_uncertainty(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """The result of a flipped scene is the flipped result; without flips the slope prevents it."""
    stack = stack_of(3 * CHIP, 3 * CHIP)
    arrays = (stack.optical, stack.radar, stack.dem)
    turned = [np.ascontiguousarray(array[..., ::-1, ::-1]) for array in arrays]
    for flips in (False, True):
        model = Convolution(small(stride=CHIP, flips=flips))
        answer, upside_down = (
            dense.predict([model], TileArrays(*parts, 0, 0, HALO)) for parts in (arrays, turned)
        )
        same = np.allclose(answer.probability, upside_down.probability[::-1, ::-1], atol=1e-6)
        assert same == flips
        assert (answer.uncertainty.max() > 1e-3) == flips


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_an_uncertainty_does_not_depend_on_the_tiling(
    data: st.DataObject, small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(passes=2, flips=data.draw(st.booleans(), "flips")), batch=1)
    stack = stack_of(50 + 2 * HALO, 50 + 2 * HALO, seed=4)
    blot(
        [*stack.optical[:2], *stack.radar, stack.dem],
        np.random.default_rng(data.draw(st.integers(0, 99), "clouds")),
        0.5,
    )
    cut = data.draw(st.integers(1, 49), "cut")
    whole = dense.predict([model], TileArrays(stack.optical, stack.radar, stack.dem, 77, 33, HALO))
    below = stack.cut(slice(cut, None), slice(0, None))
    part = dense.predict([model], TileArrays(*below, 77 + cut, 33, HALO))
    np.testing.assert_array_equal(part.uncertainty, whole.uncertainty[cut:])
    np.testing.assert_array_equal(part.probability, whole.probability[cut:])
    np.testing.assert_array_equal(np.isnan(whole.uncertainty), np.isnan(whole.probability))


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_blocks_change_nothing(
    data: st.DataObject, small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """A sweep in blocks of few windows equals that in one block per row, bit by bit."""
    stride = data.draw(st.integers(7, CHIP), "stride")
    rows, cols = (data.draw(st.integers(1, 150), name) for name in ("rows", "cols"))
    stack = stack_of(rows + 2 * HALO, cols + 2 * HALO, seed=rows)
    blot(layers_of(stack), np.random.default_rng(cols), 0.5)
    model = Convolution(small(stride=stride, passes=1), batch=3)
    corner = data.draw(st.tuples(st.integers(0, 99), st.integers(0, 99)), "corner")
    scene = TileArrays(stack.optical, stack.radar, stack.dem, *corner, HALO)
    whole = dense.predict([model], scene)
    with mock.patch.object(strips, "BLOCK", data.draw(st.integers(1, 100), "block")):
        blocks = dense.predict([model], scene)
    np.testing.assert_array_equal(blocks.probability, whole.probability)
    np.testing.assert_array_equal(blocks.uncertainty, whole.uncertainty)


def test_a_scene_may_stay_on_disk(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], tmp_path: Path
) -> None:
    model, stack = Convolution(small()), stack_of(70 + 2 * HALO, 40 + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    for name, array in zip("ord", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    kept = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ord"]
    expected = probability(model, *arrays, row=5, col=5)
    np.testing.assert_array_equal(probability(model, *kept, row=5, col=5), expected)


def test_a_scene_smaller_than_a_window_works_once_padded(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    scene = stack_of(5, 9)
    padded = scene.padded(HALO)
    answer = probability(model, padded.optical, padded.radar, padded.dem, row=77, col=15)
    assert answer.shape == (5, 9)
    assert np.isfinite(answer).all()
    expected = by_definition(model, padded, 77, 15)
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_read_only_and_double_precision_arrays_are_taken(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    stack = stack_of(20 + 2 * HALO, 20 + 2 * HALO)
    expected = probability(model, stack.optical, stack.radar, stack.dem, row=0, col=0)
    arrays = [array.astype(np.float64) for array in (stack.optical, stack.radar, stack.dem)]
    for array in arrays:
        array.flags.writeable = False
    kept = [array.copy() for array in arrays]
    answer = probability(model, *arrays, row=0, col=0)  # type: ignore[arg-type]
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"optical": (11, 100, 100)}, r"optical: must be \(12, 100, 100\) .*got shape \(11, 100, 100\)"),
        ({"optical": (12, 100, 99)}, r"optical: .*got shape \(12, 100, 99\)"),
        ({"radar": (100, 100)}, r"radar: must be \(2, 100, 100\) \(VV VH"),
        ({"dem": (1, 100, 100)}, r"dem: must be \(H, W\), got shape \(1, 100, 100\)"),
        ({"wanted": (35, 36)}, r"wanted: must be \(36, 36\)"),
        ({"halo": 16}, r"halo: is 16 px, the model needs 32"),
        ({"halo": 50}, r"halo: 50 px on every side leave no core in \(100, 100\)"),
    ],
)
def test_invalid_input_is_named(
    small: Callable[..., Manifest], change: dict[str, object], named: str
) -> None:
    shapes = {"optical": (12, 100, 100), "radar": (2, 100, 100), "dem": (100, 100)}
    arrays = [np.zeros(change.get(name, shape), np.float32) for name, shape in shapes.items()]
    wanted = np.ones(change["wanted"], bool) if "wanted" in change else None
    model = Convolution(small())
    with pytest.raises(InputError, match=named):
        dense.predict([model], TileArrays(*arrays, 0, 0, change.get("halo", HALO), wanted))
    assert model.batches == []


def test_logits_that_are_no_numbers_are_refused(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """As half precision gives them where it overflows; not where nothing is to be answered."""
    model, stack = Convolution(small()), stack_of(40 + 2 * HALO, 40 + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    with torch.no_grad():
        model.convolution.bias.fill_(torch.inf)
    with pytest.raises(SegmenterError, match="logits are not finite"):
        dense.predict([model], TileArrays(*arrays, 0, 0, HALO))
    nothing = np.zeros((40, 40), bool)
    answer = dense.predict([model], TileArrays(*arrays, 0, 0, HALO, nothing))
    assert np.isnan(answer.probability).all()


class Counted:
    """An array that notes which rows of it are read."""

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.rows = array, array.shape, np.zeros(array.shape[-2], int)

    def __getitem__(self, key: tuple[object, ...]) -> Array:
        self.rows[key[-2]] += 1
        return self.array[key]


def test_every_row_is_read_once_and_none_where_nothing_is_wanted(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=20))
    stack = stack_of(100 + 2 * HALO, 60 + 2 * HALO)
    arrays = [Counted(array) for array in (stack.optical, stack.radar, stack.dem)]
    wanted = np.ones((100, 60), bool)
    answer = dense.predict([model], TileArrays(*arrays, 0, 0, HALO, wanted))  # type: ignore[arg-type]
    expected = dense.predict([model], TileArrays(stack.optical, stack.radar, stack.dem, 0, 0, HALO))
    np.testing.assert_array_equal(answer.probability, expected.probability)
    for array in arrays:
        assert array.rows.max() == 1
        assert array.rows[HALO:-HALO].min() == 1
        array.rows[:] = 0
    wanted[40:] = False
    dense.predict([model], TileArrays(*arrays, 0, 0, HALO, wanted))  # type: ignore[arg-type]
    for array in arrays:
        assert array.rows[HALO + 40 + CHIP :].max() == 0
        assert array.rows[HALO : HALO + 40].min() == 1
