"""Strips of a scene: the standardised pixels under a block of neighbouring windows of one row.

A strip is read, copied to the device and standardised once for all of its windows. The rows that it shares
with the strip above are taken from that strip, so that every row is read once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmenter.inputs import present
from segmenter.lanes import Lane
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Inputs, Manifest
from segmenter.normalise import normalise
from segmenter.protocol import TileArrays
from segmenter.sets import choices, validated
from segmenter.windows import middle, starts

T = TypeVar("T")
BLOCK = 2048
"""Width of a block of windows, px."""
BANDS = len(OPTICAL_BANDS), len(RADAR_BANDS), len(DEM_BANDS)


@dataclass(frozen=True)
class Block:
    """Neighbouring windows of one row, in global pixels."""

    top: int
    columns: range
    last: bool
    """Whether it is the last of its row."""
    ends: bool
    """Whether it is the last of the scene."""


@dataclass(frozen=True, eq=False)
class Strip:
    """The pixels under a block of windows, on the networks' device."""

    first: int
    """Global column of the first pixel."""
    pixels: tuple[Tensor, ...]
    """(15, chip, W) standardised bands, for each network."""
    sets: Tensor
    """(chip, W), uint8, code of the set of sensors with which a pixel is predicted; 0 where it is not: beyond
    the core, not wanted, or without the sensors of a validated set."""
    columns: dict[int, NDArray[np.bool_]]
    """For each of these codes, (W,) whether a column holds any pixel of it."""
    middles: dict[int, NDArray[np.bool_]]
    """Likewise in the middle rows of the windows, and whether or not the pixels are to be predicted."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The windows over the core of a scene."""

    scene: TileArrays
    chip: int
    stride: int

    @property
    def corner(self) -> tuple[int, int]:
        """Global pixel of the core's upper-left corner."""
        return self.scene.row + self.scene.halo, self.scene.col + self.scene.halo

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring windows share."""
        return self.chip - self.stride

    @property
    def columns(self) -> range:
        """Left edges of the windows."""
        return starts(self.corner[1], self.scene.core[1], self.chip, self.stride)

    @property
    def width(self) -> int:
        """Pixels under the widest block."""
        return min(self._windows, len(self.columns)) * self.stride + self.overlap

    @property
    def _windows(self) -> int:
        """Of a block."""
        return max(BLOCK // self.stride, 1)

    def blocks(self) -> Iterator[Block]:
        """All blocks of the scene, row by row."""
        tops, lefts = starts(self.corner[0], self.scene.core[0], self.chip, self.stride), self.columns
        for top in tops:
            for first in range(0, len(lefts), self._windows):
                last = first + self._windows >= len(lefts)
                yield Block(top, lefts[first : first + self._windows], last, last and top == tops[-1])

    def within(self, axis: int, first: int, length: int) -> slice:
        """The part of the core's rows or columns that lies in `length` global px from `first`."""
        start = max(first - self.corner[axis], 0)
        return slice(start, max(min(first - self.corner[axis] + length, self.scene.core[axis]), start))

    def wanted(self, block: Block) -> NDArray[np.bool_]:
        """(chip, W) pixels under a block that lie in the core and are wanted."""
        width = len(block.columns) * self.stride + self.overlap
        rows = self.within(0, block.top, self.chip)
        cols = self.within(1, block.columns[0], width)
        down, across = (first - start for first, start in zip((block.top, block.columns[0]), self.corner,
                                                              strict=True))  # fmt: skip
        found = np.zeros((self.chip, width), bool)
        here = found[rows.start - down : rows.stop - down, cols.start - across : cols.stop - across]
        here[:] = True if self.scene.wanted is None else self.scene.wanted[rows, cols]
        return found


class Reader:
    """Reads the strips of one scene, row by row."""

    def __init__(self, lane: Lane, grid: Grid, manifests: Sequence[Manifest]) -> None:
        self._lane, self._grid = lane, grid
        self._inputs = [manifest.inputs for manifest in manifests]
        self._codes = validated(manifests)
        self._choices = torch.from_numpy(choices(manifests)).to(lane.device)
        #: of the rows that a block shares with the one below it, by first column: sensors of the pixels,
        #: standardised bands by their statistics
        self._kept: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def read(self, block: Block) -> Strip | None:
        """The strip under a block; None where nothing is to be answered."""
        wanted = self._grid.wanted(block)
        above = self._kept.pop(block.columns[0], None)
        if not wanted.any():  # nothing is read
            return None
        with torch.inference_mode(), self._lane.reading():
            has, bands = self._pixels(block, above, wanted.shape[1])
            every = self._choices[has.int()]
            sets = every * torch.from_numpy(wanted).to(self._lane.device)
            rows = middle(self._grid.chip, self._grid.stride)
            columns, middles = (self._columns(codes) for codes in (sets, every[rows]))
            if self._grid.overlap:
                below = (..., slice(self._grid.stride, None), slice(None))
                self._kept[block.columns[0]] = has[below].clone(), [part[below].clone() for part in bands]
            different = self._different()
            pixels = tuple(bands[different.index(inputs)] for inputs in self._inputs)
            self._lane.share([has, sets, *bands])
        return Strip(block.columns[0], pixels, sets, columns, middles)

    def _columns(self, sets: Tensor) -> dict[int, NDArray[np.bool_]]:
        """For each code of a set, whether a column of (rows, W) holds it."""
        held = torch.stack([(sets == code).any(0) for code in self._codes]).cpu().numpy()
        return dict(zip(self._codes, held, strict=True))

    def _different(self) -> list[Inputs]:
        """The networks' inputs, each once."""
        return [inputs for number, inputs in enumerate(self._inputs) if inputs not in self._inputs[:number]]

    def _pixels(
        self, block: Block, above: tuple[Tensor, list[Tensor]] | None, width: int
    ) -> tuple[Tensor, list[Tensor]]:
        """(chip, W) codes of the sensors that the pixels have and, for each of the different inputs,
        (15, chip, W) standardised bands."""
        grid, kept = self._grid, self._grid.overlap if above is not None else 0
        raw = self._raw(block.top + kept, block.columns[0], grid.chip - kept, width)
        has = torch.empty(grid.chip, width, dtype=torch.uint8, device=raw[0].device)
        has[kept:] = _present(raw)
        bands = []
        for number, inputs in enumerate(self._different()):
            part = torch.empty(sum(BANDS), grid.chip, width, device=raw[0].device)
            optical, radar, dem = (modality[None] for modality in raw)
            normalise(optical, radar, dem, inputs, torch.split(part[None, :, kept:], list(BANDS), 1))
            if above is not None:
                part[:, :kept] = above[1][number]
            bands.append(part)
        if above is not None:
            has[:kept] = above[0]
        return has, bands

    def _raw(self, row: int, col: int, rows: int, cols: int) -> list[Tensor]:
        """(12 | 2 | 1, rows, cols) as they are, from this global pixel, on the device."""
        scene = self._grid.scene
        top, left = row - scene.row, col - scene.col
        here = (..., slice(top, top + rows), slice(left, left + cols))
        return self._lane.moved([scene.optical[here], scene.radar[here], scene.dem[here][None]])


def _present(raw: Sequence[Tensor]) -> Tensor:
    """(H, W), uint8, code of the sensors that the pixels of (12 | 2 | 1, H, W) have; see `inputs.present`."""
    if raw[0].device.type == "cpu":
        optical, radar, dem = (modality.numpy() for modality in raw)
        return torch.from_numpy(present(optical, radar, dem[0]))
    bits = [modality.isfinite().all(0).to(torch.uint8) << bit for bit, modality in enumerate(raw)]
    return bits[0] | bits[1] | bits[2]


def prepared(
    lane: Lane, blocks: Iterable[tuple[T, Reader, Block]]
) -> Iterator[tuple[T, Block, Strip | None]]:
    """Every block with its strip; the next strip is read while the caller uses one."""
    with ThreadPoolExecutor(1, "strips", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[tuple[T, Block, Future[Strip | None]]] = deque()

        def first() -> tuple[T, Block, Strip | None]:
            of, block, strip = coming.popleft()
            return of, block, strip.result()

        try:
            for of, reader, block in blocks:
                coming.append((of, block, pool.submit(reader.read, block)))
                if len(coming) > 1:
                    yield first()
            while coming:
                yield first()
        finally:
            for _, _, strip in coming:
                strip.cancel()
