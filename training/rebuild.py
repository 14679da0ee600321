"""Rebuild the small model: archives, stacks, fit, calibration, scores, package."""

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
from training.fit import SHOWN, Fitted, Machine, fit, shift_logits
from training.package import Facts, package
from training.recipe import Recipe
from training.scenes import LabelledStack, prepare_all

VERSION = "1.1"


@dataclass(frozen=True)
class Archives:
    """Seeds of the simulated archives for training, validation and test, and their extent."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    size: int = 1024
    seasons: str = "2021-2023"
    #: rasters of real elevations, and the seeds of the archives on them that join the validation
    relief: tuple[Path, ...] = ()
    on_relief: tuple[int, ...] = ()
    #: number of parallel simulators
    processes: int = 2

    def __post_init__(self) -> None:
        seeds = [*self.train, *self.validation, *self.test, *self.on_relief]
        if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            raise TrainingError(f"seeds: {twice} serve two purposes; scores need unseen seasons")
        if bool(self.relief) != bool(self.on_relief):
            raise TrainingError("relief: give both the rasters and the seeds of the archives on them")


@dataclass(frozen=True)
class Places:
    """Folders of a rebuild."""

    #: folder of the model
    out: Path
    #: folder of stacks and checkpoint, from which a stopped rebuild resumes
    work: Path
    #: folder of archives; missing ones are made
    archives: Path
    #: folder of real tiles to score on, if any
    samples: Path | None = None


def rebuild(places: Places, archives: Archives, recipe: Recipe, machine: Machine) -> Manifest:
    """Train a model and write it to `places.out`.

    Raises:
        TrainingError: archives cannot be made or read, or a run cannot be resumed.
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
    validation += _scenes(places, archives, archives.on_relief, "validation", archives.relief)
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
    """The model in half precision, loaded from a folder as in production."""
    package(fitted.network, facts, places.work / "draft")
    return load(places.work / "draft", machine.device)


def _scenes(
    places: Places, archives: Archives, seeds: Sequence[int], purpose: str, relief: Sequence[Path] = ()
) -> list[LabelledStack]:
    made = make_archives(
        places.archives,
        seeds,
        size=archives.size,
        seasons=archives.seasons,
        processes=archives.processes,
        relief=relief,
    )
    return prepare_all(made, places.work / "scenes", purpose)


def on_relief(relief: Sequence[Path], seeds: Sequence[int]) -> dict[str, Any]:
    """Provenance of validation archives on real relief; nothing without them."""
    names = [raster.name for raster in relief]
    return {"validation_relief": names, "validation_relief_seeds": list(seeds)} if seeds else {}


def _provenance(archives: Archives, recipe: Recipe, fitted: Fitted, machine: Machine) -> dict[str, Any]:
    """Provenance of the model, for its manifest."""
    last = fitted.losses[-SHOWN:]
    return {
        "data": "simulated scenes only (`python -m simulator`), read by the code that reads a catalogue",
        "train_seeds": list(archives.train),
        "validation_seeds": list(archives.validation),
        "test_seeds": list(archives.test),
        **on_relief(archives.relief, archives.on_relief),
        "size_px": archives.size,
        "seasons": archives.seasons,
        "machine": machine.describe(),
        "final_loss": round(sum(last) / len(last), 4),
        "recipe": recipe.as_dict(),
    }
