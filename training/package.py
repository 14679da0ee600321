"""A trained model as a folder: weights in half precision, manifest, and a card a person can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from segmenter.manifest import NO_WEIGHTS, WEIGHTS_FILE, Inputs, Manifest, read_manifest
from segmenter.model import save
from training.errors import TrainingError
from training.recipe import ARCHITECTURE

CARD_FILE = "README.md"
#: distance between windows: three quarters of a chip, so that a map costs about two forward passes a pixel
STRIDE = 168
SIGMA = 56.0
#: the largest weights' file that belongs into a repository
LARGEST = 20 * 1024 * 1024
SMALLEST_LAKE_M2 = 5000.0


@dataclass(frozen=True)
class Facts:
    """What is known of a model beside its weights."""

    name: str
    version: str
    inputs: Inputs
    threshold: float = 0.5
    temperature: float = 1.0
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


def card(manifest: Manifest) -> str:
    """The model card, Markdown."""
    training, scores = manifest.training, manifest.scores
    parts = [
        f"# {manifest.name} {manifest.version}",
        "A small lake segmenter trained **only on simulated scenes**. It is for trying and testing this "
        "project: it shows that every step works, and it is **not for production**. Lakes of real mountains "
        "need weights trained on real scenes; `config/models.yaml` names them.",
        "## Network and inputs",
        f"TerraMind tiny ({manifest.architecture.backbone}, from random weights) with an UperNet decoder of "
        f"{manifest.architecture.decoder_channels} channels, one logit a pixel; weights in float16. "
        f"Inputs of {manifest.chip} x {manifest.chip} px at 10 m: Sentinel-2 L2A, 12 bands, reflectance x "
        "10000 without offset; Sentinel-1 terrain-corrected gamma nought, VV and VH in dB; Copernicus DEM "
        "in metres. "
        f"Water from a probability of {manifest.threshold}; logits are divided by {manifest.temperature}.",
        "## What it was trained on",
        _bullets(training),
        "## Measured scores",
    ]
    for title, key in (("Validation (simulated; threshold and temperature were chosen here)", "validation"),
                       ("Test (simulated seasons of seeds never used before)", "test")):  # fmt: skip
        if key in scores:
            parts += [f"### {title}", _score_table(scores[key])]
    if "real" in scores:
        parts += ["### Real tiles", _real(scores["real"])]
    parts += [
        "## Limits",
        "- Simulated light, water, snow and radar are simpler than real ones: scores on simulated seasons "
        "say nothing about real mountains, and the real tiles above show how far it carries.\n"
        "- Frozen lakes were left out of training; what it answers there means nothing.\n"
        f"- Lakes below {manifest.smallest_lake_m2:.0f} m2 are beyond it: its decoder works at 40 m and "
        "interpolates.\n"
        "- One seed, no ensemble, no uncertainty of its own.",
        "Made by `training rebuild`; the arguments are in `manifest.json` under `training`.",
    ]
    return "\n\n".join(parts) + "\n"


def _bullets(values: dict[str, Any]) -> str:
    return "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in values.items())


def _score_table(values: dict[str, Any]) -> str:
    rows = [f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _shown(value: Any) -> str:
    """A score, or a dash where nothing could be counted."""
    return "-" if value is None else str(value)


def _real(scores: dict[str, Any]) -> str:
    """The real tiles' scores, whatever they are, with what the reference is worth."""
    mesh = scores["terramesh"]
    names = list(next(iter(mesh["tiles"].values())))
    head = ["| TerraMesh tile | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    head.append("| --- " * (len(names) + 1) + "|")
    rows = [
        f"| {tile} | " + " | ".join(_shown(row[name]) for name in names) + " |"
        for tile, row in mesh["tiles"].items()
    ]
    notes = ["", f"Reference: {mesh['reference']}.", "", f"Sen1Floods11: {scores['sen1floods11']}."]
    return "\n".join([*head, *rows, *notes])
