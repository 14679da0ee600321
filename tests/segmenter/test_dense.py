"""Dense prediction against a plain double loop, and against itself under every tiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from segmenter import dense
from segmenter.errors import InputError
from segmenter.manifest import Manifest
from segmenter.normalise import normalise
from segmenter.windows import gaussian

if TYPE_CHECKING:
    from conftest import Stack

Array = NDArray[np.float32]
CHIP = 32
HALO = 32


@dataclass
class Convolution:
    """A second, cheap network: one fixed 5 x 5 convolution of all bands, zero-padded at the chip's edge, plus
    a slope across the chip, so that a pixel's logit depends on where in its window it lies."""

    manifest: Manifest
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    batches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.convolution = torch.nn.Conv2d(15, 1, 5, padding=2)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.randn(1, 15, 5, 5, generator=generator) * 0.05)
            self.convolution.bias.zero_()
        self.slope = torch.linspace(-1, 1, self.manifest.chip).outer(torch.linspace(1, 2, self.manifest.chip))

    def logits(self, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        self.batches.append(len(dem))
        return self.convolution(torch.cat([optical, radar, dem], 1))[:, 0] + self.slope


@pytest.fixture(scope="module")
def small(manifest_of: Callable[..., Manifest]) -> Callable[..., Manifest]:
    def make(**changes: object) -> Manifest:
        return manifest_of(**{"chip": CHIP, "stride": 20, "sigma": 8, **changes})

    return make


def in_tiles(
    model: Convolution, stack: Stack, row: int, col: int, cuts: tuple[list[int], list[int]]
) -> Array:
    """The core of the stack, tile by tile; `cuts` are the tiles' borders in the core, its ends included."""
    answer = np.full((cuts[0][-1], cuts[1][-1]), -1, np.float32)
    for top, bottom in pairwise(cuts[0]):
        for left, right in pairwise(cuts[1]):
            read = stack.cut(slice(top, bottom + 2 * HALO), slice(left, right + 2 * HALO))
            answer[top:bottom, left:right] = dense.predict(
                model, *read, row=row + top, col=col + left, halo=HALO
            )
    return answer


def blot(stack: Stack, rng: np.random.Generator, share: float) -> None:
    """Blocks of NaN, as clouds and layover are, in all three inputs."""
    height, width = stack.dem.shape
    for layer in (*stack.optical[:2], *stack.radar, stack.dem):
        while rng.random() < share:
            top, left = rng.integers(height), rng.integers(width)
            layer[top : top + rng.integers(1, 60), left : left + rng.integers(1, 60)] = np.nan


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
    blot(stack, np.random.default_rng(col + 100), data.draw(st.sampled_from([0.0, 0.5, 0.9]), "clouds"))

    whole = in_tiles(model, stack, row, col, ([0, ends[0]], [0, ends[1]]))
    tiled = in_tiles(model, stack, row, col, (cuts[0], cuts[1]))

    np.testing.assert_allclose(tiled, whole, atol=1e-6, rtol=0, equal_nan=True)
    core = (slice(HALO, -HALO), slice(HALO, -HALO))
    known = np.isfinite(np.stack([*stack.optical, *stack.radar, stack.dem])).all(0)[core]
    np.testing.assert_array_equal(np.isfinite(whole), known)


def plainly(model: Convolution, stack: Stack, row: int, col: int) -> NDArray[np.float64]:
    """The definition, in float64: for each window of the global grid inside the array, add what it says."""
    manifest, (height, width) = model.manifest, stack.dem.shape
    weights = gaussian(manifest.chip, manifest.sigma).astype(np.float64)
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    for top in range(height - CHIP + 1):
        for left in range(width - CHIP + 1):
            if (row + top) % manifest.stride or (col + left) % manifest.stride:
                continue
            here = (slice(top, top + CHIP), slice(left, left + CHIP))
            optical, radar, dem = (torch.from_numpy(part.copy())[None] for part in stack.cut(*here))
            chips = normalise(optical, radar, dem[None], manifest.inputs)
            with torch.no_grad():
                total[here] += weights * model.logits(*chips)[0].numpy()
            weight[here] += weights
    core = (slice(HALO, -HALO), slice(HALO, -HALO))
    return 1 / (1 + np.exp(-total[core] / weight[core] / manifest.temperature))


@pytest.mark.parametrize(("stride", "temperature"), [(8, 1.0), (20, 1.0), (32, 1.0), (20, 2.5)])
def test_equals_the_definition(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], stride: int, temperature: float
) -> None:
    model = Convolution(small(stride=stride, temperature=temperature))
    stack = stack_of(47 + 2 * HALO, 61 + 2 * HALO)
    answer = dense.predict(model, stack.optical, stack.radar, stack.dem, row=1003, col=517, halo=HALO)
    assert answer.dtype == np.float32
    expected = plainly(model, stack, 1003, 517)
    assert expected.std() > 0.05
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_one_missing_value_leaves_one_pixel_unanswered(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    for layer, value in (("optical", np.nan), ("radar", -np.inf), ("dem", np.nan)):
        stack = stack_of(40 + 2 * HALO, 40 + 2 * HALO)
        before = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
        getattr(stack, layer)[..., HALO + 11, HALO + 13] = value
        after = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
        assert np.argwhere(np.isnan(after)).tolist() == [[11, 13]]
        changed = (
            np.abs(after - before) > 1e-6
        )  # it may change what its neighbours say, not beyond the kernel
        rows, cols = np.nonzero(changed)
        assert 0 < changed.sum() <= 24
        assert max(abs(rows - 11).max(), abs(cols - 13).max()) <= 2


def test_what_no_window_of_the_core_sees_does_not_matter(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    """A halo wider than needed changes nothing, whatever is in the surplus."""
    model, wide = Convolution(small()), HALO + 9
    stack = stack_of(30 + 2 * wide, 30 + 2 * wide)
    inner = stack.cut(slice(9, -9), slice(9, -9))
    expected = dense.predict(model, *inner, row=209, col=409, halo=HALO)
    for layer in (stack.optical, stack.radar, stack.dem):
        layer[..., :1, :] = np.nan
        layer[..., :, -1:] = 1e30
    answer = dense.predict(model, stack.optical, stack.radar, stack.dem, row=200, col=400, halo=wide)
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_nothing_known_is_nothing_answered_and_nothing_run(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    stack = stack_of(50 + 2 * HALO, 50 + 2 * HALO)
    stack.dem[HALO:-HALO, HALO:-HALO] = np.nan
    answer = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
    assert np.isnan(answer).all()
    assert model.batches == []


def test_only_windows_over_known_pixels_are_run(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small(stride=CHIP))
    stack = stack_of(4 * CHIP + 2 * HALO, 4 * CHIP + 2 * HALO)
    everything = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
    assert sum(model.batches) == 16
    model.batches.clear()
    stack.radar[:, : HALO + 2 * CHIP] = np.nan
    half = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
    assert sum(model.batches) == 8
    np.testing.assert_allclose(half[2 * CHIP + 2 :], everything[2 * CHIP + 2 :], atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8, 1000])
def test_windows_come_in_batches_that_change_nothing(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack], batch: int
) -> None:
    model = Convolution(small())
    stack = stack_of(70 + 2 * HALO, 70 + 2 * HALO)
    arrays = (stack.optical, stack.radar, stack.dem)
    expected = dense.predict(model, *arrays, row=0, col=0, halo=HALO, batch=2)
    model.batches.clear()
    answer = dense.predict(model, *arrays, row=0, col=0, halo=HALO, batch=batch)
    assert max(model.batches) == min(batch, sum(model.batches))
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_a_scene_smaller_than_a_window_works_once_padded(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    scene = stack_of(5, 9)
    padded = scene.padded(HALO)
    answer = dense.predict(model, padded.optical, padded.radar, padded.dem, row=77, col=15, halo=HALO)
    assert answer.shape == (5, 9)
    assert np.isfinite(answer).all()
    expected = plainly(model, padded, 77, 15)
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_read_only_and_double_precision_arrays_are_taken(
    small: Callable[..., Manifest], stack_of: Callable[..., Stack]
) -> None:
    model = Convolution(small())
    stack = stack_of(20 + 2 * HALO, 20 + 2 * HALO)
    expected = dense.predict(model, stack.optical, stack.radar, stack.dem, row=0, col=0, halo=HALO)
    arrays = [array.astype(np.float64) for array in (stack.optical, stack.radar, stack.dem)]
    for array in arrays:
        array.flags.writeable = False
    kept = [array.copy() for array in arrays]
    answer = dense.predict(model, *arrays, row=0, col=0, halo=HALO)  # type: ignore[arg-type]
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
        ({"halo": 16}, r"halo: is 16 px, the model's windows need 32"),
        ({"halo": 50}, r"halo: 50 px on every side leave no core in \(100, 100\)"),
        ({"batch": 0}, r"batch: must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    small: Callable[..., Manifest], change: dict[str, object], named: str
) -> None:
    shapes = {"optical": (12, 100, 100), "radar": (2, 100, 100), "dem": (100, 100)}
    arguments = {"halo": 32, "batch": 8} | {k: v for k, v in change.items() if k not in shapes}
    arrays = {k: np.zeros(change.get(k, shape), np.float32) for k, shape in shapes.items()}
    model = Convolution(small())
    with pytest.raises(InputError, match=named):
        dense.predict(model, **arrays, row=0, col=0, **arguments)
    assert model.batches == []
