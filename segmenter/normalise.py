"""How inputs are scaled for the network: one place, for training and for prediction."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from segmenter.inputs import valid
from segmenter.manifest import Elevation, Inputs, Modality

__all__ = ["normalise", "relief", "valid"]

PIXEL_M = 10.0
"""Edge of a pixel, m."""


def normalise(
    optical: Tensor, radar: Tensor, dem: Tensor, inputs: Inputs, out: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Clip and standardise chips with the statistics of a manifest.

    Args:
        optical: (B, 12, H, W) reflectance x 10000, NaN where there is none.
        radar: (B, 2, H, W) backscatter in dB, NaN where there is none.
        dem: (B, 1, H, W) metres above EGM2008, NaN where there is none.
        inputs: bands, clips, means and standard deviations.
        out: three tensors of these shapes, float32, to write to and return.

    Returns tensors of the same shapes, float32, without unit. A value that is not finite becomes 0, the
    mean of its band, so that it says nothing and spreads nothing; what else is known at its pixel stays.
    """
    targets = out or (None, None, None)
    return (
        _standardise(optical, inputs.S2L2A, targets[0]),
        _standardise(radar, inputs.S1, targets[1]),
        _standardise(dem, inputs.DEM, targets[2]),
    )


def relief(dem: Tensor, elevation: Elevation) -> Tensor:
    """What the network takes (B, 1, H, W), float32, of standardised elevations of whole windows.

    Steepness, if the manifest has statistics of it: the square root of the tangent of the slope, after Horn
    (1981), standardised; else the elevations. Windows are extended by their outermost pixels. Only sums,
    products and square roots are used, which are rounded alike wherever in an array a pixel lies.
    """
    if (steepness := elevation.steepness) is None:
        return dem
    padded = functional.pad(dem, (1, 1, 1, 1), mode="replicate")
    across = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    down = padded[..., :, :-2] + 2 * padded[..., :, 1:-1] + padded[..., :, 2:]
    east, south = across[..., 2:] - across[..., :-2], down[..., 2:, :] - down[..., :-2, :]
    tangent = (east * east + south * south).sqrt() * (elevation.std[0] / (8 * PIXEL_M))
    return (tangent.sqrt() - steepness.mean) / steepness.std


def _standardise(values: Tensor, modality: Modality, out: Tensor | None) -> Tensor:
    mean, std = (_per_band(numbers, values.device) for numbers in (modality.mean, modality.std))
    scaled = torch.sub(values.float(), mean, out=out).div_(std).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    if modality.clip is None:
        return scaled
    # Clipped last, with the clip scaled likewise: before, an infinity would pass for the clip's end.
    low, high = ((_per_band((end,) * len(mean), values.device) - mean) / std for end in modality.clip)
    return scaled.clamp_(low, high)


@cache
def _per_band(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """(bands, 1, 1), float32. Kept: a copy to a GPU would wait for all that is queued there."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.float32, device=device).view(-1, 1, 1)
