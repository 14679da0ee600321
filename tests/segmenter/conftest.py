"""Fixtures of the segmenter's tests: a manifest, a synthetic stack, a real TerraMind-tiny with seeded
weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from segmenter.manifest import (
    DEM_BANDS,
    NO_WEIGHTS,
    OPTICAL_BANDS,
    RADAR_BANDS,
    Architecture,
    Elevation,
    Inputs,
    Manifest,
    Modality,
    Radar,
)
from segmenter.model import save
from segmenter.network import build_network, logits
from segmenter.normalise import normalise

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Stack:
    """A synthetic stack (bands, H, W), which can be cut like the read of a tile."""

    optical: Array
    radar: Array
    dem: Array

    def cut(self, rows: slice, cols: slice) -> tuple[Array, Array, Array]:
        return self.optical[:, rows, cols], self.radar[:, rows, cols], self.dem[rows, cols]

    def padded(self, margin: int) -> "Stack":
        """The same pixels with `margin` px of NaN on every side."""
        edge = ((margin, margin), (margin, margin))
        optical, radar, dem = (
            np.pad(layer, ((0, 0),) * (layer.ndim - 2) + edge, constant_values=np.nan)
            for layer in (self.optical, self.radar, self.dem)
        )
        return Stack(optical, radar, dem)


def make_stack(height: int, width: int, seed: int = 0) -> Stack:
    rng = np.random.default_rng(seed)
    return Stack(
        rng.uniform(0, 9000, (12, height, width)).astype(np.float32),
        rng.normal(-14, 5, (2, height, width)).astype(np.float32),
        rng.normal(4000, 700, (height, width)).astype(np.float32),
    )


def make_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "made-up",
        "version": "1",
        "license": "Apache-2.0",
        "architecture": Architecture(
            backbone="terramind_v1_tiny", indices=(2, 5, 8, 11), decoder_channels=64
        ),
        "inputs": Inputs(
            S2L2A=Modality(bands=OPTICAL_BANDS, clip=(0, 16000), mean=(2000.0,) * 12, std=(800.0,) * 12),
            S1=Radar(kind="rtc", bands=RADAR_BANDS, mean=(-10.9, -17.3), std=(4.4, 4.5)),
            DEM=Elevation(bands=DEM_BANDS, clip=(-500, 9000), mean=(4300.0,), std=(900.0,)),
        ),
        "chip": 224,
        "stride": 160,
        "sigma": 56,
        "digest": NO_WEIGHTS,
        "smallest_lake_m2": 3000,
    }
    return Manifest(**(fields | changes))


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread of torch. On a busy machine two threads block each other and are many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def stack_of() -> Callable[..., Stack]:
    return make_stack


@pytest.fixture(scope="session")
def manifest_of() -> Callable[..., Manifest]:
    return make_manifest


@pytest.fixture(scope="session")
def tiny() -> nn.Module:
    """The real network in its smallest size, with seeded random weights."""
    torch.manual_seed(7)
    manifest = make_manifest()
    network = build_network(manifest.architecture, manifest.inputs.S1.kind).eval()
    stack = make_stack(448, 448, seed=1)
    parts = (
        torch.from_numpy(part).unflatten(-1, (2, 224)).unflatten(-3, (2, 224))
        for part in (stack.optical, stack.radar, stack.dem[None])
    )
    chips = (part.permute(1, 3, 0, 2, 4).flatten(0, 1) for part in parts)
    with torch.no_grad():  # untrained, the probability is about 0.45 everywhere: tilings could hardly differ
        untrained = logits(network, "rtc", *normalise(*chips, manifest.inputs))
        last = network.head.head[2]
        last.bias.sub_(untrained.mean()).mul_(2 / untrained.std())
        last.weight.mul_(2 / untrained.std())
    return network


@pytest.fixture(scope="session")
def tiny_folder(tiny: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as a model folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(folder, tiny, make_manifest())
    return folder
