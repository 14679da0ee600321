"""The benchmark on real samples: reading, counting, and the report of an absent peer model."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from rich.console import Console

from benchmarks import real_samples
from benchmarks.real_samples import (
    MODEL,
    POOLED,
    SAMPLES,
    SPAIN,
    TERRAMESH,
    Counts,
    Sample,
    by_mndwi,
    by_ndwi,
    by_radar,
)
from segmenter.manifest import OPTICAL_BANDS


def made_up() -> Sample:
    """Water in the left third, unlabelled in the last column."""
    water = np.zeros((6, 6), bool)
    water[:, :2] = True
    optical = np.full((12, 6, 6), 2000, np.float32)
    optical[7:, water] = 300  # from B08 on
    optical[7:, 5, 3] = 300
    radar = np.where(water, -25, -12).astype(np.float32)[None].repeat(2, axis=0)
    labelled = np.ones((6, 6), bool)
    labelled[:, 5] = False
    return Sample("made up", optical, radar, np.zeros((6, 6), np.float32), water, labelled, 0, 0)


def test_only_labelled_pixels_are_counted() -> None:
    sample = made_up()
    for way in (by_ndwi, by_mndwi):
        assert real_samples._count(sample, way(sample)) == Counts(hit=12, false=1)
    assert real_samples._count(sample, by_radar(sample)) == Counts(hit=12)
    assert (Counts(12, 1, 0) + Counts(0, 0, 3)).scores() == {"iou": 0.75, "precision": 0.9231, "recall": 0.8}
    assert Counts().scores() == {"iou": None, "precision": None, "recall": None}


def test_an_absent_peer_is_not_measured() -> None:
    scores = {name: {"iou": 0.5, "precision": 1.0, "recall": None} for name in (SPAIN, *TERRAMESH, POOLED)}
    shares = dict.fromkeys((SPAIN, *TERRAMESH), 0.1)
    console = Console(width=220, record=True, quiet=False)
    console.print(real_samples.drawn({"water_share": shares, "scores": {"model": scores, "peer": None}}))
    printed = console.export_text()
    assert "not measured: pip install 'ukis-csmask[cpu]==0.2.1'" in printed
    assert "0.500 (1.000 / -) *" in printed
    found = importlib.util.find_spec("ukis_csmask") is not None
    assert (real_samples.by_csmask() is not None) == found


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no public samples in {SAMPLES}")
def test_samples_are_read_in_the_units_of_their_publishers() -> None:
    spain, *tiles = real_samples.samples(SAMPLES)
    assert spain.optical.shape == (12, 512, 512) and spain.l1c and not spain.labelled.all()
    # water is darker in the shortwave infrared than in the green, and without the offset of +1000
    green, short = (OPTICAL_BANDS.index(band) for band in ("B03", "B11"))
    assert np.median(spain.optical[short][spain.water]) < np.median(spain.optical[green][spain.water])
    assert [tile.name for tile in tiles] == list(TERRAMESH)
    assert all(np.nanmedian(tile.optical[1]) < 700 for tile in tiles)
    assert [bool(tile.water.any()) for tile in tiles] == [True, True, False]


@pytest.mark.skipif(not SAMPLES.exists() or not MODEL.exists(), reason="samples or model are missing")
def test_the_index_finds_most_of_a_real_flood() -> None:
    spain = next(real_samples.samples(SAMPLES))
    way = real_samples.of_folder(real_samples.INDEX)
    scores = real_samples._count(spain, way(spain)).scores()
    assert scores["iou"] is not None and scores["iou"] > 0.6
