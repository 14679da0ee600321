"""The two seams of the segmenter: what the path calls, and what dense prediction calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import Manifest

if TYPE_CHECKING:  # a caller that only names the seam need not wait for torch
    from torch import Tensor, device

Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileArrays:
    """A tile's arrays and where they lie. Anything that is sliced like an array will do for them."""

    optical: Pixels
    """(12, H, W) reflectance x 10000, NaN where there is no clear view."""
    radar: Pixels
    """(2, H, W) backscatter in dB of the manifest's kind, NaN where there is none."""
    dem: Pixels
    """(H, W) metres above EGM2008, NaN where there is none."""
    row: int
    """Global pixel of the upper-left corner, the halo included."""
    col: int
    halo: int
    """Pixels on every side that are read but not answered; at least `segmenter.windows.halo(manifest)`."""
    wanted: NDArray[np.bool_] | None = None
    """(H - 2 halo, W - 2 halo) pixels to answer, all without it; the others cost nothing."""

    @property
    def core(self) -> tuple[int, int]:
        """Rows and columns that are answered."""
        rows, cols = self.dem.shape
        return rows - 2 * self.halo, cols - 2 * self.halo


@dataclass(frozen=True, eq=False)
class Answer:
    """What a segmenter says of the core of a tile, (H - 2 halo, W - 2 halo) each."""

    probability: Pixels
    """Of water, 0 to 1; NaN where the input is not valid, or where nobody asked."""
    uncertainty: Pixels
    """Standard deviation of that probability; NaN where the probability is."""


class Predicts(Protocol):
    """What answers scenes. A class that derives from it brings `predict_all` and has `predict`."""

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """The answer of every scene, in their order; on a GPU batches go on from one to the next."""
        ...

    def predict(
        self,
        optical: Pixels,
        radar: Pixels,
        dem: Pixels,
        *,
        row: int,
        col: int,
        halo: int,
        wanted: NDArray[np.bool_] | None = None,
    ) -> Answer:
        """The answer for the core of one scene; the arguments are the fields of `TileArrays`."""
        return next(self.predict_all([TileArrays(optical, radar, dem, row, col, halo, wanted)]))


class Segmenter(Predicts, Protocol):
    """Says for every pixel of a tile how likely it is water. All the path knows about a model."""

    @property
    def manifest(self) -> Manifest: ...


class ChipNetwork(Protocol):
    """Gives logits for a batch of chips. All that dense prediction knows about a network."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def device(self) -> device: ...

    @property
    def batch(self) -> int:
        """Chips of a forward pass."""
        ...

    def logits(self, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        """(B, 1 + passes, H, W) float32 logits of normalised chips (B, 12 | 2 | 1, H, W) on `device`.

        The first plane is the network's; the others are those of its passes with dropout.
        """
        ...
