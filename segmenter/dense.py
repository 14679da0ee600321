"""Dense prediction: every pixel's logit is a weighted mean over all windows of the global grid that cover it.

The result does not depend on the tiling: windows are the same whatever tile computes them (the halo holds
all of each), a pixel's windows are summed in one order, and a window that is left out covers no pixel that
is answered. Memory is that of one batch of windows and a few planes of the core.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmenter.errors import InputError
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS, Manifest
from segmenter.normalise import normalise, valid
from segmenter.protocol import ChipNetwork, Pixels
from segmenter.windows import Window, gaussian, windows
from segmenter.windows import halo as halo_of

DEFAULT_BATCH = 8
_OPTICAL, _RADAR, _DEM = len(OPTICAL_BANDS), len(RADAR_BANDS), len(DEM_BANDS)


def halo(manifest: Manifest) -> int:
    """Pixels a tile must read around its core; see `segmenter.windows.halo`."""
    return halo_of(manifest)


def predict(
    model: ChipNetwork,
    optical: Pixels,
    radar: Pixels,
    dem: Pixels,
    *,
    row: int,
    col: int,
    halo: int,
    batch: int = DEFAULT_BATCH,
) -> Pixels:
    """Probability of water in the core of the arrays, (H - 2 halo, W - 2 halo), NaN where not valid.

    Arguments as in `segmenter.protocol.Segmenter.predict`; `batch` is the number of windows a forward pass.
    A scene smaller than a window works like any other, once padded by the halo with NaN.
    Raises `InputError` naming the argument that does not fit.
    """
    manifest = model.manifest
    if batch < 1:
        raise InputError(f"batch: must be at least 1, got {batch}")
    tile = _Tile(optical, radar, dem, row, col)
    tile.check(halo, halo_of(manifest))
    blend = _Blend(manifest, row + halo, col + halo, tile.known(halo))
    with torch.inference_mode():
        for group in _groups(blend.needed(), batch):
            chips = tile.chips(group, manifest.chip, model.device)
            logits = model.logits(*normalise(*chips, manifest.inputs))
            for window, logit in zip(group, logits.float().cpu().numpy(), strict=True):
                blend.add(window, logit)
    return blend.probability()


@dataclass(frozen=True, eq=False)
class _Tile:
    """The arrays of a tile, halo included; (row, col) is the global pixel of their upper-left corner."""

    optical: Pixels
    radar: Pixels
    dem: Pixels
    row: int
    col: int

    def check(self, halo: int, needed: int) -> None:
        shape = self.dem.shape
        if len(shape) != 2:
            raise InputError(f"dem: must be (H, W), got shape {shape}")
        for name, array, bands in (
            ("optical", self.optical, OPTICAL_BANDS),
            ("radar", self.radar, RADAR_BANDS),
        ):
            if array.shape != (len(bands), *shape):
                raise InputError(
                    f"{name}: must be {(len(bands), *shape)} ({' '.join(bands)}; rows and columns of dem), "
                    f"got shape {array.shape}"
                )
        if halo < needed:
            raise InputError(f"halo: is {halo} px, the model's windows need {needed}; read a wider margin")
        if min(shape) <= 2 * halo:
            raise InputError(
                f"halo: {halo} px on every side leave no core in {shape}; pad the scene with NaN"
            )

    def known(self, halo: int) -> NDArray[np.bool_]:
        """Valid pixels of the core."""
        core = (..., slice(halo, self.dem.shape[0] - halo), slice(halo, self.dem.shape[1] - halo))
        return valid(self.optical[core], self.radar[core], self.dem[core])

    def chips(self, group: list[Window], chip: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The windows of a group copied out of the arrays, one tensor (B, bands, chip, chip) a modality."""
        chips = torch.empty(len(group), _OPTICAL + _RADAR + _DEM, chip, chip)
        target = chips.numpy()
        for index, window in enumerate(group):
            top, left = window.row - self.row, window.col - self.col
            here = (..., slice(top, top + chip), slice(left, left + chip))
            target[index, :_OPTICAL] = self.optical[here]
            target[index, _OPTICAL:-_DEM] = self.radar[here]
            target[index, -_DEM:] = self.dem[here]
        chips = chips.to(device)
        return chips[:, :_OPTICAL], chips[:, _OPTICAL:-_DEM], chips[:, -_DEM:]


class _Blend:
    """Weighted sums over windows for the core at (row, col), global px; `known` are its valid pixels."""

    def __init__(self, manifest: Manifest, row: int, col: int, known: NDArray[np.bool_]) -> None:
        self._row, self._col, self._known = row, col, known
        self._chip, self._stride = manifest.chip, manifest.stride
        self._temperature = np.float32(manifest.temperature)
        self._weights = gaussian(manifest.chip, manifest.sigma)
        self._sum = np.zeros(known.shape, np.float32)
        self._weight = np.zeros(known.shape, np.float32)

    def needed(self) -> Iterator[Window]:
        """Windows that cover a valid pixel of the core. The others could only change what is not answered."""
        rows, cols = self._known.shape
        for window in windows(self._row, self._col, (rows, cols), self._chip, self._stride):
            if self._known[self._overlap(window)[0]].any():
                yield window

    def add(self, window: Window, logit: NDArray[np.float32]) -> None:
        """Add one window's logits, (chip, chip), to the pixels of the core it covers."""
        here, there = self._overlap(window)
        weights = self._weights[there]
        self._sum[here] += weights * logit[there]
        self._weight[here] += weights

    def probability(self) -> Pixels:
        """Sigmoid of the weighted mean over the temperature; NaN where nothing is known."""
        answer = np.full(self._known.shape, np.nan, np.float32)
        logit = self._sum[self._known] / self._weight[self._known] / self._temperature
        answer[self._known] = torch.from_numpy(logit).sigmoid_().numpy()
        return answer

    def _overlap(self, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of the core a window covers: as slices of the core, and of the window."""
        top, left = window.row - self._row, window.col - self._col
        rows = slice(max(top, 0), min(top + self._chip, self._known.shape[0]))
        cols = slice(max(left, 0), min(left + self._chip, self._known.shape[1]))
        inside = (slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left))
        return (rows, cols), inside


def _groups(needed: Iterable[Window], size: int) -> Iterator[list[Window]]:
    stream = iter(needed)
    while group := list(islice(stream, size)):
        yield group
