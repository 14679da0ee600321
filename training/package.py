"""Write a trained model to a folder: weights in half precision, manifest and model card."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from segmenter.area_factor import AreaFactor
from segmenter.manifest import NO_WEIGHTS, WEIGHTS_FILE, Inputs, Manifest, SensorSet, read_manifest
from segmenter.model import save
from training.card import card
from training.errors import TrainingError
from training.recipe import ARCHITECTURE

CARD_FILE = "README.md"
#: distance between windows: three quarters of a chip, about two forward passes per pixel
STRIDE = 168
SIGMA = 56.0
#: largest file of weights that is committed to the repository, bytes
LARGEST = 20 * 1024 * 1024
SMALLEST_LAKE_M2 = 5000.0
#: number of passes with dropout whose spread is the uncertainty
PASSES = 8


@dataclass(frozen=True)
class Facts:
    """Metadata of a model, for its manifest."""

    name: str
    version: str
    inputs: Inputs
    threshold: float = 0.5
    temperature: float = 1.0
    #: share of the head's channels dropped in training and in the passes of a prediction
    dropout: float = 0.1
    area_factor: AreaFactor = 1.0
    #: other sets of sensors for which the model was validated
    fewer: tuple[SensorSet, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


def package(network: nn.Module, facts: Facts, folder: Path) -> Manifest:
    """Write the model to `folder` and return its manifest, read back.

    Raises:
        TrainingError: the file of weights is too large to be committed.
    """
    manifest = Manifest(
        name=facts.name,
        version=facts.version,
        license="Apache-2.0",
        architecture=ARCHITECTURE,
        inputs=facts.inputs,
        stride=STRIDE,
        sigma=SIGMA,
        threshold=facts.threshold,
        temperature=facts.temperature,
        passes=PASSES,
        dropout=facts.dropout,
        area_factor=facts.area_factor,
        fewer=facts.fewer,
        digest=NO_WEIGHTS,
        smallest_lake_m2=SMALLEST_LAKE_M2,
        training=facts.training,
        scores=facts.scores,
    )
    written = save(folder, network, manifest)
    size = (folder / WEIGHTS_FILE).stat().st_size
    if size > LARGEST:
        raise TrainingError(f"{folder / WEIGHTS_FILE}: {size} bytes, more than {LARGEST}; shrink the network")
    (folder / CARD_FILE).write_text(card(written))
    return read_manifest(folder)
