"""From nothing to a packaged model: archives, stacks, fit, calibration, scores, package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segmenter.manifest import Manifest
from segmenter.model import load
from segmenter.protocol import Segmenter
from training.archives import make_archives
from training.chips import statistics
from training.errors import TrainingError
from training.evaluate import calibrate, evaluate, evaluate_real
from training.fit import Fitted, Machine, fit, shift_logits
from training.package import Facts, package
from training.recipe import Recipe
from training.scenes import LabelledStack, prepare_all

VERSION = "1.1"


@dataclass(frozen=True)
class Archives:
    """Which simulated archives are used, and for what."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    size: int = 1024
    seasons: str = "2021-2023"
    #: simulators beside one another
    processes: int = 2

    def __post_init__(self) -> None:
        seeds = [*self.train, *self.validation, *self.test]
        if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            raise TrainingError(f"seeds: {twice} serve two purposes; scores need unseen seasons")


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    #: the model's folder
    out: Path
    #: stacks and checkpoint; a rebuild that was stopped goes on from here
    work: Path
    #: archives, made where they are missing
    archives: Path
    #: real tiles to score on, where there are any
    samples: Path | None = None


def rebuild(places: Places, archives: Archives, recipe: Recipe, machine: Machine) -> Manifest:
    """Train a model and write it to `places.out`.

    Raises:
        TrainingError: archives that cannot be made or read, or a run that cannot be resumed.
    """
    train = _scenes(places, archives, archives.train, "training")
    inputs = statistics(train)
    fitted = fit(train, recipe, inputs, places.work / "fit", machine)
    facts = Facts(
        places.out.name,
        VERSION,
        inputs,
        dropout=recipe.dropout,
        training=_provenance(archives, recipe, fitted, machine),
    )
    validation = _scenes(places, archives, archives.validation, "validation")
    chosen = calibrate(_packaged(fitted, facts, places, machine), validation)
    shift_logits(fitted.network, chosen.shift)
    facts = replace(
        facts,
        threshold=chosen.threshold,
        temperature=chosen.temperature,
        area_factor=chosen.area_factor,
        training={**facts.training, "logits_shifted_by": chosen.shift},
    )
    model = _packaged(fitted, facts, places, machine)
    test = evaluate(model, _scenes(places, archives, archives.test, "test"))
    scores: dict[str, Any] = {
        "validation": chosen.table[chosen.threshold].as_dict(),
        "test": test.score.as_dict(),
        "calibration": test.calibration(model.manifest),
    }
    if places.samples is not None:
        scores["real"] = evaluate_real(model, places.samples)
    return package(fitted.network, replace(facts, scores=scores), places.out)


def _packaged(fitted: Fitted, facts: Facts, places: Places, machine: Machine) -> Segmenter:
    """The model as it will be used: in half precision, from a folder."""
    package(fitted.network, facts, places.work / "draft")
    return load(places.work / "draft", machine.device)


def _scenes(places: Places, archives: Archives, seeds: Sequence[int], purpose: str) -> list[LabelledStack]:
    made = make_archives(
        places.archives, seeds, size=archives.size, seasons=archives.seasons, processes=archives.processes
    )
    return prepare_all(made, places.work / "scenes", purpose)


def _provenance(archives: Archives, recipe: Recipe, fitted: Fitted, machine: Machine) -> dict[str, Any]:
    """What the manifest says about the model's origin."""
    return {
        "data": "simulated scenes only (`python -m simulator`), read by the code that reads a catalogue",
        "train_seeds": list(archives.train),
        "validation_seeds": list(archives.validation),
        "test_seeds": list(archives.test),
        "size_px": archives.size,
        "seasons": archives.seasons,
        "machine": machine.describe(),
        "final_loss": round(sum(fitted.losses[-50:]) / len(fitted.losses[-50:]), 4),
        "recipe": recipe.as_dict(),
    }
