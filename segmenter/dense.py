"""Dense prediction: every pixel's logit is a weighted mean over all windows of the global grid that cover it.

The result does not depend on the tiling: windows are the same whatever scene computes them (the halo holds
all of each), a pixel's windows are summed in one order, and a window that is left out covers no pixel that
is answered. A scene is swept in blocks of windows, row by row, so that memory hardly grows with it; anything
that can be sliced like an array will do, also one that stays on disk.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmenter.batches import Job, answers
from segmenter.inputs import check
from segmenter.manifest import Manifest
from segmenter.members import answer, planes
from segmenter.protocol import Answer, ChipNetwork, Pixels, TileArrays
from segmenter.windows import Window, profile, starts
from segmenter.windows import halo as halo_of

BLOCK = 2048
"""Width of a block of windows, px."""


def halo(manifest: Manifest) -> int:
    """Pixels a tile must read around its core; see `segmenter.windows.halo`."""
    return halo_of(manifest)


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
    Raises `InputError` naming the argument that does not fit, `SegmenterError` when memory ends.
    """
    return next(predict_all(networks, [scene]))


def predict_all(networks: Sequence[ChipNetwork], scenes: Iterable[TileArrays]) -> Iterator[Answer]:
    """The answer of every scene, in their order. Raises as `predict`."""
    begun: deque[Answer] = deque()

    def noted() -> Iterator[TileArrays]:
        for scene in scenes:
            check(scene.optical, scene.radar, scene.dem, scene.halo, halo_of(networks[0].manifest),
                  scene.wanted)  # fmt: skip
            nothing = (np.full(scene.core, np.nan, np.float32) for _ in range(2))
            begun.append(Answer(*nothing))
            yield scene

    for patch in patches(networks, noted()):
        whole = begun[0]
        whole.probability[patch.rows, patch.cols] = patch.answer.probability
        whole.uncertainty[patch.rows, patch.cols] = patch.answer.uncertainty
        if patch.last:
            yield begun.popleft()


def patches(networks: Sequence[ChipNetwork], scenes: Iterable[TileArrays]) -> Iterator[Patch]:
    """The patches of every scene as they are ready, scene by scene and each from top to bottom.

    Batches go on from one scene to the next. Memory is that of a few batches of windows, of one patch's
    logits, and of what two rows of windows share. Raises as `predict`.
    """
    manifests = [network.manifest for network in networks]
    for job, logits in answers(networks, _jobs(manifests, scenes)):
        sweep: _Sweep = job.sweep
        if job.window is not None:
            sweep.add(job.window, logits)
        else:
            yield sweep.finish()


def _jobs(manifests: Sequence[Manifest], scenes: Iterable[TileArrays]) -> Iterator[Job]:
    """Every window worth computing, in the order of the global grid; after each block of them, its end."""
    chip = manifests[0].chip
    for scene in scenes:
        sweep = _Sweep(manifests, scene)
        for block in sweep.blocks():
            known = sweep.begin(block)
            for left in block.columns:
                # a window without a pixel to answer could only change what is not answered
                start = left - max(block.columns[0], sweep.corner[1])
                if known[:, max(start, 0) : max(start + chip, 0)].any():
                    yield Job(scene, sweep, Window(block.top, left))
            yield Job(scene, sweep, None)


@dataclass(frozen=True)
class _Block:
    """Some neighbouring windows of a row of them, by their global pixels."""

    top: int
    columns: range
    #: of its row, of the scene
    last: bool
    ends: bool


def _known(scene: TileArrays, rows: slice, cols: slice) -> NDArray[np.bool_]:
    """Pixels of this part of the core that are to be answered: valid ones that somebody wants."""
    down, across = (slice(part.start + scene.halo, part.stop + scene.halo) for part in (rows, cols))
    known = np.isfinite(scene.dem[down, across])
    if scene.wanted is not None:
        known &= scene.wanted[rows, cols]
    for modality in (scene.optical, scene.radar):
        for band in range(modality.shape[0]):  # one at a time: a scene on disk is not read whole
            known &= np.isfinite(modality[band, down, across])
    return known


class _Sweep:
    """Weighted sums of logits over a scene's core: those of a block of windows, and what the next rows share.

    Blocks are swept row by row. A pixel's windows are added in the order of the grid whatever the blocks.
    """

    def __init__(self, manifests: Sequence[Manifest], scene: TileArrays) -> None:
        self.scene, self._manifests = scene, manifests
        self._chip, self._stride = manifests[0].chip, manifests[0].stride
        self._overlap = self._chip - self._stride
        self.corner = scene.row + scene.halo, scene.col + scene.halo
        self._tops, self._lefts = (
            starts(first, length, self._chip, self._stride)
            for first, length in zip(self.corner, scene.core, strict=True)
        )
        self._weight = profile(self._chip, manifests[0].sigma)
        #: blocks begun and not finished, each with its pixels to answer
        self._begun: deque[tuple[_Block, NDArray[np.bool_]]] = deque()
        width = min(self._windows, len(self._lefts)) * self._stride + self._overlap
        all_of_them = len(self._lefts) * self._stride + self._overlap
        #: sums under the first block that is not finished, and those a row of windows leaves to the next
        self._sums = [np.zeros((planes(m), self._chip, width), np.float32) for m in manifests]
        self._carried = [np.zeros((planes(m), self._overlap, all_of_them), np.float32) for m in manifests]

    @property
    def _windows(self) -> int:
        """Windows of a block."""
        return max(BLOCK // self._stride, 1)

    def blocks(self) -> Iterator[_Block]:
        """All blocks of the scene, row by row."""
        for top in self._tops:
            for first in range(0, len(self._lefts), self._windows):
                columns = self._lefts[first : first + self._windows]
                last = first + self._windows >= len(self._lefts)
                yield _Block(top, columns, last, last and top == self._tops[-1])

    def begin(self, block: _Block) -> NDArray[np.bool_]:
        """Which pixels of the core under a block are to be answered."""
        known = _known(
            self.scene,
            self._within(0, block.top, self._chip),
            self._within(1, block.columns[0], len(block.columns) * self._stride + self._overlap),
        )
        self._begun.append((block, known))
        return known

    def add(self, window: Window, logits: Sequence[Pixels]) -> None:
        """Add one window's logits, (planes, chip, chip) of each model."""
        left = window.col - self._begun[0][0].columns[0]
        weights = self._weight[:, None] * self._weight
        for total, part in zip(self._sums, logits, strict=True):
            total[:, :, left : left + self._chip] += weights * part

    def finish(self) -> Patch:
        """What no window after the first block that was begun covers, answered."""
        block, known = self._begun.popleft()
        left, final = block.columns[0], len(block.columns) * self._stride
        rows, cols = self._within(0, block.top, self._stride), self._within(1, left, final)
        known = known[: rows.stop - rows.start, : cols.stop - cols.start]
        answered = self._answer(block, rows, cols, known)
        for total, carried in zip(self._sums, self._carried, strict=True):
            at = left - self._lefts[0]
            carried[:, :, at : at + final] = total[:, self._stride :, :final]
            shared = total[:, :, final : final + self._overlap].copy()
            total[:] = 0
            following = 0 if block.last else at + final
            width = min(total.shape[2], carried.shape[2] - following)
            total[:, : self._overlap, :width] = carried[:, :, following : following + width]
            if not block.last:
                total[:, :, : self._overlap] = shared
        return Patch(rows, cols, answered, block.ends)

    def _answer(self, block: _Block, rows: slice, cols: slice, known: NDArray[np.bool_]) -> Answer:
        answered = Answer(*(np.full(known.shape, np.nan, np.float32) for _ in range(2)))
        if known.any():
            top, left = (part.start + first for part, first in zip((rows, cols), self.corner, strict=True))
            weights = np.outer(self._total(top, known.shape[0]), self._total(left, known.shape[1]))[known]
            here = (
                slice(None),
                slice(top - block.top, top - block.top + known.shape[0]),
                slice(left - block.columns[0], left - block.columns[0] + known.shape[1]),
            )
            logits = [total[here][:, known] / weights for total in self._sums]
            answered.probability[known], answered.uncertainty[known] = answer(self._manifests, logits)
        return answered

    def _within(self, axis: int, first: int, length: int) -> slice:
        """The part of the core's rows or columns that lies in `length` global px from `first`."""
        start = max(first - self.corner[axis], 0)
        return slice(start, max(min(first - self.corner[axis] + length, self.scene.core[axis]), start))

    def _total(self, first: int, length: int) -> NDArray[np.float32]:
        """(length,) sum of the weights along one axis of all windows over each global pixel."""
        total = np.zeros(length, np.float32)
        for start in starts(first, length, self._chip, self._stride):
            here = slice(max(start - first, 0), min(start - first + self._chip, length))
            total[here] += self._weight[here.start - start + first : here.stop - start + first]
        return total
