"""Chips in Parquet files: written whole or not at all, read back one at a time, by other libraries too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest

from training import chip_files
from training.chip_files import Chip, ChipFiles, write_chips
from training.errors import TrainingError
from training.labels import FULL, IGNORED


def chip(name: str, size: tuple[int, int] = (5, 7), seed: int = 0) -> Chip:
    rng = np.random.default_rng(seed)
    optical = rng.uniform(0, 9000, (12, *size)).astype(np.float16)
    optical[3, 0, 0] = np.nan
    labels = rng.choice(np.array([0, FULL // 2, FULL, IGNORED], np.uint8), size)
    return Chip(
        name=name,
        place=f"place of {name}",
        origin="real",
        source="a source",
        licence="MIT",
        split="train",
        day=date(2022, 8, 12),
        sensors=("S2L2A", "S1", "DEM"),
        optical=optical,
        radar=rng.uniform(-30, 0, (2, *size)).astype(np.float16),
        dem=rng.uniform(0, 8000, size).astype(np.float32),
        labels=labels,
        epsg=32645,
        left=500000.0,
        top=3100000.0,
        pixel=10.0,
        ground="lake",
    )


def same(one: Chip, other: Chip) -> bool:
    values = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(Chip))
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and a.dtype == b.dtype
        if isinstance(a, np.ndarray)
        else a == b
        for a, b in values
    )


def test_chips_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip_files, "SHARD", 2)
    optical_only = replace(
        chip("bare", seed=4),
        sensors=("S2L2A",),
        radar=None,
        dem=None,
        day=None,
        epsg=None,
        left=None,
        top=None,
    )
    radar_only = replace(chip("dark", seed=5), sensors=("S1", "DEM"), optical=None, split="test", pixel=None)
    chips = [chip("a"), chip("b", (64, 3), 2), optical_only, radar_only, chip("e", (1, 1), 3)]
    files = write_chips(tmp_path / "chips", iter(chips))
    assert [path.name for path in sorted((tmp_path / "chips").iterdir())] == [
        f"chips-0000{shard}.parquet" for shard in range(3)
    ]
    assert len(files) == len(chips)
    assert all(same(files[index], one) for index, one in enumerate(chips))
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match="of 5"):
            files[wrong]


def test_the_table_has_the_facts_without_the_arrays(tmp_path: Path) -> None:
    one = chip("a", (9, 4))
    table = write_chips(tmp_path / "chips", [one, replace(chip("b"), split="test")]).table
    assert list(table["split"]) == ["train", "test"]
    assert (table["height"][0], table["width"][0]) == (9, 4)
    assert table["known_pixels"][0] == (one.labels != IGNORED).sum()
    assert table["water_pixels"][0] == np.isin(one.labels, (FULL // 2, FULL)).sum()
    assert "optical" not in table.columns and "labels" not in table.columns


def test_pandas_and_arrow_read_the_files(tmp_path: Path) -> None:
    one = chip("a")
    write_chips(tmp_path / "chips", [one, chip("b", seed=1)])
    row = pd.read_parquet(tmp_path / "chips").iloc[0]
    labels = np.frombuffer(row["labels"], np.uint8).reshape(row["height"], row["width"])
    assert np.array_equal(labels, one.labels)
    data = pyarrow.dataset.dataset(tmp_path / "chips")
    assert data.to_table(["name"], filter=pyarrow.dataset.field("split") == "train").num_rows == 2
    assert b'"B8A"' in data.schema.metadata[b"bands"]


def test_a_stopped_write_leaves_the_former_chips(tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    write_chips(folder, [chip("old")])

    def stopped() -> Iterator[Chip]:
        yield chip("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chips(folder, stopped())
    assert list(ChipFiles(folder).table["name"]) == ["old"]
    assert list(write_chips(folder, [chip("new"), chip("newer")]).table["name"]) == ["new", "newer"]


def test_what_is_wrong_is_refused_by_name(tmp_path: Path) -> None:
    one = chip("a")
    with pytest.raises(TrainingError, match="two chips have this name"):
        write_chips(tmp_path / "chips", [one, one])
    with pytest.raises(TrainingError, match="in two splits"):
        write_chips(tmp_path / "chips", [one, replace(chip("b"), place=one.place, split="test")])
    with pytest.raises(TrainingError, match="no chips"):
        write_chips(tmp_path / "chips", [])
    assert not (tmp_path / "chips").exists()
    with pytest.raises(TrainingError, match="no files of chips"):
        ChipFiles(tmp_path / "chips")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(TrainingError, match="no folder of chips"):
        write_chips(tmp_path / "work", [one])
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"
    with pytest.raises(TrainingError, match="radar and S1"):
        replace(one, radar=None)
    with pytest.raises(TrainingError, match=r"dem must be \(5, 7\)"):
        replace(one, dem=np.zeros((7, 5), np.float32))


def test_threads_read_one_folder_and_a_chip_takes_milliseconds(tmp_path: Path) -> None:
    chips = [chip(str(number), (256, 256), number) for number in range(8)]
    files = write_chips(tmp_path / "chips", chips)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda index: same(files[index % 8], chips[index % 8]), range(64)))
    spent = []
    for number in range(8):
        begun = time.perf_counter()
        files[number]
        spent.append(time.perf_counter() - begun)
    assert min(spent) < 0.1
