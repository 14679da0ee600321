"""The two seams of the segmenter: what the path calls, and what dense prediction calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import Manifest

if TYPE_CHECKING:  # a caller that only names the seam need not wait for torch
    from torch import Tensor, device

Pixels = NDArray[np.float32]


class Segmenter(Protocol):
    """Gives the probability of water for every pixel of a tile. All the path knows about a model."""

    @property
    def manifest(self) -> Manifest: ...

    def predict(
        self, optical: Pixels, radar: Pixels, dem: Pixels, *, row: int, col: int, halo: int
    ) -> Pixels:
        """Probability of water, (H - 2 halo, W - 2 halo), NaN where the input is not valid.

        Args:
            optical: (12, H, W) reflectance x 10000, NaN where there is no clear view.
            radar: (2, H, W) backscatter in dB of the manifest's kind, NaN where there is none.
            dem: (H, W) metres above EGM2008, NaN where there is none.
            row, col: global pixel of the arrays' upper-left corner, the halo included.
            halo: pixels on every side that are read but not answered; at least `windows.halo(manifest)`.
        """
        ...


class ChipNetwork(Protocol):
    """Gives logits for a batch of chips. All that dense prediction knows about a network."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def device(self) -> device: ...

    def logits(self, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        """(B, H, W) logits of normalised chips (B, 12 | 2 | 1, H, W); all of them on `device`."""
        ...
