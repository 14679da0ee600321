"""A trained model as a folder: weights in half precision, manifest, and a card a person can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from segmenter.manifest import NO_WEIGHTS, WEIGHTS_FILE, Inputs, Manifest, read_manifest
from segmenter.model import save
from training.card import card
from training.errors import TrainingError
from training.recipe import ARCHITECTURE

CARD_FILE = "README.md"
#: distance between windows: three quarters of a chip, so that a map costs about two forward passes a pixel
STRIDE = 168
SIGMA = 56.0
#: the largest weights' file that belongs into a repository
LARGEST = 20 * 1024 * 1024
SMALLEST_LAKE_M2 = 5000.0
#: passes with dropout whose spread is the uncertainty
PASSES = 8


@dataclass(frozen=True)
class Facts:
    """What is known of a model beside its weights."""

    name: str
    version: str
    inputs: Inputs
    threshold: float = 0.5
    temperature: float = 1.0
    #: share of the head's channels that training left out, and that prediction's passes leave out
    dropout: float = 0.1
    area_factor: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


def package(network: nn.Module, facts: Facts, folder: Path) -> Manifest:
    """Write the model to `folder`, and return its manifest as the segmenter reads it back.

    Raises:
        TrainingError: the weights' file is larger than what may be committed.
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
