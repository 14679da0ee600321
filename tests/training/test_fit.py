"""Fitting: the loss falls, a stopped run resumes exactly, and unknown pixels have no gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segmenter.network import build_network, logits
from training.chips import ChipSource, statistics
from training.errors import TrainingError
from training.fit import CHECKPOINT, Machine, Trainer, fit, masked_loss, shift_logits, with_dropout
from training.labels import IGNORED
from training.recipe import ARCHITECTURE, DEMO_SEED, Recipe, parse_seeds
from training.scenes import LabelledStack

pytestmark = pytest.mark.slow

CPU = Machine("cpu")


def test_unknown_pixels_have_no_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 8, requires_grad=True)
    known = (torch.rand(2, 8, 8) > 0.5).float()
    water = torch.rand(2, 8, 8)
    masked_loss(logits, water, known, dice=1.0).backward()
    assert logits.grad is not None
    assert (logits.grad[known == 0] == 0).all()
    assert (logits.grad[known == 1] != 0).all()
    again = torch.where(known == 0, 100.0, logits.detach())
    other = torch.where(known == 0, 1 - water, water)
    assert masked_loss(again, other, known, 1.0) == masked_loss(logits.detach(), water, known, 1.0)


def test_without_known_pixels_there_is_no_loss() -> None:
    logits = torch.randn(1, 4, 4, requires_grad=True)
    masked_loss(logits, torch.ones(1, 4, 4), torch.zeros(1, 4, 4), 1.0).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_chips_depend_on_step_and_seed_alone(scenes: list[LabelledStack], recipe: Recipe) -> None:
    first, second = ChipSource(scenes, recipe), ChipSource(scenes, recipe)
    second.batch(0)
    for name in ("optical", "radar", "dem", "water", "known"):
        one, other = getattr(first.batch(3), name), getattr(second.batch(3), name)
        assert np.array_equal(one, other, equal_nan=True)
    assert not np.array_equal(first.batch(3).water, first.batch(4).water)


def test_chips_keep_labels_on_their_pixels(scenes: list[LabelledStack], recipe: Recipe) -> None:
    """After flips and brightness changes, water is still where the shortwave infrared is darkest."""
    batch = ChipSource(scenes, replace(recipe, batch=8)).batch(0)
    water, land = (batch.water == 1), (batch.water == 0) & (batch.known == 1)
    infrared = batch.optical[:, 10]
    assert water.any()
    assert np.median(infrared[water]) < 0.5 * np.median(infrared[land])
    assert np.isfinite(batch.optical.transpose(0, 2, 3, 1)[batch.known == 1]).all()


def test_a_few_steps_lower_the_loss(scenes: list[LabelledStack], recipe: Recipe) -> None:
    source, trainer = ChipSource(scenes, recipe), Trainer(recipe, statistics(scenes), CPU)
    batch = source.batch(0)
    before = trainer.loss(batch).item()
    for _ in range(recipe.steps):
        trainer.advance(batch)
    assert trainer.loss(batch).item() < 0.93 * before


def test_a_stopped_run_resumes_exactly(scenes: list[LabelledStack], recipe: Recipe, tmp_path: Path) -> None:
    inputs, recipe = statistics(scenes), replace(recipe, steps=4)
    whole = fit(scenes, recipe, inputs, tmp_path / "whole", CPU)
    stopped = Trainer(recipe, inputs, CPU)
    source = ChipSource(scenes, recipe)
    for step in range(2):
        stopped.advance(source.batch(step))
    (tmp_path / "stopped").mkdir()
    stopped.save(tmp_path / "stopped" / CHECKPOINT)
    resumed = fit(scenes, recipe, inputs, tmp_path / "stopped", CPU)
    assert resumed.losses == whole.losses
    others = resumed.network.state_dict()
    assert all(torch.equal(value, others[name]) for name, value in whole.network.state_dict().items())


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_is_none_is_refused_and_runs_nothing(
    scenes: list[LabelledStack], recipe: Recipe, tmp_path: Path
) -> None:
    trainer, path = Trainer(recipe, statistics(scenes), CPU), tmp_path / CHECKPOINT
    torch.save({"network": Runs(tmp_path / "it ran")}, path)
    with pytest.raises(TrainingError, match=r"cannot be read as a checkpoint of weights and plain values"):
        trainer.resume(path)
    assert not (tmp_path / "it ran").exists()
    path.write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="delete it to start again"):
        trainer.resume(path)
    torch.save({"network": {}}, path)
    with pytest.raises(TrainingError, match=r"has no average, inputs, losses, optimiser, recipe"):
        trainer.resume(path)


def test_channels_drop_out_in_training_only_and_add_no_parameters() -> None:
    network = with_dropout(build_network(ARCHITECTURE, "rtc"), Recipe().dropout)
    dropped = network.head.head[1]
    assert isinstance(dropped, torch.nn.Dropout2d)
    assert dropped.p == Recipe().dropout == 0.1
    assert network.state_dict().keys() == build_network(ARCHITECTURE, "rtc").state_dict().keys()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    dropped.register_forward_hook(lambda _layer, given, answer: seen.append((given[0], answer)))
    chips = torch.randn(4, 12, 96, 96), torch.randn(4, 2, 96, 96), torch.randn(4, 1, 96, 96)
    for training in (True, False):
        logits(network.train(training), "rtc", *chips)
    (given, kept), (whole, same) = seen
    alive = (given != 0).any(dim=(-2, -1))
    gone = alive & (kept == 0).all(dim=(-2, -1))
    assert 0.03 < gone[alive].float().mean() < 0.25, "whole channels of a chip, not single pixels"
    assert torch.equal(whole, same)


def test_a_shift_of_logits_is_in_the_weights() -> None:
    network = build_network(ARCHITECTURE, "rtc").eval()
    chips = torch.randn(1, 12, 32, 32), torch.randn(1, 2, 32, 32), torch.randn(1, 1, 32, 32)
    before = logits(network, "rtc", *chips)
    shift_logits(network, 0.25)
    assert (logits(network, "rtc", *chips) - before).detach().numpy() == pytest.approx(0.25, abs=1e-5)


def test_dropout_needs_a_head_and_a_share() -> None:
    with pytest.raises(TrainingError, match="its head is not"):
        with_dropout(torch.nn.Linear(2, 2), 0.1)
    with pytest.raises(TrainingError, match="dropout"):
        Recipe(dropout=0)


def test_a_checkpoint_of_another_recipe_is_refused(
    scenes: list[LabelledStack], recipe: Recipe, tmp_path: Path
) -> None:
    trainer = Trainer(recipe, statistics(scenes), CPU)
    trainer.save(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match="another recipe"):
        fit(scenes, replace(recipe, rate=5e-4), trainer.inputs, tmp_path, CPU)


def test_statistics_ignore_missing_values(scenes: list[LabelledStack]) -> None:
    scene = scenes[0]
    bands = np.array(scene.bands)
    bands[:, :100] = np.nan
    torn = replace(scene, bands=bands)
    assert np.isfinite(statistics([torn]).S2L2A.mean).all()
    assert (np.array(scene.labels) == IGNORED).mean() < 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [("1-x", "neither"), ("9-8", "reversed"), ("1,1", "twice"), (f"5-{DEMO_SEED}", "demo")],
)
def test_invalid_seeds(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        parse_seeds(text)


def test_seeds() -> None:
    assert parse_seeds("101-103,110") == (101, 102, 103, 110)
