"""How inputs are scaled for the network: one place, for training and for prediction."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from segmenter.inputs import valid
from segmenter.manifest import Inputs, Modality

__all__ = ["normalise", "valid"]


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
