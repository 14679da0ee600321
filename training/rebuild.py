"""Rebuild a model: simulated worlds and real chips, fit, calibration by set of sensors, scores, package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import track

from segmenter.manifest import Manifest, SensorSet
from segmenter.model import load
from segmenter.protocol import Segmenter
from training.archives import make_archives
from training.chip_files import ChipFiles, write_chips
from training.chips import statistics
from training.config import Config, Worlds
from training.errors import TrainingError
from training.evaluate import Calibration, calibrate, evaluate, intervals
from training.fit import SHOWN, Fitted, Machine, fit, shift_logits
from training.package import Facts, package
from training.real.making import make_real_chips
from training.real_scores import real_scores
from training.scenes import LabelledStack, chips_of, prepare, prepare_all


@dataclass(frozen=True)
class Places:
    """Folders of a rebuild."""

    #: folder of the model
    out: Path
    #: folder of archives, stacks, chips and checkpoint, from which a stopped rebuild resumes
    work: Path
    #: folder of real scenes and of rasters of real elevations
    samples: Path


def rebuild(config: Config, places: Places, machine: Machine, processes: int = 2) -> Manifest:
    """Train a model and write it to `places.out`.

    Raises:
        TrainingError: archives or samples cannot be made or read, or a run cannot be resumed.
    """
    real = _real_chips(places)
    chips = [*_simulated_chips(config, places, processes), real]
    inputs, recipe = statistics(chips), config.recipe
    fitted = fit(chips, recipe, inputs, places.work / "fit", machine)
    sets = [entry.sensors for entry in recipe.sets]
    draft = Facts(
        config.name,
        config.version,
        inputs,
        dropout=recipe.dropout,
        fewer=tuple(_uncalibrated(sensors) for sensors in sets[1:]),
        training=_provenance(config, real, fitted, machine),
    )
    model = _packaged(fitted, draft, places, machine)
    validation = [
        scene for worlds in config.validation for scene in _scenes(config, places, worlds, processes)
    ]
    chosen = [calibrate(model, validation, sensors) for sensors in sets]
    shift_logits(fitted.network, chosen[0].shift)
    facts = replace(
        draft,
        threshold=chosen[0].threshold,
        temperature=chosen[0].temperature,
        area_factor=chosen[0].area_factor,
        fewer=tuple(
            _calibrated(sensors, found, chosen[0].shift)
            for sensors, found in zip(sets[1:], chosen[1:], strict=True)
        ),
        training={**draft.training, "logits_shifted_by": chosen[0].shift},
    )
    model = _packaged(fitted, facts, places, machine)
    scores = _scores(config, places, model, chosen, processes)
    scores[0]["real"] = real_scores(model, real)
    fewer = tuple(
        entry.model_copy(update={"scores": found})
        for entry, found in zip(facts.fewer, scores[1:], strict=True)
    )
    return package(fitted.network, replace(facts, fewer=fewer, scores=scores[0]), places.out)


def _real_chips(places: Places) -> ChipFiles:
    """The chips of the real samples; made once."""
    folder = places.work / "chips" / "real"
    if not folder.is_dir():
        make_real_chips(places.samples, folder)
    return ChipFiles(folder)


def _simulated_chips(config: Config, places: Places, processes: int) -> list[ChipFiles]:
    """The training chips of every archive; those that exist are kept."""
    archives = [path for worlds in config.train for path in _archives(config, places, worlds, processes)]
    folders = [places.work / "chips" / archive.name for archive in archives]
    missing = {
        archive: folder for archive, folder in zip(archives, folders, strict=True) if not folder.is_dir()
    }
    if missing:
        prepare_all(list(missing), places.work / "scenes", "training", processes)
    for archive, folder in track(missing.items(), description="writing chips"):
        scenes = prepare(archive, places.work / "scenes")
        write_chips(folder, (chip for scene in scenes for chip in chips_of(scene, "train")))
    return [ChipFiles(folder) for folder in folders]


def _archives(config: Config, places: Places, worlds: Worlds, processes: int) -> list[Path]:
    relief = [places.samples / name for name in worlds.relief]
    if missing := [str(raster) for raster in relief if not raster.is_file()]:
        raise TrainingError(
            f"relief: {', '.join(missing)} is missing; name the folder of samples (--samples)"
        )
    return make_archives(
        places.work / "archives",
        worlds.seeds,
        size=config.size,
        seasons=config.seasons,
        processes=processes,
        relief=relief,
    )


def _scenes(config: Config, places: Places, worlds: Worlds, processes: int) -> list[LabelledStack]:
    made = _archives(config, places, worlds, processes)
    return prepare_all(made, places.work / "scenes", "whole scenes", processes)


def _uncalibrated(sensors: Sequence[Any]) -> SensorSet:
    return SensorSet(sensors=tuple(sensors), threshold=0.5, temperature=1.0, area_factor=1.0)


def _calibrated(sensors: Sequence[Any], found: Calibration, shifted: float) -> SensorSet:
    """A set with its calibration; the logits of the network are already shifted by `shifted`."""
    return SensorSet(
        sensors=tuple(sensors),
        threshold=found.threshold,
        temperature=found.temperature,
        shift=round(found.shift - shifted, 4),
        area_factor=found.area_factor,
    )


def _packaged(fitted: Fitted, facts: Facts, places: Places, machine: Machine) -> Segmenter:
    """The model in half precision, loaded from a folder as in production."""
    package(fitted.network, facts, places.work / "draft")
    return load(places.work / "draft", machine.device)


def _scores(
    config: Config, places: Places, model: Segmenter, chosen: Sequence[Calibration], processes: int
) -> list[dict[str, Any]]:
    """Scores for each set of sensors, on the scenes of validation and test."""
    test = _scenes(config, places, config.test, processes)
    on_relief = [] if config.test_on_relief is None else _scenes(
        config, places, config.test_on_relief, processes
    )  # fmt: skip
    scores: list[dict[str, Any]] = []
    for found, entry in zip(chosen, model.manifest.sets, strict=True):
        measured = evaluate(model, test, "test", entry.sensors)
        scores.append(
            {
                "validation": found.table[found.threshold].as_dict(),
                "test": measured.score.as_dict(),
                "calibration": measured.calibration(entry),
            }
        )
        if on_relief:
            measured = evaluate(model, on_relief, "test on real relief", entry.sensors)
            scores[-1]["test_on_relief"] = measured.score.as_dict()
            scores[-1]["area_on_relief"] = intervals(measured.drawn, entry.area_factor)
    return scores


def _provenance(config: Config, real: ChipFiles, fitted: Fitted, machine: Machine) -> dict[str, Any]:
    """Provenance of the model, for its manifest."""
    last = fitted.losses[-SHOWN:]
    trained = real.table[real.table.split == "train"]
    return {
        "data": "simulated scenes (`python -m simulator`), read by the code that reads a catalogue, and "
        "chips of real scenes",
        "real_places": sorted(trained.place.unique().tolist()),
        "real_licences": sorted(trained.licence.unique().tolist()),
        "machine": machine.describe(),
        "final_loss": round(sum(last) / len(last), 4),
        **config.provenance(),
    }
