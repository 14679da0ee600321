"""Dense prediction: every pixel's logit is a weighted mean over all windows of the global grid that cover it.

The result does not depend on the tiling: windows are the same whatever scene computes them (the halo holds
all of each), a pixel's windows are summed in one order, and a window that is left out covers no pixel that
is answered. A scene is swept from top to bottom in strips of one stride, so that memory does not grow with
its height; anything that can be sliced like an array will do, also one that stays on disk.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segmenter.batches import Job, answers
from segmenter.inputs import check, valid
from segmenter.manifest import Manifest
from segmenter.members import answer, planes
from segmenter.protocol import Answer, ChipNetwork, Pixels, Scene
from segmenter.windows import Window, profile, starts
from segmenter.windows import halo as halo_of


def halo(manifest: Manifest) -> int:
    """Pixels a tile must read around its core; see `segmenter.windows.halo`."""
    return halo_of(manifest)


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of a scene's core with their answer."""

    rows: slice
    answer: Answer


def predict(networks: Sequence[ChipNetwork], scene: Scene) -> Answer:
    """The answer for the whole core of a scene; one of several networks is the mean of their logits.

    A scene smaller than a window works like any other, once padded by the halo with NaN.
    Raises `InputError` naming the argument that does not fit, `SegmenterError` when memory ends.
    """
    return next(predict_all(networks, [scene]))


def predict_all(networks: Sequence[ChipNetwork], scenes: Iterable[Scene]) -> Iterator[Answer]:
    """The answer of every scene, in their order. Raises as `predict`."""
    begun: deque[tuple[Scene, Answer]] = deque()

    def noted() -> Iterator[Scene]:
        for scene in scenes:
            check(scene.optical, scene.radar, scene.dem, scene.halo, halo_of(networks[0].manifest),
                  scene.wanted)  # fmt: skip
            nothing = (np.full(scene.core, np.nan, np.float32) for _ in range(2))
            begun.append((scene, Answer(*nothing)))
            yield scene

    for strip in strips(networks, noted()):
        scene, whole = begun[0]
        whole.probability[strip.rows] = strip.answer.probability
        whole.uncertainty[strip.rows] = strip.answer.uncertainty
        if strip.rows.stop == scene.core[0]:
            yield begun.popleft()[1]


def strips(networks: Sequence[ChipNetwork], scenes: Iterable[Scene]) -> Iterator[Strip]:
    """The strips of every scene, scene by scene and each from top to bottom, as they are ready.

    Batches go on from one scene to the next. Memory is that of a few batches of windows, and of `chip` rows
    of logits. Raises as `predict`.
    """
    manifests = [network.manifest for network in networks]
    for job, logits in answers(networks, _jobs(manifests, scenes)):
        sweep: _Sweep = job.sweep
        if job.window is not None:
            sweep.add(job.window, logits)
        else:
            yield sweep.finish()


def _jobs(manifests: Sequence[Manifest], scenes: Iterable[Scene]) -> Iterator[Job]:
    """Every window worth computing, in the order of the global grid; after each row of them, its end."""
    chip, stride = manifests[0].chip, manifests[0].stride
    for scene in scenes:
        sweep = _Sweep(manifests, scene)
        row, col = sweep.corner
        columns = starts(col, scene.core[1], chip, stride)
        for top in starts(row, scene.core[0], chip, stride):
            known = sweep.begin(top)
            for left in columns:
                # a window without a pixel to answer could only change what is not answered
                if known[:, max(left - col, 0) : left - col + chip].any():
                    yield Job(scene, sweep, Window(top, left))
            yield Job(scene, sweep, None)


def _known(scene: Scene, rows: slice) -> NDArray[np.bool_]:
    """Pixels of these rows of the core that are to be answered: valid ones that somebody wants."""
    inside = slice(rows.start + scene.halo, rows.stop + scene.halo)
    here = (..., inside, slice(scene.halo, scene.halo + scene.core[1]))
    known = valid(scene.optical[here], scene.radar[here], scene.dem[here])
    return known if scene.wanted is None else known & scene.wanted[rows]


@dataclass(eq=False)
class _Sweep:
    """Weighted sums of logits over a scene's core, of the rows that its current windows cover."""

    manifests: Sequence[Manifest]
    scene: Scene
    #: rows of windows begun and not finished: first row (global), and which pixels of the core to answer
    begun: list[tuple[int, NDArray[np.bool_]]] = field(default_factory=list)
    sums: list[Pixels] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chip, self.stride = self.manifests[0].chip, self.manifests[0].stride
        self.sums = [
            np.zeros((planes(manifest), self.chip, self.scene.core[1]), np.float32)
            for manifest in self.manifests
        ]

    @cached_property
    def corner(self) -> tuple[int, int]:
        """Global pixel of the core's upper-left corner."""
        return self.scene.row + self.scene.halo, self.scene.col + self.scene.halo

    @cached_property
    def weight(self) -> NDArray[np.float32]:
        """(chip,) a window's Gaussian weight along one axis; that of a pixel is the product of two."""
        return profile(self.chip, self.manifests[0].sigma)

    @cached_property
    def columns(self) -> NDArray[np.float32]:
        """(W,) sum along a row of the weights of all windows over each column of the core."""
        return self._total(self.corner[1], self.scene.core[1])

    def begin(self, top: int) -> NDArray[np.bool_]:
        """A row of windows that starts at global row `top`; which pixels under it to answer, (rows, W)."""
        first, last = max(top - self.corner[0], 0), min(top - self.corner[0] + self.chip, self.scene.core[0])
        known = _known(self.scene, slice(first, last))
        self.begun.append((top, known))
        return known

    def add(self, window: Window, logits: Sequence[Pixels]) -> None:
        """Add one window's logits, (planes, chip, chip) of each model."""
        left = window.col - self.corner[1]
        here = slice(max(left, 0), min(left + self.chip, self.scene.core[1]))
        there = slice(here.start - left, here.stop - left)
        weights = self.weight[:, None] * self.weight[there]
        for total, part in zip(self.sums, logits, strict=True):
            total[:, :, here] += weights * part[:, :, there]

    def finish(self) -> Strip:
        """The rows that no window to come covers, answered."""
        top, known = self.begun.pop(0)
        offset = top - self.corner[0]
        first = max(offset, 0)
        rows = slice(first, max(min(offset + self.stride, self.scene.core[0]), first))
        taken = slice(rows.start - offset, rows.stop - offset)
        strip = Strip(rows, self._answer(taken, top, known[: rows.stop - rows.start]))
        overlap = self.chip - self.stride
        for total in self.sums:  # the next row of windows starts one stride further down
            total[:, :overlap] = total[:, self.stride :]
            total[:, overlap:] = 0
        return strip

    def _answer(self, taken: slice, top: int, known: NDArray[np.bool_]) -> Answer:
        answered = Answer(*(np.full(known.shape, np.nan, np.float32) for _ in range(2)))
        if known.any():
            weights = self._total(top + taken.start, len(known))[:, None] * self.columns
            logits = [total[:, taken][:, known] / weights[known] for total in self.sums]
            answered.probability[known], answered.uncertainty[known] = answer(self.manifests, logits)
        return answered

    def _total(self, first: int, length: int) -> NDArray[np.float32]:
        """(length,) sum of the weights along one axis of all windows over each global pixel."""
        total = np.zeros(length, np.float32)
        for start in starts(first, length, self.chip, self.stride):
            here = slice(max(start - first, 0), min(start - first + self.chip, length))
            total[here] += self.weight[here.start - start + first : here.stop - start + first]
        return total
