"""The model, scenes and timer of `benchmarks.gpu`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.flops import LARGE, TINY
from segmenter.compiled import example
from segmenter.manifest import Manifest, read_manifest
from segmenter.model import Model, _network, load, save
from segmenter.network import build_network, last_convolution, logits
from segmenter.protocol import TileArrays

Figures = dict[str, Any]


@dataclass
class Bench:
    """A model with random weights in a folder, and its scenes."""

    manifest: Manifest
    device: torch.device
    folder: Path
    #: edges of the scenes for dense prediction, px; the first is the peer's too
    edges: tuple[int, int]
    figures: dict[str, Figures] = field(default_factory=dict)

    @cached_property
    def model(self) -> Model:
        """As a worker opens it; the first time, compiled."""
        started = time.perf_counter()
        model = load(self.folder, str(self.device))
        self.figures["load"] = {"seconds": time.perf_counter() - started, "batch": model.batch}
        return model

    @cached_property
    def network(self) -> nn.Module:
        """The network as terratorch builds it, in single precision."""
        return _network(self.folder, self.manifest).to(self.device)

    @cached_property
    def scenes(self) -> tuple[TileArrays, TileArrays]:
        small, large = (peers.scene(self.manifest, edge, edge) for edge in self.edges)
        return small, large

    def windows(self, edge: int) -> int:
        """Of a scene of this edge."""
        return peers.windows_of(self.manifest, edge, edge)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], Any], rounds: int = 3) -> list[float]:
        """Of each round of `run`, after one that does not count."""
        run()
        return [self._once(run) for _ in range(rounds)]

    def _once(self, run: Callable[[], Any]) -> float:
        self.wait()
        started = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - started


def bench_of(options: argparse.Namespace, folder: Path) -> Bench:
    device = torch.device(options.device)
    manifest = TINY if options.tiny else LARGE
    started = time.perf_counter()
    if not folder.exists():
        torch.manual_seed(0)
        with device:
            network = build_network(manifest.architecture, manifest.inputs.S1.kind)  # type: ignore[arg-type]
        _spread(network.eval(), example(manifest, device, 4))
        save(folder, network, manifest)
    manifest = read_manifest(folder)
    bench = Bench(manifest, device, folder, tuple(options.edges))
    bench.figures["machine"] = {
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "model": manifest.name,
        "model_written_s": time.perf_counter() - started,
    }
    print("machine", json.dumps(bench.figures["machine"]), flush=True)
    return bench


def _spread(network: nn.Module, chips: tuple[Tensor, ...]) -> None:
    """Make fresh weights, whose logits hardly differ, give logits with a standard deviation of 2 about 0."""
    last = last_convolution(network)
    with torch.no_grad():
        said = logits(network, "grd", *chips)
        assert last.bias is not None
        last.bias.sub_(said.mean()).mul_(2 / said.std())
        last.weight.mul_(2 / said.std())
