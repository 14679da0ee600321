"""Protocols of the segmenter: of whole tiles (`Segmenter`) and of batches of chips (`ChipNetwork`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import Manifest

if TYPE_CHECKING:  # importing this module must not import torch
    from torch import Tensor, device

Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileArrays:
    """Arrays of a tile and their position. Any objects that are sliced like arrays are accepted."""

    optical: Pixels
    """(12, H, W) reflectance x 10000, NaN where there is no clear view. A pixel has a sensor where all of its
    bands are finite."""
    radar: Pixels
    """(2, H, W) backscatter in dB of the manifest's kind, NaN where there is none."""
    dem: Pixels
    """(H, W) metres above EGM2008, NaN where there is none."""
    row: int
    """Global pixel of the upper-left corner, the halo included."""
    col: int
    halo: int
    """Pixels on every side that are read but not predicted; at least `segmenter.windows.halo(manifest)`."""
    wanted: NDArray[np.bool_] | None = None
    """(H - 2 halo, W - 2 halo) mask of the pixels to predict; None: all."""

    @property
    def core(self) -> tuple[int, int]:
        """Number of predicted rows and columns."""
        rows, cols = self.dem.shape
        return rows - 2 * self.halo, cols - 2 * self.halo


@dataclass(frozen=True, eq=False)
class Answer:
    """Prediction for the core of a tile, arrays (H - 2 halo, W - 2 halo)."""

    probability: Pixels
    """Probability of water, 0 to 1; NaN where `wanted` is False, and where a pixel does not have the sensors
    of any set for which the model was validated."""
    uncertainty: Pixels
    """Standard deviation of the probability; NaN where the probability is NaN."""
    sources: NDArray[np.uint8]
    """Code of the set of sensors with which the pixel was predicted (`segmenter.manifest.SENSORS`); 0 where
    the probability is NaN."""


class Predicts(Protocol):
    """Base of segmenters. A derived class implements `predict_all` and inherits `predict`."""

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """Predict scenes, in their order. On a GPU, batches extend across scenes."""
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
        """Predict the core of one scene; the arguments are the fields of `TileArrays`."""
        return next(self.predict_all([TileArrays(optical, radar, dem, row, col, halo, wanted)]))


class Segmenter(Predicts, Protocol):
    """Predicts the probability of water for every pixel of a tile. The survey uses models only through it."""

    @property
    def manifest(self) -> Manifest: ...


class ChipNetwork(Protocol):
    """Computes logits of a batch of chips. Dense prediction uses networks only through it."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def device(self) -> device: ...

    @property
    def batch(self) -> int:
        """Number of chips per forward pass."""
        ...

    def logits(self, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None) -> Tensor:
        """Logits (B, 1 + passes, H, W), float32, of normalised chips (B, 12 | 2 | 1, H, W) on `device`.

        A sensor that is None is absent. The first plane is without dropout; the others are those of the
        passes with dropout.
        """
        ...
