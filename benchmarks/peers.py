"""Inputs and functions to compare dense prediction with terratorch's `tiled_inference`.

Both use the same scenes, windows, weights and network. The scenes are generated; the cost does not depend on
their content.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segmenter.manifest import Manifest
from segmenter.model import Model, _read_weights
from segmenter.network import S1_MODALITY, build_network
from segmenter.normalise import normalise, relief
from segmenter.protocol import TileArrays
from segmenter.windows import halo, profile, starts

Floats = NDArray[np.float32]
#: upper-left pixel of every scene, on the grid of windows
ROW, COL = 168 * 2000, 168 * 300


@dataclass(frozen=True, eq=False)
class Ground:
    """An array (bands, H, W) or (H, W) that repeats a square and is computed when it is sliced."""

    square: Floats
    shape: tuple[int, ...]

    def __getitem__(self, key: tuple[Any, ...]) -> Floats:
        rows, cols = (np.arange(*part.indices(n)) for part, n in zip(key[-2:], self.shape[-2:], strict=True))
        edge = self.square.shape[-1]
        bands = self.square[key[:-2]] if len(key) > 2 else self.square
        found: Floats = bands[..., (rows % edge)[:, None], (cols % edge)[None, :]]
        return found


def ground(rows: int, cols: int, edge: int = 500, field: int = 25) -> tuple[Ground, Ground, Ground]:
    """Reflectance, backscatter and elevation of (rows, cols) px: square fields, some of them like water."""
    rng = np.random.default_rng(1)
    water = rng.random((edge // field, edge // field)).repeat(field, 0).repeat(field, 1) < 0.3
    optical = rng.normal(2200, 250, (12, edge, edge))
    optical[:, water] *= np.array([1.0, 0.8, 0.6, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.1, 0.03, 0.02])[:, None]
    radar = np.array([-9.0, -16.0])[:, None, None] + rng.normal(0, 2, (2, edge, edge)) - 10 * water
    dem = 3300 + rng.normal(0, 0.5, (edge, edge)) * ~water
    parts = (part.astype(np.float32) for part in (optical, radar, dem))
    shapes = ((12, rows, cols), (2, rows, cols), (rows, cols))
    optical_ground, radar_ground, dem_ground = map(Ground, parts, shapes)
    return optical_ground, radar_ground, dem_ground


def scene(
    manifest: Manifest, rows: int, cols: int, wanted: NDArray[np.bool_] | None = None, *, lazy: bool = False
) -> TileArrays:
    """A scene with a core of (rows, cols) px, in memory unless `lazy`."""
    margin = halo(manifest)
    parts = ground(rows + 2 * margin, cols + 2 * margin)
    everything = (..., slice(None), slice(None))
    arrays: Sequence[Any] = parts if lazy else [part[everything] for part in parts]
    return TileArrays(*arrays, ROW - margin, COL - margin, margin, wanted)


def windows_of(manifest: Manifest, rows: int, cols: int) -> int:
    """Number of windows over a core of (rows, cols) px."""
    both = (starts(first, n, manifest.chip, manifest.stride) for first, n in ((ROW, rows), (COL, cols)))
    down, across = (len(found) for found in both)
    return down * across


def eager(folder: Path, manifest: Manifest) -> nn.Module:
    """terratorch's network with the model's weights."""
    assert manifest.architecture is not None
    network = build_network(manifest.architecture, manifest.inputs.S1.kind)
    network.load_state_dict(_read_weights(folder / "model.safetensors", manifest.digest))
    return network.eval()


def tiled(network: nn.Module, manifest: Manifest, scene: TileArrays, batch: int) -> Floats:
    """Probability of a scene's core by `tiled_inference`, with the same windows and weights.

    The input is the rectangle that the grid's windows over the core fill exactly, so that the same windows
    are computed; the blending weights are replaced by the Gaussian's.
    """
    from terratorch.tasks import tiled_inference as peer

    chip, stride, margin = manifest.chip, manifest.stride, scene.halo
    rows, cols = (
        starts(first + margin, n, chip, stride)
        for first, n in zip((scene.row, scene.col), scene.core, strict=True)
    )
    top, left = rows[0] - scene.row, cols[0] - scene.col
    here = (
        ...,
        slice(top, rows[-1] - scene.row + chip),
        slice(left, cols[-1] - scene.col + chip),
    )
    optical, radar, dem = (
        torch.from_numpy(np.ascontiguousarray(part[here])) for part in (scene.optical, scene.radar, scene.dem)
    )
    chips = normalise(optical[None], radar[None], dem[None, None], manifest.inputs)
    names = ("S2L2A", S1_MODALITY[manifest.inputs.S1.kind], "DEM")
    weight = torch.from_numpy(profile(chip, manifest.sigma))

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        # as segmenter.batches does with each window
        output: Tensor = network(inputs | {"DEM": relief(inputs["DEM"], manifest.inputs.DEM)}).output
        return output

    with mock.patch.object(peer, "get_blend_mask", lambda *_, **__: weight.outer(weight)):
        logits = peer.tiled_inference(
            forward,
            dict(zip(names, chips, strict=True)),
            crop=chip,
            stride=stride,
            delta=0,
            padding=False,
            batch_size=batch,
        )
    inside = logits[0, 0, margin - top :, margin - left :][: scene.core[0], : scene.core[1]]
    fitted = manifest.sets[0]
    return ((inside + fitted.shift) / fitted.temperature).sigmoid().numpy()


def bare(model: Model, count: int) -> float:
    """Seconds of `count` forward passes of normalised chips, with the number of threads of a prediction."""
    chip = model.manifest.chip
    chips = [torch.randn(model.batch, bands, chip, chip, device=model.device) for bands in (12, 2, 1)]
    groups = -(-count // model.batch)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(groups):
            model.logits(*chips)
        torch.cuda.synchronize()
        return time.perf_counter() - started
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            started = time.perf_counter()
            list(pool.map(lambda _: model.logits(*chips), range(groups)))
            return time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)


def timed(run: Callable[[], Any]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@contextmanager
def most_memory() -> Iterator[Callable[[], int]]:
    """Measure the greatest growth of the process's anonymous memory within the context, in bytes."""
    before, most, done = own_memory(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], own_memory() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        done.set()
        thread.join()


def own_memory() -> int:
    """Bytes of anonymous memory in use."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024
