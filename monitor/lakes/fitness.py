"""Fitness of a model for the ground of a season: whether its water is that of the water index.

The index (`monitor.stack.index`) is wrong where snow, shadow, wind or silt mislead it, and has classes for
these cases. Elsewhere a model that was trained on other ground can miss nearly all water, or map water
everywhere, and its season looks like one without lakes. The two maps are compared in blocks of the global
grid: the result does not depend on the tiles, and neither shores nor single pixels matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.compute.layers import TileLayers
from monitor.grid import PIXEL
from monitor.lakes.suspect import Suspicion
from storage.codes import NO_ANSWER, Index, Reason

NOT_FIT = "model not fit for this ground"
#: edge of a block, px; tiles are whole numbers of them
BLOCK = 4
#: share of a block's pixels from which it is compared, and is water; it is dry up to the rest
MOST = 0.75
#: intersection over union of both maps below which the model does not fit the ground: more water is disputed
#: than agreed. With the index the true lakes of 18 simulated dates have 0.79 to 1.00.
LEAST_IOU = 0.5
#: hectares that must be water to one of the maps, and their share of the compared ground: without lakes, the
#: false water of the index must not be an alarm. It was up to 0.1 % of the ground on 17 of these dates.
LEAST_HA, LEAST_SHARE = 10.0, 1e-3
_HECTARES = (BLOCK * PIXEL) ** 2 / 1e4


@dataclass(frozen=True)
class Agreement:
    """Numbers of compared blocks: all of them, and those that are water to model or index."""

    compared: int = 0
    both: int = 0
    model_only: int = 0
    index_only: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.compared + other.compared,
            self.both + other.both,
            self.model_only + other.model_only,
            self.index_only + other.index_only,
        )

    @property
    def water(self) -> int:
        """Blocks that are water to at least one of the maps."""
        return self.both + self.model_only + self.index_only

    @property
    def iou(self) -> float | None:
        """Intersection over union of the water of both maps; None without water."""
        return self.both / self.water if self.water else None

    @property
    def enough(self) -> bool:
        """Whether there is enough water to judge the model."""
        return self.water * _HECTARES >= LEAST_HA and self.water >= LEAST_SHARE * self.compared

    @property
    def fits(self) -> bool:
        """Whether the maps agree, or there is not enough water to tell."""
        return not self.enough or self.both >= LEAST_IOU * self.water

    @property
    def words(self) -> str:
        """The areas on which the maps agree and differ."""
        both, model, index, ground = (
            f"{blocks * _HECTARES:,.0f} ha"
            for blocks in (self.both, self.model_only, self.index_only, self.compared)
        )
        return (
            f"of {ground} of clear ground, {both} are water to model and index, {model} to the model only, "
            f"{index} to the index only"
        )


def agreement(layers: TileLayers) -> Agreement:
    """Agreement of the model's mask and the index in a tile.

    A block is compared if at least three quarters of its pixels have an answer of the model, and are water or
    dry to the index, which has no class without optical bands. It is water to a map if three quarters of
    these pixels are, and dry if at most a quarter is. Blocks between, on shores, are not compared.
    """
    mask, index = layers["mask"], layers["index"]
    judged = (mask != NO_ANSWER) & (layers["reason"] != Reason.OUTSIDE)
    judged &= (index == Index.WATER) | (index == Index.DRY)
    pixels = _per_block(judged)
    model, other = (_per_block(judged & wet) for wet in (mask == 1, index == Index.WATER))
    clear = pixels >= MOST * BLOCK**2
    for wet in (model, other):
        clear &= (wet >= MOST * pixels) | (wet <= (1 - MOST) * pixels)
    in_model, in_index = (clear & (wet >= MOST * pixels) for wet in (model, other))
    return Agreement(
        int(clear.sum()),
        int((in_model & in_index).sum()),
        int((in_model & ~in_index).sum()),
        int((in_index & ~in_model).sum()),
    )


def _per_block(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of true pixels per whole block, (H / BLOCK, W / BLOCK)."""
    rows, cols = (size // BLOCK for size in flags.shape)
    blocks = flags[: rows * BLOCK, : cols * BLOCK].reshape(rows, BLOCK, cols, BLOCK)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.int64))


def misfit(found: Agreement) -> Suspicion | None:
    """Suspicion against a season whose model does not fit the ground, with the disputed area; else None."""
    if found.fits:
        return None
    return Suspicion(f"{NOT_FIT}: {found.words}", (found.water - found.both) * _HECTARES * 1e4)
