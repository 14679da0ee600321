"""The network: a TerraMind encoder, a learned pyramid, an UperNet head, one logit a pixel."""

import os
from typing import cast

from torch import Tensor, nn

from segmenter.manifest import Architecture, S1Kind
from segmenter.vision_ops import name_missing_vision_ops

S1_MODALITY: dict[S1Kind, str] = {"rtc": "S1RTC", "grd": "S1GRD"}
"""TerraMind embeds the two kinds of backscatter with different weights, under these names."""


def build_network(architecture: Architecture, s1_kind: S1Kind) -> nn.Module:
    """A network with fresh weights. Importing terratorch takes some seconds the first time.

    Its forward takes a dict of normalised chips, S2L2A (B, 12, H, W), S1RTC or S1GRD (B, 2, H, W) and
    DEM (B, 1, H, W), and answers terratorch's ModelOutput; `logits` makes the call and unwraps the answer.
    """
    name_missing_vision_ops()
    # a library beneath terratorch asks its makers for news when it is imported; nobody here wants that
    os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")
    from terratorch.models import EncoderDecoderFactory

    # Later releases drop the option, so it is named only where a model needs it.
    scale_modules = {"decoder_scale_modules": True} if architecture.decoder_scale_modules else {}
    network = EncoderDecoderFactory().build_model(
        task="segmentation",
        backbone=architecture.backbone,
        backbone_pretrained=False,
        backbone_modalities=["S2L2A", S1_MODALITY[s1_kind], "DEM"],
        necks=[
            {"name": "SelectIndices", "indices": list(architecture.indices)},
            {"name": "ReshapeTokensToImage", "remove_cls_token": False},
            {"name": "LearnedInterpolateToPyramidal"},
        ],
        decoder=architecture.decoder,
        decoder_channels=architecture.decoder_channels,
        num_classes=1,
        **scale_modules,
    )
    return cast(nn.Module, network)


def logits(network: nn.Module, s1_kind: S1Kind, optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
    """(B, H, W) logits of normalised chips (B, 12, H, W), (B, 2, H, W), (B, 1, H, W); gradients flow."""
    answer = network({"S2L2A": optical, S1_MODALITY[s1_kind]: radar, "DEM": dem})
    return cast(Tensor, answer.output)
