"""The calibration benchmark: it runs on a small archive, and refuses seasons used for training."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.calibration import SEEDS, drawn, measure, refuse_seen
from training.errors import TrainingError
from training.recipe import parse_seeds

pytestmark = pytest.mark.slow

INDEX = Path(__file__).parents[2] / "models" / "index-baseline"


def test_tables_of_one_small_archive(archive: Path, tmp_path: Path) -> None:
    """With the index baseline, which needs no network. The measurements are the same for all segmenters."""
    (tmp_path / "archives").symlink_to(archive.parent)
    result = measure([INDEX], archive.name.removeprefix("seed-"), tmp_path)
    console = Console(record=True, width=140)
    console.print(drawn(result))
    text = console.export_text()
    assert "Reliability of index-baseline" in text
    assert "95 % interval" in text
    assert result["scenes"] == 1
    assert sum(row["pixels"] for row in result["reliability"]["bins"]) > 100_000


def test_seasons_used_for_training_are_refused() -> None:
    training = {"train_seeds": [101], "validation_seeds": [201], "test_seeds": [401, 402]}
    with pytest.raises(TrainingError, match=r"\[401, 402\]"):
        refuse_seen(training, parse_seeds(SEEDS))
    refuse_seen(training, parse_seeds("403-408"))
    worlds = {"train": [{"seeds": [101], "relief": []}], "test": {"seeds": [401, 402], "relief": []}}
    with pytest.raises(TrainingError, match=r"\[401, 402\]"):
        refuse_seen(worlds, parse_seeds(SEEDS))
