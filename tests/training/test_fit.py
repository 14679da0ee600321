"""Fitting: the loss falls, a stopped run resumes exactly, and unknown pixels have no gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segmenter.network import build_network, logits
from training.chip_files import Chip, ChipFiles, Split, write_chips
from training.chips import ChipSource, cloud_water, shade, statistics
from training.errors import TrainingError
from training.fit import CHECKPOINT, Machine, Trainer, fit, masked_loss, shift_logits, with_dropout
from training.labels import FULL, IGNORED
from training.recipe import ARCHITECTURE, DEMO_SEED, Augmentation, Recipe, SetShare, parse_seeds

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


def test_a_reservoir_does_not_outweigh_a_small_lake_in_another_chip() -> None:
    water = torch.zeros(2, 64, 64)
    water[0, :, :40], water[1, :4, :4] = 1, 1
    known, sure = torch.ones_like(water), (water - 0.5) * 40
    missed = sure.clone()
    missed[1] = -20
    lost = [masked_loss(logits, water, known, dice=1000.0) for logits in (sure, missed)]
    assert lost[1] - lost[0] > 400, "half of the Dice terms"


def test_shadow_darkens_the_infrared_most_and_keeps_the_rest() -> None:
    chip = np.full((12, 80, 80), 2000, np.float32)
    shade(chip, np.random.default_rng(0))
    dark = chip[7] < 1900
    assert 0.1 < dark.mean() < 0.8
    assert (chip[:, ~dark].min(axis=1) > 1600).all()
    deep = chip[7] == chip[7].min()
    assert (chip[1][deep] > chip[7][deep]).all() and (chip[7][deep] >= chip[10][deep]).all()


def test_sediment_brightens_water_alone_and_hardly_in_the_shortwave_infrared() -> None:
    chip = np.full((12, 40, 40), 300, np.float32)
    labels = np.zeros((40, 40), np.uint8)
    labels[:20], labels[20], labels[39] = FULL, FULL // 2, IGNORED
    cloud_water(chip, labels, Augmentation(turbid=1.0), np.random.default_rng(0))
    added = chip - 300
    assert (added[:, 21:] == 0).all()
    assert np.allclose(added[:, 20], added[:, 0] / 2, atol=0.01)
    red, infrared, shortwave = (float(added[band, 0, 0]) for band in (3, 7, 10))
    assert 0 < shortwave < 0.15 * red and 0.1 * red < infrared < red


def test_chips_depend_on_step_and_seed_alone(chips: list[ChipFiles], recipe: Recipe) -> None:
    first, second = ChipSource(chips, recipe), ChipSource(chips, recipe)
    second.batch(0)
    for name in ("optical", "radar", "dem", "water", "known"):
        one, other = getattr(first.batch(3), name), getattr(second.batch(3), name)
        assert np.array_equal(one, other, equal_nan=True)
    assert not np.array_equal(first.batch(3).water, first.batch(4).water)


def test_chips_keep_labels_on_their_pixels(chips: list[ChipFiles], recipe: Recipe) -> None:
    """After flips and brightness changes, water is still where the shortwave infrared is darkest."""
    whole = replace(
        recipe, steps=1, batch=8, window=96, sets=recipe.sets[:1], augmentation=Augmentation(lacking=0)
    )
    batch = ChipSource(chips, whole).batch(0)
    water, land = ((batch.water == share) & (batch.known == 1) for share in (1, 0))
    infrared = batch.optical[:, 10]
    assert water.any()
    assert infrared[water].median() < 0.5 * infrared[land].median()
    assert torch.isfinite(batch.optical.permute(0, 2, 3, 1)[batch.known == 1]).all()


def test_every_set_of_sensors_has_its_steps_and_its_pixels(chips: list[ChipFiles], recipe: Recipe) -> None:
    source, found = ChipSource(chips, replace(recipe, steps=60, batch=2, window=96)), set()
    for step in range(60):
        batch = source.batch(step)
        found.add(batch.sensors)
        parts = {"S2L2A": batch.optical.numpy(), "S1": batch.radar.numpy(), "DEM": batch.dem.numpy()}
        for name, part in parts.items():
            if name not in batch.sensors:
                assert np.isnan(part).all()
            else:
                there = np.isfinite(part).any(axis=(2, 3))[:, :, None, None]
                assert np.isfinite(part).all(axis=1, where=there)[batch.known.numpy() == 1].all()
        assert batch.known.flatten(1).any(dim=1).all()
    assert found == {entry.sensors for entry in recipe.sets}


def test_every_window_drawn_for_its_water_has_some(chips: list[ChipFiles], recipe: Recipe) -> None:
    """Lakes are equally likely, so windows do not gather in the largest one."""
    drawing = replace(recipe, steps=1, batch=64, window=32, water_to_background=1e9, sets=recipe.sets[:1])
    batch = ChipSource(chips, drawing).batch(0)
    assert batch.water.shape == (64, 32, 32)
    wet = batch.water.flatten(1)
    assert (wet.max(dim=1).values > 0).float().mean() == 1
    assert (wet.mean(dim=1) < 0.9).float().mean() > 0.5, "most have a shore"


def test_the_rate_increases_and_decreases_to_0() -> None:
    recipe = Recipe(steps=100, warmup=10)
    rates = [recipe.rate_at(step) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == rates[9] == 1e-3
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[99] < 1e-6


def test_absent_sensors_change_the_network_s_answer_and_single_bands_may_be_lacking(
    chips: list[ChipFiles], recipe: Recipe
) -> None:
    """A sensor that is absent has no tokens, which is not the same as a sensor with mean values."""
    batch = ChipSource(chips, replace(recipe, sets=recipe.sets[:1])).batch(1)
    trainer = Trainer(recipe, statistics(chips), CPU)
    trainer.network.eval()
    without = replace(batch, sensors=("S2L2A",))
    filled = replace(batch, radar=batch.radar * np.nan, dem=batch.dem * np.nan)
    assert len({round(trainer.loss(one).item(), 6) for one in (batch, without, filled)}) == 3
    lacking = replace(recipe, augmentation=Augmentation(lacking=1.0), sets=recipe.sets[:1])
    counts = np.isnan(ChipSource(chips, lacking).batch(0).optical.numpy()).all(axis=(2, 3)).sum(axis=1)
    assert (counts >= 1).all() and (counts <= lacking.augmentation.most_lacking).all()


def real_chip(chip: Chip, name: str, place: str, split: Split = "train") -> Chip:
    """A chip of 100 px without radar and DEM."""
    here = (..., slice(0, 100), slice(0, 100))
    labels = np.full((100, 100), FULL, np.uint8)
    assert chip.optical is not None
    return replace(
        chip, name=name, place=place, origin="real", split=split, sensors=("S2L2A",), labels=labels,
        optical=np.nan_to_num(chip.optical[here], nan=100), radar=None, dem=None,
    )  # fmt: skip


def test_real_chips_join_the_steps_whose_sensors_they_have(
    chips: list[ChipFiles], recipe: Recipe, tmp_path: Path
) -> None:
    """Places are equally likely, however many chips they have; test chips are not drawn."""
    made = [real_chip(chips[0][0], f"many-{number}", "many") for number in range(9)]
    made += [real_chip(chips[0][0], "one", "one"), real_chip(chips[0][0], "kept", "kept", "test")]
    files = [*chips, write_chips(tmp_path / "real", made)]
    optics = SetShare(("S2L2A",), 1.0)
    both = replace(
        recipe, steps=20, batch=8, window=96, real=0.5, real_places=2, sets=(recipe.sets[0], optics)
    )
    source = ChipSource(files, both)
    small = [batch for batch in map(source.batch, range(20)) if batch.sensors == ("S2L2A",)]
    assert any((batch.known.sum(dim=(1, 2)) == 96**2).any() for batch in small)
    pool = source._pools[1]
    rng = np.random.default_rng(0)
    draws = [pool.draw(replace(both, real=np.nextafter(1.0, 0.0)), rng) for _ in range(400)]
    drawn = [made[row].place for file, row, _ in draws if file == 1]
    assert len(drawn) == 400 and "kept" not in drawn
    assert 140 < drawn.count("one") < 260
    assert all(file == 0 for file, *_ in (pool.draw(replace(both, real=0.0), rng) for _ in range(50)))
    few = replace(both, real_places=20)  # of which there are two
    assert 10 < sum(file == 1 for file, *_ in (pool.draw(few, rng) for _ in range(400))) < 35


def test_a_few_steps_lower_the_loss(chips: list[ChipFiles], recipe: Recipe) -> None:
    source, trainer = ChipSource(chips, recipe), Trainer(recipe, statistics(chips), CPU)
    batch = source.batch(0)
    before = trainer.loss(batch).item()
    for _ in range(recipe.steps):
        trainer.advance(batch)
    assert trainer.loss(batch).item() < 0.93 * before


def test_a_stopped_run_resumes_exactly(chips: list[ChipFiles], recipe: Recipe, tmp_path: Path) -> None:
    """Also when other processes draw its batches."""
    inputs, recipe = statistics(chips), replace(recipe, steps=4, window=64)
    whole = fit(chips, recipe, inputs, tmp_path / "whole", CPU)
    stopped = Trainer(recipe, inputs, CPU)
    source = ChipSource(chips, recipe)
    for step in range(2):
        stopped.advance(source.batch(step))
    (tmp_path / "stopped").mkdir()
    stopped.save(tmp_path / "stopped" / CHECKPOINT)
    resumed = fit(chips, recipe, inputs, tmp_path / "stopped", replace(CPU, readers=2))
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
    chips: list[ChipFiles], recipe: Recipe, tmp_path: Path
) -> None:
    trainer, path = Trainer(recipe, statistics(chips), CPU), tmp_path / CHECKPOINT
    torch.save({"network": Runs(tmp_path / "it ran")}, path)
    with pytest.raises(TrainingError, match=r"cannot be read as a checkpoint of weights and plain values"):
        trainer.resume(path)
    assert not (tmp_path / "it ran").exists()
    path.write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="delete it to start again"):
        trainer.resume(path)
    torch.save({"network": {}}, path)
    with pytest.raises(TrainingError, match=r"has no average, inputs, losses, optimiser"):
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
    chips: list[ChipFiles], recipe: Recipe, tmp_path: Path
) -> None:
    trainer = Trainer(recipe, statistics(chips), CPU)
    trainer.save(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match="another recipe"):
        fit(chips, replace(recipe, ema=0.9), trainer.inputs, tmp_path, CPU)


def test_statistics_ignore_missing_values(chips: list[ChipFiles], tmp_path: Path) -> None:
    chip = chips[0][0]
    optical, radar = (np.array(part) for part in (chip.optical, chip.radar))
    optical[:, :100], radar[:, :, :50] = np.nan, np.nan
    torn = statistics([write_chips(tmp_path / "torn", [replace(chip, optical=optical, radar=radar)])])
    assert np.isfinite([*torn.S2L2A.mean, *torn.S1.std, *torn.DEM.mean]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [("1-x", "neither"), ("9-8", "reversed"), ("1,1", "twice"), (f"5-{DEMO_SEED}", "demo")],
)
def test_invalid_seeds(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        parse_seeds(text)


def test_seeds() -> None:
    assert parse_seeds("101-103,110") == (101, 102, 103, 110)
