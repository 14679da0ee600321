"""Packaging, scoring and the command line: the written model is read by the segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from segmenter.manifest import WEIGHTS_FILE, ModalityName, SensorSet, code_of, read_manifest
from segmenter.model import load
from segmenter.protocol import Answer
from training.areas import draw
from training.card import card
from training.chip_files import ChipFiles
from training.chips import ChipSource, statistics
from training.cli import app
from training.errors import TrainingError
from training.evaluate import calibrate, evaluate, predict
from training.fit import Machine, Trainer
from training.labels import FULL, IGNORED
from training.package import LARGEST, Facts, package
from training.recipe import Recipe
from training.scenes import LabelledStack

pytestmark = pytest.mark.slow

WITHOUT_OPTICS: tuple[ModalityName, ...] = ("S1", "DEM")


@pytest.fixture(scope="module")
def model(chips: list[ChipFiles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model trained for a few steps."""
    recipe = Recipe(steps=3, batch=2, window=96, warmup=1)
    trainer = Trainer(recipe, statistics(chips), Machine("cpu"))
    source = ChipSource(chips, recipe)
    for step in range(recipe.steps):
        trainer.advance(source.batch(step))
    folder = tmp_path_factory.mktemp("model")
    facts = Facts(
        "hardly-trained",
        "0",
        trainer.inputs,
        fewer=(SensorSet(sensors=WITHOUT_OPTICS, threshold=0.5, temperature=1, area_factor=1),),
        training={"steps": 3},
        scores={"test": {"iou": 0.1}},
    )
    package(trainer.fitted().network, facts, folder)
    return folder


def test_a_package_is_read_back(model: Path) -> None:
    manifest = read_manifest(model)
    assert (manifest.name, manifest.training["steps"]) == ("hardly-trained", 3)
    assert (model / WEIGHTS_FILE).stat().st_size < LARGEST
    assert manifest.inputs.S1.kind == "rtc"
    text = (model / "README.md").read_text()
    assert "no real season of mountain lakes was seen" in text
    assert "| iou | 0.1 |" in text


def test_changed_weights_are_detected(model: Path, tmp_path: Path) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(Exception, match="digest"):
        read_manifest(tmp_path)


def test_every_pixel_is_predicted_with_the_sensors_that_saw_it(
    model: Path, scenes: list[LabelledStack]
) -> None:
    bands, dem = scenes[0].bands.astype(np.float32), np.array(scenes[0].dem)
    answer = predict(load(model, "cpu"), bands[:12], bands[12:], dem, row=0, col=0)
    optical, radar = (np.isfinite(part).all(axis=0) for part in (bands[:12], bands[12:]))
    below = radar & np.isfinite(dem)
    expected = np.where(below & optical, 7, np.where(below, code_of(WITHOUT_OPTICS), 0))
    assert (expected == code_of(WITHOUT_OPTICS)).any(), "some pixels are under cloud on all dates"
    assert np.array_equal(answer.sources, expected)
    for layer in (answer.probability, answer.uncertainty):
        assert layer.shape == scenes[0].labels.shape
        assert layer.dtype == np.float32
        assert (np.isfinite(layer) == below).all()
    assert (answer.uncertainty[below] > 0).mean() > 0.9, "dropout gives a spread"


def test_calibration_needs_an_uncalibrated_set(model: Path, scenes: list[LabelledStack]) -> None:
    loaded = load(model, "cpu")
    warmed = replace(loaded, manifest=loaded.manifest.model_copy(update={"temperature": 1.5}))
    with pytest.raises(TrainingError, match="calibrated already"):
        calibrate(warmed, scenes)
    with pytest.raises(TrainingError, match="has no set S2L2A to calibrate"):
        calibrate(loaded, scenes, ("S2L2A",))


def test_a_set_that_was_not_validated_is_not_scored(model: Path, scenes: list[LabelledStack]) -> None:
    loaded = load(model, "cpu")
    without = evaluate(loaded, scenes[:1], sensors=WITHOUT_OPTICS).score
    assert without.lakes > 0
    with pytest.raises(TrainingError, match=r"not validated for S2L2A, but for S2L2A\+S1\+DEM, S1\+DEM"):
        evaluate(loaded, scenes[:1], sensors=("S2L2A",))


def test_scores_of_a_scene(model: Path, scenes: list[LabelledStack]) -> None:
    loaded = load(model, "cpu")
    sure = replace(loaded, manifest=loaded.manifest.model_copy(update={"threshold": 1e-6}))
    everything = evaluate(sure, scenes[:1])
    assert everything.score.missed == 0, "at a threshold of zero every pixel is water"
    assert everything.score.found == everything.score.lakes > 0
    known = everything.calibration(sure.manifest.sets[0])
    labelled = (scenes[0].labels != IGNORED) & np.isfinite(scenes[0].bands).all(axis=0)
    assert sum(row["pixels"] for row in known["reliability"]["bins"]) == labelled.sum()
    manifest = sure.manifest.model_copy(
        update={"scores": {"calibration": known, "test": everything.score.as_dict()}}
    )
    assert "Expected calibration error" in card(manifest)


def test_lakes_drawn_from_the_truth_have_its_area(scenes: list[LabelledStack]) -> None:
    """The effect of the pixel grid is well within the shoreline's error term."""
    labels = scenes[0].labels
    truth = np.where(labels == IGNORED, np.nan, labels / np.float32(FULL)).astype(np.float32)
    sources = np.where(labels == IGNORED, 0, 7).astype(np.uint8)
    drawn = draw(Answer(truth, np.zeros_like(truth), sources), scenes[0], 0.5, 5000)
    assert drawn.found == drawn.lakes == len(drawn.areas) > 3
    assert drawn.areas.mapped_m2 == pytest.approx(drawn.areas.true_m2, rel=0.05)
    assert np.abs(drawn.areas.deviations()).max() < 1.96
    assert drawn.joined or drawn.areas.true_m2.sum() == pytest.approx(drawn.alone.true_m2.sum())
    doubtful = draw(Answer(truth, np.full_like(truth, 0.1), sources), scenes[0], 0.5, 5000)
    assert (doubtful.areas.model_m2 > 0.1 * doubtful.areas.mapped_m2).all()
    assert draw(Answer(0 * truth, truth, sources), scenes[0], 0.5, 5000).found == 0


def test_the_commands_have_help() -> None:
    for command, option in (("rebuild", "--config"), ("chips", "--samples"), ("evaluate", "--sensors")):
        answer = CliRunner().invoke(app, [command, "--help"])
        assert answer.exit_code == 0
        assert option in answer.output
