"""Open a segmenter from model folders: one model, an ensemble of several, or the index baseline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmenter.area_factor import mean_factor
from segmenter.errors import ManifestError
from segmenter.manifest import Architecture, Manifest, read_manifest
from segmenter.protocol import Answer, Predicts, Segmenter, TileArrays
from segmenter.sensors import SensorSet, code_of, sensors_of
from segmenter.sets import calibration, validated

if TYPE_CHECKING:  # planning a run and the index baseline must not import torch
    from segmenter.model import Model


def open_segmenter(
    folders: Sequence[Path | str], device: str = "auto", *, half: bool | None = None
) -> Segmenter:
    """Open the segmenter of one or more model folders; for the other arguments see `segmenter.model.load`.

    Raises `ManifestError` or `WeightsError` for a folder that is not a model, or for incompatible models.
    """
    manifest = read_manifests(folders)
    if manifest.method == "index":
        from segmenter.baseline import IndexBaseline

        return IndexBaseline(manifest)
    from segmenter.model import load

    models = [load(folder, device, half=half) for folder in folders]
    return models[0] if len(models) == 1 else Ensemble(manifest, tuple(models))


def read_manifests(folders: Sequence[Path | str]) -> Manifest:
    """Return the manifest of a model, or the combined manifest of an ensemble.

    An ensemble has the inputs and windows of its members, the sets of sensors for which all of them were
    validated, the mean of their thresholds, and a digest of their fingerprints. Raises `ManifestError` naming
    the folder and the field that differs from the first model's.
    """
    manifests = [read_manifest(folder) for folder in folders]
    if not manifests:
        raise ManifestError("model: none is named")
    first = manifests[0]
    if len(manifests) == 1:
        return first
    for folder, other in zip(folders, manifests, strict=True):
        if other.method == "index":
            raise ManifestError(f"{folder}: index: an ensemble consists of networks, this is an index")
        for name in ("chip", "stride", "sigma", "flips"):
            if getattr(other, name) != getattr(first, name):
                raise ManifestError(
                    f"{folder}: {name}: is {getattr(other, name)}, the ensemble's first model has "
                    f"{getattr(first, name)}; models of an ensemble share their windows"
                )
        if other.inputs.S1.kind != first.inputs.S1.kind:
            raise ManifestError(
                f"{folder}: inputs.S1.kind: is {other.inputs.S1.kind!r}, the ensemble's first model has "
                f"{first.inputs.S1.kind!r}; one stack cannot be both"
            )
    prints = sorted(manifest.fingerprint for manifest in manifests)
    if len(set(prints)) < len(prints):
        raise ManifestError("model: names one model twice; an ensemble consists of different models")
    return first.model_copy(
        update={
            "name": " + ".join(manifest.name for manifest in manifests),
            "version": " + ".join(manifest.version for manifest in manifests),
            "license": " and ".join(sorted({manifest.license for manifest in manifests})),
            "architecture": _joint_architecture(manifests),
            "threshold": float(np.mean([manifest.threshold for manifest in manifests])),
            "area_factor": mean_factor([manifest.area_factor for manifest in manifests]),
            "fewer": tuple(_mean_set(manifests, code) for code in validated(manifests)[1:]),
            "smallest_lake_m2": max(manifest.smallest_lake_m2 for manifest in manifests),
            "digest": f"sha256:{hashlib.sha256('|'.join(prints).encode()).hexdigest()}",
            "training": {manifest.name: manifest.training for manifest in manifests},
            "scores": {},
        }
    )


def _joint_architecture(manifests: Sequence[Manifest]) -> Architecture | None:
    """The architecture of the first, with the sensors of all: an ensemble takes what any member takes."""
    architecture = manifests[0].architecture
    taken = code_of(name for manifest in manifests for name in manifest.sensors)
    if architecture is None or taken == code_of(architecture.modalities):
        return architecture
    return architecture.model_copy(update={"modalities": sensors_of(taken)})


def _mean_set(manifests: Sequence[Manifest], code: int) -> SensorSet:
    """An ensemble's set of sensors. Each member calibrates its own logits: temperature 1, no shift."""
    members = [calibration(manifest, code) for manifest in manifests]
    return SensorSet(
        sensors=sensors_of(code),
        threshold=float(np.mean([member.threshold for member in members])),
        temperature=1.0,
        area_factor=mean_factor([member.area_factor for member in members]),
    )


@dataclass(frozen=True, eq=False)
class Ensemble(Predicts):
    """Several models combined, as a `segmenter.protocol.Segmenter`."""

    manifest: Manifest
    models: tuple[Model, ...]

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """Predict several tiles; see `segmenter.protocol.Predicts.predict_all`."""
        from segmenter.dense import predict_all

        return predict_all(self.models, scenes)
