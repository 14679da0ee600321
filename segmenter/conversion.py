"""Convert a checkpoint's weights to a network with float32 weights, all bands and one logit per pixel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from segmenter.checkpoint import UNUSED, Checkpoint
from segmenter.errors import CheckpointError
from segmenter.manifest import (
    PATCH,
    WEIGHTS_FILE,
    Architecture,
    Manifest,
    ModalityName,
    S1Kind,
    read_manifest,
)
from segmenter.network import build_network, build_terratorch, last_convolution, logits
from segmenter.recognise import BANDS, EMBEDDINGS, Found, flat, modality_of

HEAD = "head.head.2"
Chips = dict[ModalityName, Tensor]


def water_class(found: Found, names: Sequence[str], choice: str | int | None) -> int:
    """Number of the water class, of one or two classes.

    Args:
        choice: number or name of the class; None: the class whose name contains "water" or "lake".

    Raises:
        CheckpointError: there are more than two classes, or the water class is not clear.
    """
    if found.classes == 1:
        return 0
    listed = f"{found.classes} classes" + (f" ({', '.join(names)})" if names else "")
    if found.classes > 2:
        raise CheckpointError(
            f"num_classes: the checkpoint has {listed}; only two can be converted to one logit without loss. "
            "Train it with water against everything else"
        )
    named = [str(name).lower() for name in names]
    if choice is None:
        of_water = [n for n, name in enumerate(named) if "water" in name or "lake" in name]
        if len(of_water) == 1:
            return of_water[0]
        raise CheckpointError(
            f"water_class: the checkpoint has {listed}; give the name or number of the water class"
        )
    number = named.index(str(choice).lower()) if str(choice).lower() in named else choice
    if str(number) not in ("0", "1"):
        raise CheckpointError(f"water_class: there is no {choice!r} among the checkpoint's {listed}")
    return int(number)


def build_imported(checkpoint: Checkpoint, found: Found, manifest: Manifest, water: int) -> nn.Module:
    """Build the network of `manifest` with the checkpoint's weights, for `segmenter.model.save`.

    Raises:
        CheckpointError: the weights do not fit the architecture.
    """
    architecture, kind = _shape(manifest)
    weights = _floats(checkpoint.weights)
    for key, (modality, _) in EMBEDDINGS.items():
        projection = f"encoder.encoder_embeddings.{key}.proj.weight"
        if projection in weights:
            weights[projection] = spread_bands(weights[projection], found.bands[modality], BANDS[modality])
    if UNUSED in weights:
        weights[UNUSED] = torch.zeros_like(weights[UNUSED])
    if found.classes == 2:
        for part in ("weight", "bias"):
            both = weights[f"{HEAD}.{part}"]
            weights[f"{HEAD}.{part}"] = both[water : water + 1] - both[1 - water : 2 - water]
    network = build_network(architecture, kind)
    _fill(network, weights, architecture)
    return network.eval()


def spread_bands(projection: Tensor, bands: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Extend a patch projection (width, px x bands) to the wanted bands; added bands have zero weights."""
    if tuple(bands) == tuple(wanted):
        return projection
    width = len(projection)
    spread = torch.zeros(width, PATCH**2, len(wanted), dtype=projection.dtype)
    spread[..., [wanted.index(band) for band in bands]] = projection.view(width, PATCH**2, len(bands))
    return spread.flatten(1)


def checkpoint_logits(
    checkpoint: Checkpoint, found: Found, manifest: Manifest, water: int, chips: Chips
) -> Tensor:
    """Logits of water (B, H, W) by the checkpoint's network, built as its own task would build it.

    Args:
        chips: normalised, (B, 12 | 2 | 1, H, W).

    Raises:
        CheckpointError: the weights do not fit the architecture.
    """
    architecture, kind = _shape(manifest)
    if checkpoint.arguments is None:
        network = build_network(architecture, kind)
        head = cast(nn.Sequential, cast(Any, network).head.head)
        head[-1] = nn.Conv2d(last_convolution(network).in_channels, found.classes, 1)
    else:
        arguments = flat(checkpoint.arguments)
        for name in ("backbone_pretrained", "backbone_ckpt_path", "aux_decoders"):
            arguments.pop(name, None)
        network = build_terratorch(**arguments)
    _fill(network.eval(), _floats(checkpoint.weights), architecture)
    with torch.inference_mode():
        if checkpoint.arguments is None:
            output = logits(network, kind, chips["S2L2A"], chips["S1"], chips["DEM"])
        else:
            output = network(_named_chips(network, found, chips)).output
    return output if found.classes == 1 else output[:, water] - output[:, 1 - water]


def imported_logits(folder: Path, chips: Chips) -> Tensor:
    """Logits of water (B, H, W) by the imported model, read from `folder`.

    Raises:
        ManifestError: the folder is not a model.
    """
    manifest = read_manifest(folder)
    architecture, kind = _shape(manifest)
    network = build_network(architecture, kind).eval()
    _fill(network, _floats(safetensors.torch.load_file(folder / WEIGHTS_FILE)), architecture)
    with torch.inference_mode():
        return logits(network, kind, chips["S2L2A"], chips["S1"], chips["DEM"])


def random_chips(manifest: Manifest) -> Chips:
    """One normalised chip of noise with a fixed seed, (1, 12 | 2 | 1, chip, chip)."""
    noise = torch.Generator().manual_seed(0)
    size = manifest.chip
    return {name: torch.randn(1, len(bands), size, size, generator=noise) for name, bands in BANDS.items()}


def _named_chips(network: nn.Module, found: Found, chips: Chips) -> dict[str, Tensor]:
    """Chips with the modality names and bands of a task's network."""
    named = {}
    for name in cast(Any, network).encoder.modalities:
        modality = cast(ModalityName, modality_of(name))
        bands = [BANDS[modality].index(band) for band in found.bands[modality]]
        named[name] = chips[modality][:, bands]
    return named


def _floats(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _shape(manifest: Manifest) -> tuple[Architecture, S1Kind]:
    if manifest.architecture is None:
        raise CheckpointError("architecture: is missing; an index has no weights to import")
    return manifest.architecture, manifest.inputs.S1.kind


def _fill(network: nn.Module, weights: dict[str, Tensor], architecture: Architecture) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    problems = [f"{name} is missing" for name in wanted.keys() - given.keys()]
    problems += [f"{name} is not part of the network" for name in given.keys() - wanted.keys()]
    problems += [f"{name} is {given[name]}, must be {wanted[name]}"
                 for name in wanted.keys() & given.keys() if given[name] != wanted[name]]  # fmt: skip
    if problems:
        raise CheckpointError(
            f"architecture: {len(problems)} of the checkpoint's weights do not fit {architecture.backbone} "
            f"with {architecture.decoder} as described: {'; '.join(sorted(problems)[:3])}"
        )
    network.load_state_dict(weights)
