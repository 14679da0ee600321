"""The network: a TerraMind encoder, a learned pyramid, an UperNet head, one logit a pixel."""

import os
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from segmenter.errors import ManifestError
from segmenter.manifest import Architecture, Manifest, S1Kind
from segmenter.members import widen
from segmenter.sensors import ALL, SENSORS, ModalityName, sensors_of
from segmenter.vision_ops import name_missing_vision_ops

S1_MODALITY: dict[S1Kind, str] = {"rtc": "S1RTC", "grd": "S1GRD"}
"""TerraMind embeds the two kinds of backscatter with different weights, under these names."""


def build_network(architecture: Architecture, s1_kind: S1Kind) -> nn.Module:
    """A network with fresh weights. Importing terratorch takes some seconds the first time.

    Its forward takes a dict of normalised chips, S2L2A (B, 12, H, W), S1RTC or S1GRD (B, 2, H, W) and
    DEM (B, 1, H, W), and answers terratorch's ModelOutput; `logits` makes the call and unwraps the answer.
    What the architecture does not take of them is let fall.

    Raises `ManifestError` where terratorch cannot build the architecture.
    """
    network = build_terratorch(**_arguments(architecture, s1_kind))
    last_convolution(network)
    names = _terratorch_names(architecture.modalities, s1_kind)
    if architecture.modalities != ("S2L2A", "S1", "DEM"):
        network.register_forward_pre_hook(partial(_only, names))
    return network


def build_terratorch(**arguments: Any) -> nn.Module:
    """What terratorch's factory makes of a segmentation task's `arguments`, with fresh weights."""
    name_missing_vision_ops()
    # terratorch imports a library that checks for updates of itself when it is imported; that is prevented
    os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")
    precision = torch.get_float32_matmul_precision()
    from terratorch.models import EncoderDecoderFactory

    # one of its backbones lowers it for the whole process, whose answers would no longer be every worker's
    torch.set_float32_matmul_precision(precision)
    try:
        with warnings.catch_warnings():
            # of decoder_scale_modules, which the published weights need
            warnings.filterwarnings("ignore", "DeprecationWarning: scale_modules")
            network = EncoderDecoderFactory().build_model(
                task="segmentation", backbone_pretrained=False, **arguments
            )
    except Exception as error:  # terratorch raises whatever its parts do, plain Exception among it
        raise ManifestError(f"architecture: terratorch cannot build it: {error}") from error
    return cast(nn.Module, network)


def last_convolution(network: nn.Module) -> nn.Conv2d:
    """The 1x1 convolution that makes logits of the head's channels; `ManifestError` where there is none."""
    layers = list(network.head.modules())  # type: ignore[union-attr]
    last = layers[-1]
    if not isinstance(last, nn.Conv2d) or last.kernel_size != (1, 1):
        raise ManifestError(
            "architecture.decoder: brings a head of its own; this program needs terratorch's segmentation "
            "head, whose last convolution is 1x1"
        )
    return last


def _arguments(architecture: Architecture, s1_kind: S1Kind) -> dict[str, Any]:
    """What terratorch's factory is asked for. What is its default goes unnamed: later releases drop some."""
    necks = architecture.necks or (
        {"name": "SelectIndices", "indices": list(architecture.indices or ())},
        {"name": "ReshapeTokensToImage", "remove_cls_token": False},
        {"name": "LearnedInterpolateToPyramidal"},
    )
    asked: dict[str, Any] = {
        "backbone": architecture.backbone,
        "backbone_modalities": _terratorch_names(architecture.modalities, s1_kind),
        "necks": [dict(neck) for neck in necks],
        "decoder": architecture.decoder,
        "num_classes": 1,
    }
    if architecture.merge != "mean":
        asked["backbone_merge_method"] = architecture.merge
    if architecture.image_size != 224:
        asked["backbone_img_size"] = architecture.image_size
    channels = architecture.decoder_channels
    if channels is not None:
        asked["decoder_channels"] = list(channels) if isinstance(channels, tuple) else channels
    if architecture.decoder_scale_modules:
        asked["decoder_scale_modules"] = True
    if architecture.head_channels:
        asked["head_channel_list"] = list(architecture.head_channels)
    return asked | {f"decoder_{name}": value for name, value in architecture.decoder_options.items()}


def _terratorch_names(sensors: Sequence[ModalityName], s1_kind: S1Kind) -> list[str]:
    """terratorch's names of these sensors, in their order."""
    return [S1_MODALITY[s1_kind] if name == "S1" else name for name in sensors]


def _only(names: list[str], _: nn.Module, call: tuple[dict[str, Tensor]]) -> tuple[dict[str, Tensor]]:
    """A call of the network with those of the chips that it takes, in its order."""
    return ({name: call[0][name] for name in names if name in call[0]},)


def logits(
    network: nn.Module, s1_kind: S1Kind, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None
) -> Tensor:
    """(B, H, W) logits of normalised chips (B, 12, H, W), (B, 2, H, W), (B, 1, H, W); gradients flow.

    A sensor that is None is absent: TerraMind's sequence has no tokens of it.
    """
    chips = _present(_terratorch_names(SENSORS, s1_kind), (optical, radar, dem))
    return cast(Tensor, network(chips).output)


def _present(names: Sequence[str], chips: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """The chips that are present, by their names."""
    return {name: part for name, part in zip(names, chips, strict=True) if part is not None}


class Chips(nn.Module):
    """A network whose forward takes the tensors of a set of sensors, with an output more for every dropout
    pass.
    """

    def __init__(self, network: nn.Module, manifest: Manifest, code: int = ALL) -> None:
        super().__init__()
        self.network = network
        self.names = _terratorch_names(sensors_of(code), manifest.inputs.S1.kind)
        head = cast(nn.Sequential, network.head.head)  # type: ignore[union-attr]
        head[-1] = widen(cast(nn.Conv2d, head[-1]), manifest.passes, manifest.dropout)

    def forward(self, *chips: Tensor | None) -> Tensor:
        """(B, 1 + passes, H, W) logits of normalised chips (B, 12 | 2 | 1, H, W) of the set's sensors, in the
        order of `SENSORS`; those that are None are absent.
        """
        answer: Tensor = self.network(_present(self.names, chips)).output
        return answer if answer.ndim == 4 else answer[:, None]
