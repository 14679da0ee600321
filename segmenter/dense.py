"""Dense prediction: the logit of a pixel is the weighted mean over the windows of the grid that cover it.

A window is computed once for each set of sensors that pixels in its middle have (`segmenter.sets`), with the
other sensors absent, and its logits count for the pixels of that set. The middles of the windows fill the
plane, so that every pixel is answered. A pixel that is alone with its set, as in radar shadow, needs one
window in place of all that cover it.

The result does not depend on the tiling: windows are the same whatever scene computes them (the halo holds
all of each), a pixel's windows are summed in the order of the grid, and whether a window is computed for a
set depends only on the pixels in its middle. A scene is swept in blocks of windows, row by row, so that
memory hardly grows with it; anything that can be sliced like an array will do, also one that stays on disk.

Strips of the scene are copied to the device of the networks. Windows are cut, standardised, flipped, weighted
and summed there, and three layers, probability, standard deviation and set of sensors, are copied back.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from segmenter.batches import Job, answers
from segmenter.errors import SegmenterError
from segmenter.inputs import check
from segmenter.lanes import Lane, Pending, lane
from segmenter.manifest import Manifest
from segmenter.members import answer, planes
from segmenter.protocol import Answer, ChipNetwork, TileArrays
from segmenter.sets import calibration, validated
from segmenter.strips import Block, Grid, Reader, Strip, prepared
from segmenter.windows import Window, middle, profile
from segmenter.windows import halo as halo_of

_BEHIND = 4
"""Patches that may be pending on the device before the first is waited for."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a scene's core with its answer."""

    rows: slice
    cols: slice
    answer: Answer
    last: bool
    """Of its scene."""


def predict(networks: Sequence[ChipNetwork], scene: TileArrays) -> Answer:
    """The answer for the whole core of a scene; one of several networks is the mean of their logits.

    A scene smaller than a window works like any other, once padded by the halo with NaN.
    Raises `InputError` naming the argument that does not fit, `SegmenterError` when memory ends or a
    network's logits are no numbers.
    """
    return next(predict_all(networks, [scene]))


def predict_all(networks: Sequence[ChipNetwork], scenes: Iterable[TileArrays]) -> Iterator[Answer]:
    """The answer of every scene, in their order. Raises as `predict`."""
    begun: deque[Answer] = deque()

    def noted() -> Iterator[TileArrays]:
        for scene in scenes:
            check(scene.optical, scene.radar, scene.dem, scene.halo, halo_of(networks[0].manifest),
                  scene.wanted)  # fmt: skip
            begun.append(_unanswered(scene.core))
            yield scene

    for patch in patches(networks, noted()):
        whole = begun[0]
        whole.probability[patch.rows, patch.cols] = patch.answer.probability
        whole.uncertainty[patch.rows, patch.cols] = patch.answer.uncertainty
        whole.sources[patch.rows, patch.cols] = patch.answer.sources
        if patch.last:
            yield begun.popleft()


def patches(networks: Sequence[ChipNetwork], scenes: Iterable[TileArrays]) -> Iterator[Patch]:
    """The patches of every scene as they are ready, scene by scene and each from top to bottom.

    Batches go on from one scene to the next. Memory is that of a few batches of windows, of a few patches,
    and of what two rows of windows share. Raises as `predict`.
    """
    manifests = [network.manifest for network in networks]
    with lane(networks) as on:
        profiles = torch.from_numpy(profile(manifests[0].chip, manifests[0].sigma)).to(on.device)
        weights = profiles[:, None] * profiles
        jobs = _jobs(on, manifests, scenes, weights)
        waiting: deque[Pending[Patch]] = deque()
        for job, logits in answers(on, networks, weights, jobs):
            sweep: _Sweep = job.sweep
            if job.window is not None:
                sweep.add(job, logits)
                continue
            waiting.append(sweep.finish())
            if len(waiting) > _BEHIND:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def _jobs(
    on: Lane, manifests: Sequence[Manifest], scenes: Iterable[TileArrays], weights: Tensor
) -> Iterator[Job]:
    """Every window with a wanted pixel, in the order of the grid; after each block, a job without window.

    A window comes once for each set of sensors that pixels in its middle have, if pixels to be predicted with
    that set lie anywhere in it.
    """
    chip, stride = manifests[0].chip, manifests[0].stride
    inner = middle(chip, stride)

    def blocks() -> Iterator[tuple[_Sweep, Reader, Block]]:
        for scene in scenes:
            grid = Grid(scene, chip, stride)
            sweep, reader = _Sweep(on, manifests, grid, weights), Reader(on, grid, manifests)
            for block in grid.blocks():
                yield sweep, reader, block

    for sweep, block, strip in prepared(on, blocks()):
        sweep.begin(block, strip)
        if strip is not None:
            for left in block.columns:
                # a window without a pixel to answer could only change what is not answered
                at = left - strip.first
                codes = [code for code, columns in strip.columns.items() if columns[at : at + chip].any()]
                for code in codes:
                    if strip.middles[code][at + inner.start : at + inner.stop].any():
                        yield Job(sweep, Window(block.top, left), strip, code, len(codes) > 1)
        yield Job(sweep)


class _Sweep:
    """Weighted sums of logits over a scene's core, and sums of the weights: those of a block of windows, and
    what the next rows share.

    Blocks are swept row by row. A pixel's windows are added in the order of the grid whatever the blocks.
    """

    def __init__(self, on: Lane, manifests: Sequence[Manifest], grid: Grid, weights: Tensor) -> None:
        self._on, self._manifests, self._grid, self._weights = on, manifests, grid, weights[None]
        #: of each model, by the code of the set
        self._calibration = {
            code: [calibration(manifest, code) for manifest in manifests] for code in validated(manifests)
        }
        #: blocks begun and not finished
        self._begun: deque[tuple[Block, Strip | None]] = deque()
        all_of_them = len(grid.columns) * grid.stride + grid.overlap

        def nothing(rows: int, cols: int) -> list[Tensor]:
            counts = [*(planes(manifest) for manifest in manifests), 1]
            return [torch.zeros(count, rows, cols, device=on.device) for count in counts]

        #: sums under the first block that is not finished, and those a row of windows leaves to the next: of
        #: the logits of each network, then of the weights
        self._sums = nothing(grid.chip, grid.width)
        self._carried = nothing(grid.overlap, all_of_them)

    def begin(self, block: Block, strip: Strip | None) -> None:
        """Begin a block, whose windows follow unless there is no strip."""
        self._begun.append((block, strip))

    def add(self, job: Job, logits: Sequence[Tensor]) -> None:
        """Add a window's weighted logits, (planes, chip, chip) of each model, at the pixels of its set."""
        assert job.window is not None and job.strip is not None
        left = job.window.col - self._begun[0][0].columns[0]
        under = slice(left, left + self._grid.chip)
        ours = job.strip.sets[:, under] == job.code if job.mixed else None
        for total, part in zip(self._sums, (*logits, self._weights), strict=True):
            # of a window with one set, also pixels that are not answered are added: they are never read
            total[:, :, under] += part if ours is None else torch.where(ours, part, 0.0)

    def finish(self) -> Pending[Patch]:
        """Predict the pixels of the first unfinished block that no later window covers."""
        block, strip = self._begun.popleft()
        patch = self._answered(block, strip)
        stride, overlap = self._grid.stride, self._grid.overlap
        final, at = len(block.columns) * stride, block.columns[0] - self._grid.columns[0]
        following = 0 if block.last else at + final
        for total, carried in zip(self._sums, self._carried, strict=True):
            carried[:, :, at : at + final] = total[:, stride:, :final]
            shared = total[:, :, final : final + overlap].clone()
            total.zero_()
            width = min(total.shape[2], carried.shape[2] - following)
            total[:, :overlap, :width] = carried[:, :, following : following + width]
            if not block.last:
                total[:, :, :overlap] = shared
        return patch

    def _answered(self, block: Block, strip: Strip | None) -> Pending[Patch]:
        """The patch of a block: its windows' first `stride` rows and columns, as far as they are core."""
        stride, grid = self._grid.stride, self._grid
        final = len(block.columns) * stride
        rows, cols = grid.within(0, block.top, stride), grid.within(1, block.columns[0], final)
        if strip is None or rows.start == rows.stop or cols.start == cols.stop:
            nothing = _unanswered((rows.stop - rows.start, cols.stop - cols.start))
            return lambda: Patch(rows, cols, nothing, block.ends)
        shape = stride, len(block.columns), stride
        sets = strip.sets[:stride, :final].reshape(shape)
        codes = [code for code, columns in strip.columns.items() if columns[:final].any()]
        cells = [total[:, :stride, :final].clone().view(len(total), *shape) for total in self._sums]
        down, across = (first - start for first, start in zip((block.top, block.columns[0]), grid.corner,
                                                              strict=True))  # fmt: skip
        here = (slice(rows.start - down, rows.stop - down), slice(cols.start - across, cols.stop - across))
        layers = self._on.answer(partial(self._layers, cells, sets, codes, here))

        def patch() -> Patch:
            probability, uncertainty, sources = layers().numpy()
            if np.isinf(probability).any():
                raise SegmenterError(
                    "some of the network's logits are not finite; run it in single precision, or check its "
                    "weights"
                )
            answered = Answer(probability, uncertainty, sources.astype(np.uint8))
            return Patch(rows, cols, answered, block.ends)

        return patch

    def _layers(
        self, cells: Sequence[Tensor], sets: Tensor, codes: Sequence[int], within: tuple[slice, slice]
    ) -> Tensor:
        """(3, rows, cols) probability, uncertainty and set of (planes, stride, n, stride) weighted sums, of
        which the last is that of the weights.

        `sets` (stride, n, stride) are the pixels' sets, and `codes` those among them. `within` are the rows
        and columns of (stride, n stride) to return.

        Pixels without a set are NaN, those with a set and without a finite logit infinite. On a processor,
        which rounds an exponential by where in its array it stands, every cell of the grid is an array of its
        own.
        """
        layers = torch.full((3, *sets.shape), torch.nan, device=sets.device)
        layers[2] = sets
        size = 1 if self._on.by_cells else sets.shape[1]
        for number in range(0, sets.shape[1], size):
            here = (..., slice(number, number + size), slice(None))
            found = [(code, sets[here] == code) for code in codes]
            if self._on.by_cells:
                found = [(code, ours) for code, ours in found if ours.any()]
            if not found:
                continue
            *sums, weight = (part[here] for part in cells)
            logits = [part / weight for part in sums]
            both = layers[:2][here]
            for code, ours in found:
                both[:] = torch.where(ours, answer(self._manifests, self._calibration[code], logits), both)
        return layers.flatten(2)[(slice(None), *within)].contiguous()


def _unanswered(shape: tuple[int, int]) -> Answer:
    """The answer of (rows, cols) without a pixel to answer."""
    probability, uncertainty = (np.full(shape, np.nan, np.float32) for _ in range(2))
    return Answer(probability, uncertainty, np.zeros(shape, np.uint8))
