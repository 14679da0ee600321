"""A cheap network for tests of dense prediction, clouds, and manifests with sets of sensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, SensorSet, digest_of
from segmenter.sensors import sensors_of
from segmenter.strips import BANDS


@dataclass
class Convolution:
    """One fixed 5 x 5 convolution of all bands, zero-padded at the chip's edge, plus a slope across the chip,
    so that the logit of a pixel depends on its position in the window. An absent sensor contributes nothing,
    and shifts all logits, so that sets of sensors have different answers even where values are missing.
    """

    manifest: Manifest
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    batch: int = 8
    #: maximum number of chips per pass before memory runs out
    memory: int = 1000
    #: factor of the inputs
    gain: float = 1.0
    #: code of the sensors and number of chips of each pass
    passes: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.convolution = torch.nn.Conv2d(15, 1, 5, padding=2)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.randn(1, 15, 5, 5, generator=generator) * 0.05)
            assert self.convolution.bias is not None
            self.convolution.bias.zero_()
        self.slope = torch.linspace(-1, 1, self.manifest.chip).outer(torch.linspace(1, 2, self.manifest.chip))

    @property
    def batches(self) -> list[int]:
        """Number of chips of each pass."""
        return [size for _, size in self.passes]

    def logits(self, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None) -> Tensor:
        given = (optical, radar, dem)
        some = next(part for part in given if part is not None)
        if len(some) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        code = sum(1 << bit for bit, part in enumerate(given) if part is not None)
        self.passes.append((code, len(some)))
        parts = [
            some.new_zeros(len(some), bands, *some.shape[2:]) if part is None else part
            for part, bands in zip(given, BANDS, strict=True)
        ]
        chips = torch.cat(parts, 1)
        gains = [self.gain * (1 + 0.2 * number) for number in range(1 + self.manifest.passes)]
        planes = [self.convolution(chips * gain) for gain in gains]
        return torch.cat(planes, 1) + self.slope + 0.3 * (7 - code)


def fewer(*codes: int, **changes: Any) -> tuple[SensorSet, ...]:
    """Sets with these codes, each with a calibration of its own."""
    fields = {"threshold": 0.4, "area_factor": 1.5, **changes}
    return tuple(
        SensorSet(**{"sensors": sensors_of(code), "temperature": 1 + code / 4, "shift": code / 10, **fields})
        for code in codes
    )


def blot(layers: list[NDArray[np.float32]], rng: np.random.Generator, share: float) -> None:
    """Set blocks of NaN in each of the layers (H, W), like clouds and layover."""
    for layer in layers:
        height, width = layer.shape
        while rng.random() < share:
            top, left = rng.integers(height), rng.integers(width)
            layer[top : top + rng.integers(1, 60), left : left + rng.integers(1, 60)] = np.nan


def folder_of(path: Path, manifest: Manifest) -> Path:
    """A new folder with this manifest, whose digest is that of a file that holds the name of the folder."""
    path.mkdir()
    (path / WEIGHTS_FILE).write_bytes(path.name.encode())
    written = manifest.model_copy(update={"digest": digest_of(path / WEIGHTS_FILE)})
    (path / MANIFEST_FILE).write_text(written.model_dump_json())
    return path
