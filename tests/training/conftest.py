"""One small simulated archive and its stacks, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from training.archives import make_archives
from training.chip_files import ChipFiles, write_chips
from training.recipe import Recipe
from training.scenes import LabelledStack, chips_of, prepare


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated square of 5 km in one season."""
    folder = tmp_path_factory.mktemp("archives")
    return make_archives(folder, [901], size=512, seasons="2021-2021", processes=1)[0]


@pytest.fixture(scope="session")
def scenes(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[LabelledStack]:
    """Its stacks, read by the acquisition step."""
    return prepare(archive, tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def chips(scenes: list[LabelledStack], tmp_path_factory: pytest.TempPathFactory) -> list[ChipFiles]:
    """Chip files of these stacks."""
    folder = tmp_path_factory.mktemp("chips") / "seed-901"
    return [write_chips(folder, (chip for scene in scenes for chip in chips_of(scene, "train")))]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread of torch. Steps this small are slower on two threads, more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe() -> Recipe:
    """A fit of a few steps on small chips."""
    return Recipe(steps=10, batch=2, window=96, warmup=1)
