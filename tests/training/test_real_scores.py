"""Scores on real test chips: lines of the model beside the indices, chips without an answer, points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segmenter.baseline import IndexBaseline
from segmenter.manifest import OPTICAL_BANDS, read_manifest
from tests.support.spectra import GRASS, LAKE
from training.chip_files import Chip, ChipFiles, write_chips
from training.labels import FULL, IGNORED
from training.real.glacier_points import ACROSS, BLOCK, MIDDLE, blocks
from training.real_scores import complete, real_scores, score_chip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def index() -> IndexBaseline:
    """The index baseline as a model that needs all sensors."""
    manifest = read_manifest(ROOT / "models" / "index-baseline")
    return IndexBaseline(manifest.model_copy(update={"fewer": ()}))


def lake(name: str = "lake", size: int = 40) -> Chip:
    """Water in the left half, with all sensors."""
    optical = np.repeat(np.array(GRASS, np.float16), size * size).reshape(12, size, size)
    half = np.s_[:, : size // 2]
    optical[(slice(None), *half)] = np.array(LAKE, np.float16)[:, None, None]
    labels = np.zeros((size, size), np.uint8)
    labels[half] = FULL
    labels[:3] = IGNORED
    return Chip(
        name=name,
        place=f"place of {name}",
        origin="real",
        source="made up",
        licence="Apache-2.0",
        split="test",
        day=None,
        sensors=("S2L2A", "S1", "DEM"),
        optical=optical,
        radar=np.full((2, size, size), -20, np.float16),
        dem=np.full((size, size), 4000, np.float32),
        labels=labels,
        ground="lake",
    )


def test_a_model_keeps_its_lines_or_not(index: IndexBaseline, tmp_path: Path) -> None:
    wet = lake()
    mislabelled = replace(lake("frozen"), labels=np.zeros_like(wet.labels), ground="snow")
    rough = lake("rough")
    assert rough.radar is not None
    radar = rough.radar.copy()
    radar[:, :, :10] = 0  # the baseline loses half of the water that the indices see
    optical_only = replace(lake("optical"), sensors=("S2L2A",), radar=None, dem=None)
    trained = replace(lake("trained"), split="train")
    chips = [wet, mislabelled, replace(rough, radar=radar), optical_only, trained]
    found = real_scores(index, write_chips(tmp_path / "chips", chips))
    own = found["own_sensors"]
    assert [one["name"] for one in own["chips"]] == ["lake", "frozen", "rough", "optical"]
    assert own["iou"] == {"chips": 2, "passed": 1, "failed": ["rough"]}
    assert own["false_water"] == {"chips": 1, "passed": 0, "failed": ["frozen"]}
    assert own["no_answer"] == ["optical"]
    scores = {one["name"]: one for one in own["chips"]}
    assert (scores["lake"]["iou"], scores["lake"]["iou_ndwi"], scores["lake"]["passed"]) == (1, 1, True)
    assert (scores["lake"]["false"], scores["lake"]["known"]) == (0, pytest.approx(37 / 40))
    assert scores["rough"]["iou"] == pytest.approx(0.5)
    assert (scores["frozen"]["iou"], scores["frozen"]["false"]) == (None, 0.5)
    assert scores["optical"]["passed"] is None and scores["optical"]["iou"] is None
    assert scores["optical"]["iou_mndwi"] == 1, "the indices need no radar"
    assert [one["name"] for one in found["S2L2A"]["chips"]] == ["lake", "frozen", "rough"], "once each"
    assert found["S2L2A"]["no_answer"] == ["lake", "frozen", "rough", "optical"], "not validated for S2 alone"


def test_shares_are_of_pixels_with_an_answer(index: IndexBaseline) -> None:
    chip = lake()
    assert chip.dem is not None
    dem = chip.dem.copy()
    dem[20:] = np.nan
    result = score_chip(index, replace(chip, dem=dem), chip.sensors)
    assert result.answered == pytest.approx(17 / 37, abs=1e-3)
    assert result.mapped == 0.5
    assert result.iou == pytest.approx(17 / 37, abs=1e-3), "water without an answer is missed"


def test_missing_bands_are_interpolated_over_wavelength() -> None:
    full = np.arange(12, dtype=np.float32)[:, None, None] * np.full((1, 2, 2), 100, np.float32)
    same, none = complete(full)
    assert none == [] and np.array_equal(same, full)
    lacking = full.copy()
    lacking[[0, 5, 9]] = np.nan
    lacking[4, 0, 0] = np.nan  # a hole is no missing band
    found, names = complete(lacking)
    assert names == ["B01", "B06", "B09"]
    assert np.array_equal(found[0], full[1]), "constant beyond the first band"
    assert (found[5, 1] > full[4, 1]).all() and (found[5, 1] < full[6, 1]).all()
    assert (found[9] > full[8]).all() and (found[9] < full[8] + 0.2 * (full[10] - full[8])).all()
    assert np.isnan(found[4, 0, 0]) and np.isnan(found[5, 0, 0])
    assert np.isnan(complete(np.full((12, 2, 2), np.nan, np.float32))[0]).all()


def test_points_are_blocks_of_which_the_middle_counts(index: IndexBaseline, tmp_path: Path) -> None:
    spectra = np.array([GRASS, LAKE, GRASS], np.float32)
    optical, labels = blocks(spectra)
    assert optical.shape == (len(OPTICAL_BANDS), ACROSS * BLOCK, ACROSS * BLOCK)
    assert (labels == 0).sum() == 3 * MIDDLE**2
    assert np.array_equal(optical[:, 16, 32 + 16], np.array(LAKE, np.float16))
    assert labels[16, 32 + 16] == 0 and labels[0, 32] == IGNORED and labels[16, 3 * 32 + 16] == IGNORED
    size = labels.shape
    chip = replace(
        lake("three"),
        optical=optical,
        radar=np.full((2, *size), -20, np.float16),
        dem=np.zeros(size, np.float32),
        labels=labels,
        ground="points: rock",
    )
    water = replace(chip, name="water", labels=np.where(labels == 0, FULL, labels).astype(np.uint8))
    water = replace(water, ground="points: proglacial lake", optical=blocks(spectra[1:2].repeat(3, 0))[0])
    files: ChipFiles = write_chips(tmp_path / "chips", [chip, water])
    own = real_scores(index, files)["own_sensors"]
    expected = {"chips": 1, "mapped": pytest.approx(1 / 3, abs=1e-4)}
    assert own["points"]["rock"] == expected | {
        way: pytest.approx(1 / 3, abs=1e-4) for way in ("ndwi", "mndwi")
    }
    assert own["points"]["proglacial lake"]["mapped"] == 1
    assert own["iou"]["chips"] == own["false_water"]["chips"] == 0, "the lines are of images"
