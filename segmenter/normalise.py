"""How inputs are scaled for the network: one place, for training and for prediction."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segmenter.inputs import valid
from segmenter.manifest import Inputs, Modality

__all__ = ["normalise", "valid"]


def normalise(optical: Tensor, radar: Tensor, dem: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Clip and standardise chips with the statistics of a manifest.

    Args:
        optical: (B, 12, H, W) reflectance x 10000, NaN where there is none.
        radar: (B, 2, H, W) backscatter in dB, NaN where there is none.
        dem: (B, 1, H, W) metres above EGM2008, NaN where there is none.
        inputs: bands, clips, means and standard deviations.

    Returns new tensors of the same shapes, float32, without unit. A value that is not finite becomes 0, the
    mean of its band, so that it says nothing and spreads nothing; what else is known at its pixel stays.
    """
    return (
        _standardise(optical, inputs.S2L2A),
        _standardise(radar, inputs.S1),
        _standardise(dem, inputs.DEM),
    )


def _standardise(values: Tensor, modality: Modality) -> Tensor:
    mean, std = (_a_band(numbers, values) for numbers in (modality.mean, modality.std))
    scaled = values.float().sub(mean).div_(std).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    if modality.clip is None:
        return scaled
    # Clipped last, with the clip scaled likewise: before, an infinity would pass for the clip's end.
    low, high = (_a_band([end] * len(modality.bands), values).sub_(mean).div_(std) for end in modality.clip)
    return scaled.clamp_(low, high)


def _a_band(numbers: Sequence[float], like: Tensor) -> Tensor:
    """(bands, 1, 1), float32, on the device of `like`."""
    return torch.tensor(numbers, dtype=torch.float32, device=like.device).view(-1, 1, 1)
