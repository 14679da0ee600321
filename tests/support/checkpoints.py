"""Checkpoints in the formats of other programs: terratorch's task, Lightning's trainer, torch's save."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmenter.network import build_terratorch, last_convolution
from segmenter.vision_ops import name_missing_vision_ops

NECKS = [
    {"name": "SelectIndices", "indices": [2, 5, 8, 11]},
    {"name": "ReshapeTokensToImage", "remove_cls_token": False},
    {"name": "LearnedInterpolateToPyramidal"},
]
TINY: dict[str, Any] = {
    "backbone": "terramind_v1_tiny",
    "backbone_pretrained": False,
    "backbone_modalities": ["S2L2A", "S1GRD", "DEM"],
    "necks": NECKS,
    "decoder": "UperNetDecoder",
    "decoder_channels": 16,
    "num_classes": 2,
}
SPREAD = 0.3
"""Standard deviation of a random network's logits, whose terms have about six digits in float32."""
BANDS = {"S2L2A": 12, "S1GRD": 2, "S1RTC": 2, "DEM": 1}


def make_task(options: dict[str, Any] | None = None, **changes: Any) -> Any:
    """terratorch's segmentation task of a tiny TerraMind, seeded. `changes` apply to `model_args`."""
    name_missing_vision_ops()
    from terratorch.tasks import SemanticSegmentationTask

    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = SemanticSegmentationTask(
            model_args={key: value for key, value in (TINY | changes).items() if value is not None},
            model_factory="EncoderDecoderFactory", ignore_index=-1, optimizer="AdamW", plot_on_val=False,
            **(options or {}),
        )  # fmt: skip
    scale_logits(task.model)
    return task


def auxiliary_head() -> dict[str, Any]:
    """Options of a task with a second head, which is used in training only."""
    name_missing_vision_ops()
    from terratorch.models.model import AuxiliaryHead

    head = AuxiliaryHead("aux", "FCNDecoder", {"decoder_channels": 8})
    return {"aux_heads": [head], "aux_loss": {"aux": 0.4}}


def scale_logits(network: nn.Module) -> None:
    """Scale the logits to a trained network's spread. An untrained network's are almost constant."""
    with torch.no_grad():
        logits = water_logits(network, chips_for(network))
        last = last_convolution(network)
        last.bias[-1] -= logits.mean()
        last.weight.mul_(SPREAD / logits.std())
        last.bias.mul_(SPREAD / logits.std())


def water_logits(network: nn.Module, chips: dict[str, Tensor]) -> Tensor:
    """Logit of water (B, H, W). With two classes it is the difference of the second and the first."""
    with torch.inference_mode():
        logits: Tensor = network.eval()(chips).output
    return logits if logits.ndim == 3 else logits[:, 1] - logits[:, 0]


def chips_for(network: nn.Module, seed: int = 11) -> dict[str, Tensor]:
    """Normalised chips of noise, with the names and bands of the network's encoder."""
    noise = torch.Generator().manual_seed(seed)
    encoder: Any = network.encoder
    chips = {}
    for name in encoder.modalities:
        projection = encoder.encoder_embeddings[encoder.mod_name_mapping[name]].proj
        chips[name] = torch.randn(1, projection.in_features // 256, 224, 224, generator=noise)
    return chips


def save_task(task: Any, path: Path) -> Path:
    """Save a checkpoint as Lightning does, before any training step."""
    trainer = _trainer(path.parent)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


def fit_and_save(task: Any, path: Path) -> Path:
    """Save a checkpoint as Lightning does after one step, together with an average of the weights."""
    from lightning.pytorch.callbacks import WeightAveraging
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    class Chips(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, _: int) -> dict[str, Any]:
            image = {name: chip[0] for name, chip in chips_for(task.model).items()}
            return {"image": image, "mask": torch.randint(0, 2, (224, 224))}

    averaging = WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(0.9))
    trainer = _trainer(path.parent, callbacks=[averaging], max_steps=1, limit_val_batches=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's hints on training speed, which do not matter here
        trainer.fit(task, torch.utils.data.DataLoader(Chips(), batch_size=1))
    trainer.save_checkpoint(path)
    return path


def _trainer(folder: Path, **options: Any) -> Any:
    import lightning

    return lightning.Trainer(
        accelerator="cpu", logger=False, default_root_dir=folder, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **options,
    )  # fmt: skip


def make_reference(
    backbone: str = "terramind_v1_tiny", indices: tuple[int, ...] = (2, 5, 8, 11)
) -> nn.Module:
    """The published model's network at any size: UperNet of 256 channels with scale modules, one logit."""
    torch.manual_seed(5)
    necks = [{"name": "SelectIndices", "indices": list(indices)}, *NECKS[1:]]
    network = build_terratorch(
        backbone=backbone, backbone_modalities=["S2L2A", "S1GRD", "DEM"], necks=necks,
        decoder="UperNetDecoder", decoder_channels=256, decoder_scale_modules=True, num_classes=1,
    )  # fmt: skip
    scale_logits(network)
    return network


def save_reference(
    network: nn.Module, path: Path, name: Callable[[str], str] | None = None, **more: Any
) -> Path:
    """Save a checkpoint in the published layout: a compiled network, not in terratorch's task."""
    rename = name or (lambda key: f"model._orig_mod.{key}")
    state = {rename(key): value for key, value in network.state_dict().items()}
    state |= {"loss.pos_weight": torch.ones(1), "ema.shadow.encoder.norm.weight": torch.ones(192)}
    torch.save({"state_dict": state, "epoch": 29, "global_step": 16050, "pytorch-lightning_version": "2.5.0",
                "hyper_parameters": {"lr": 6e-5, "name": "soup"}, **more}, path)  # fmt: skip
    return path


DRAFT = """\
version: "1"
license: Apache-2.0
inputs:
  S2L2A: {clip: [0, 16000], mean: [%s], std: [%s]}
  S1: {mean: [-9.25, -18.0], std: [5.9, 5.92]}
  DEM: {clip: [-500, 9000], mean: [4300.0], std: [901.0]}
stride: 112
sigma: 56
smallest_lake_m2: 5000
""" % (", ".join(["2000.0"] * 12), ", ".join(["800.0"] * 12))  # noqa: UP031 - the braces belong to the YAML
"""Draft of the manifest, given by the user for such a checkpoint."""
