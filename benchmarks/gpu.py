"""Dense prediction on one GPU: ceilings, speed, peer, memory, exactness, start.

    python -m benchmarks.gpu [--part NAME ...] [--tiny] [--device cpu] [--json out.json]

Parts, in this order: ceiling, host, load, bare, dense, exact, peer, memory, layers, profile, start,
gated, variants. Without --part all of them run, until --seconds have passed. Weights are random: the
arithmetic costs the same. It needs torch and terratorch, and of the rest only what terratorch's models
import. With `--device cpu --tiny` it runs anywhere, to try the script itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# what is compared in single precision is single precision; read when the GPU is first used
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.flops import AREA_KM2, CHIP, STRIDE, flop_of_chip
from benchmarks.gpu_bench import Bench, Figures, bench_of
from benchmarks.gpu_forms import gated, layers, variants
from segmenter import dense, products
from segmenter.compiled import Half, example
from segmenter.lanes import lane
from segmenter.members import FLIPS
from segmenter.model import Model
from segmenter.protocol import TileArrays
from segmenter.strips import Grid, Reader


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=list(PARTS), dest="parts")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the smallest network in place of the largest")
    parser.add_argument("--edges", type=int, nargs=2, default=(2240, 4592), help="of the scenes, px")
    parser.add_argument("--folder", type=Path, help="keep the model there; one that is there is used")
    parser.add_argument("--seconds", type=float, default=270, help="begin no part after them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(message)s")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as kept:
        bench = bench_of(options, options.folder or Path(kept) / "model")
        for name in options.parts or PARTS:
            if time.perf_counter() - started > options.seconds:
                bench.figures[name] = {"not measured": "no time left"}
                continue
            began = time.perf_counter()
            try:
                found = PARTS[name](bench)
            except Exception as error:
                traceback.print_exc()
                found = {"not measured": f"{type(error).__name__}: {error}"}
            took = time.perf_counter() - began
            bench.figures[name] = bench.figures.get(name, {}) | found | {"part_s": round(took, 1)}
            print(name, json.dumps(bench.figures[name], default=str), flush=True)
            if options.json:  # after every part: what was measured stays, whatever ends the rest
                options.json.write_text(json.dumps(bench.figures, indent=2, default=str))


def ceiling(bench: Bench) -> Figures:
    """The most that products, copies on the device and copies to it reach here."""
    size, numbers = (8192, 2**30) if bench.device.type == "cuda" else (512, 2**22)
    found: Figures = {}
    for dtype in (torch.float16, torch.bfloat16):
        one, other = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
        seconds = min(bench.seconds(lambda one=one, other=other: [one @ other for _ in range(10)])) / 10  # type: ignore[misc]
        found[f"product_{dtype}_tflops".replace("torch.", "")] = 2 * size**3 / seconds / 1e12
    source = torch.empty(numbers, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    found["copy_gb_s"] = 2 * numbers / min(bench.seconds(lambda: target.copy_(source))) / 1e9
    if bench.device.type == "cuda":
        pinned = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
        run = lambda: target[: 2**28].copy_(pinned, non_blocking=True)  # noqa: E731
        found["pinned_to_gpu_gb_s"] = 2**28 / min(bench.seconds(run)) / 1e9
    return found


def loading(bench: Bench) -> Figures:
    """The first opening on this machine: build, rewrite, compile, keep."""
    model = bench.model
    programs = {path.name: path.stat().st_size / 2**20 for path in bench.folder.glob("program*")}
    return {"programs_mib": programs, "forward": type(model.forward).__name__}


def bare(bench: Bench) -> Figures:
    """Forward passes alone."""
    model, flop = bench.model, flop_of_chip(bench.manifest)
    chips = example(bench.manifest, bench.device, model.batch)
    repeats = 20 if bench.device.type == "cuda" else 1
    with torch.inference_mode():
        rounds = bench.seconds(lambda: [model.forward(*chips) for _ in range(repeats)], 5)
    seconds = statistics.median(rounds) / repeats
    return {
        "batch": model.batch,
        "batch_ms": [1000 * each / repeats for each in rounds],
        "chips_s": model.batch / seconds,
        "tflops": flop * model.batch / seconds / 1e12,
        "gflop_per_chip": flop / 1e9,
        "s_per_10000_km2": _area(seconds / model.batch * len(FLIPS)),
    }


def _area(seconds_per_window: float) -> float:
    """Seconds for the area."""
    return seconds_per_window * AREA_KM2 * 1e6 / (STRIDE * 10) ** 2


def dense_part(bench: Bench) -> Figures:
    """Dense prediction with four flips, and the forward passes within it."""
    found: Figures = {}
    for edge, ground in zip(bench.edges, bench.scenes, strict=True):
        count = bench.windows(edge)
        runs = bench.seconds(lambda ground=ground: dense.predict([bench.model], ground), 2)  # type: ignore[misc]
        alone = peers.bare(bench.model, count * len(FLIPS))
        found[str(edge)] = {
            "windows": count,
            "dense_s": runs,
            "bare_s": alone,
            "dense_over_bare": min(runs) / alone,
            "chips_s": count * len(FLIPS) / min(runs),
            "s_per_10000_km2": _area(min(runs) / count),
        }
    return found


def host(bench: Bench) -> Figures:
    """All but the network: with one that answers zeros at once."""
    model = _without_network(bench, 64 if bench.device.type == "cuda" else 1)
    count, ground = bench.windows(bench.edges[1]), bench.scenes[1]
    dense.predict([model], ground)
    reading = min(bench.seconds(lambda: _read(model, ground), 2))
    started, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
    dense.predict([model], ground)
    bench.wait()
    return {
        "windows": count,
        "ms_per_window": 1000 * (time.perf_counter() - started) / count,
        "calling_thread_ms_per_window": 1000 * (time.thread_time() - thread) / count,
        "processor_ms_per_window": 1000 * (time.process_time() - process) / count,
        "strips_alone_ms_per_window": 1000 * reading / count,
    }


def _without_network(bench: Bench, batch: int) -> Model:
    """A model whose network answers zeros."""

    def zeros(optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        return torch.zeros(len(dem), 1 + bench.manifest.passes, CHIP, CHIP, device=dem.device)

    return Model(bench.manifest, zeros, bench.device, batch)


def _read(model: Model, ground: TileArrays) -> None:
    """Every strip of a scene, and nothing else."""
    grid = Grid(ground, model.manifest.chip, model.manifest.stride)
    with lane([model]) as on:
        reader = Reader(on, grid, [model.manifest])
        for block in grid.blocks():
            reader.read(block)


def exact(bench: Bench) -> Figures:
    """Logits and dense answers against the network as terratorch builds it, in single precision."""
    chips = tuple(chip[:8] for chip in example(bench.manifest, bench.device, 8))
    with torch.inference_mode():
        expected = bench.network(*chips)
        errors = {"program": _error(bench.model.logits(*chips), expected)}
        for dtype in (torch.float16, torch.bfloat16):
            half = Half(products.as_products(copy.deepcopy(bench.network)), dtype)
            errors[str(dtype)] = _error(half(*chips), expected)
    ground = peers.scene(bench.manifest, 400, 400)
    plain = Model(bench.manifest, bench.network, bench.device, 8 if bench.device.type == "cuda" else 1)
    one, other = (dense.predict([model], ground) for model in (bench.model, plain))
    again = dense.predict([bench.model], ground)
    return {
        "relative_l2_of_logits": errors,
        "largest_difference_of_probability": float(np.abs(one.probability - other.probability).max()),
        "largest_difference_of_uncertainty": float(np.abs(one.uncertainty - other.uncertainty).max()),
        "spread_of_probability": float(other.probability.std()),
        "two_runs_differ": float(np.abs(one.probability - again.probability).max()),
        "processor_and_device_differ": _lanes(bench, ground),
    }


def _lanes(bench: Bench, ground: TileArrays) -> float:
    """Largest difference of an answer here and on a processor, of a network that is exact on both."""

    def mix(optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        bands = [optical[:, :1], radar[:, 1:], dem]
        return torch.cat(
            [bands[number % 3] * (1 + number % 4) for number in range(1 + bench.manifest.passes)], 1
        )

    models = [Model(bench.manifest, mix, torch.device(name), 8) for name in ("cpu", str(bench.device))]
    one, other = (dense.predict([model], ground) for model in models)
    differences = one.probability - other.probability, one.uncertainty - other.uncertainty
    return max(float(np.abs(part).max()) for part in differences)


def _error(found: Tensor, expected: Tensor) -> float:
    """Relative, in L2."""
    return float((found - expected).norm() / expected.norm())


def peer(bench: Bench) -> Figures:
    """terratorch's tiled inference with its own network under bfloat16, without flips, times the four."""
    ground, edge = bench.scenes[0], bench.edges[0]
    names = ("S2L2A", "S1GRD", "DEM")

    class OnDevice(nn.Module):
        def forward(self, inputs: dict[str, Tensor]) -> Any:
            with torch.inference_mode(), torch.autocast(bench.device.type, torch.bfloat16):
                answer = bench.network(*(inputs[name].to(bench.device) for name in names))[:, :1]
            return type("Output", (), {"output": answer.float()})

    found: Figures = {"windows": bench.windows(edge), "flips_s": {}}
    for batch in (16, 64):
        runs = bench.seconds(lambda batch=batch: peers.tiled(OnDevice(), bench.manifest, ground, batch), 1)  # type: ignore[misc]
        found["flips_s"][batch] = len(FLIPS) * min(runs)
    ours = bench.seconds(lambda: dense.predict([bench.model], ground), 2)
    found |= {"dense_s": ours, "peer_over_dense": min(found["flips_s"].values()) / min(ours)}
    return found


def memory(bench: Bench) -> Figures:
    """Most memory of the GPU and growth of the process's, for scenes that are not in memory."""
    found: Figures = {}
    for edge in bench.edges:
        ground = peers.scene(bench.manifest, edge, edge, lazy=True)
        if bench.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        model = _without_network(bench, bench.model.batch)
        with peers.most_memory() as most:
            rows = sum(1 for _ in dense.patches([model], [ground]))
        peak = torch.cuda.max_memory_allocated() if bench.device.type == "cuda" else 0
        found[str(edge)] = {"patches": rows, "gpu_mib": peak / 2**20, "host_mib": most() / 2**20}
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        dense.predict([bench.model], bench.scenes[0])
        found["with_network_reserved_gib"] = torch.cuda.memory_reserved() / 2**30
        free, total = torch.cuda.mem_get_info()
        found["used_on_device_gib"] = (total - free) / 2**30
    return found


def profile(bench: Bench) -> Figures:
    """Where the time of a forward pass goes, by kernel."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    chips = example(bench.manifest, bench.device, bench.model.batch)
    kind = ProfilerActivity.CUDA if bench.device.type == "cuda" else ProfilerActivity.CPU
    with torch.inference_mode(), profiled(activities=[kind]) as seen:
        for _ in range(3):
            bench.model.forward(*chips)
        bench.wait()
    times = sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:32]
    return {event.key[:110]: [event.count // 3, event.self_device_time_total / 3000] for event in times}


_START = """
import sys, time
began = time.time()
import numpy as np
from segmenter.model import load
from segmenter.protocol import TileArrays
from segmenter.strips import Grid, Reader
imported = time.time()
model = load(sys.argv[1], sys.argv[2])
opened = time.time()
edge = 224 + 2 * 224
shapes = (12, edge, edge), (2, edge, edge), (edge, edge)
optical, radar, dem = (np.ones(shape, np.float32) for shape in shapes)
model.predict(optical, radar, dem, row=0, col=0, halo=224)
answered = time.time()
print(imported - began, opened - imported, answered - opened, answered)
"""


def start(bench: Bench) -> Figures:
    """A second process on this machine: from its start to its first answer."""
    assert bench.model
    began, wall = time.perf_counter(), time.time()
    done = subprocess.run(
        [sys.executable, "-c", _START, str(bench.folder), str(bench.device)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode:
        return {"not measured": done.stderr[-2000:]}
    imports, opening, first, answered = map(float, done.stdout.split()[-4:])
    return {
        "until_first_answer_s": answered - wall,
        "imports_s": imports,
        "opening_s": opening,
        "first_answer_s": first,
        "until_ended_s": took,
    }


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "ceiling": ceiling,
    "host": host,
    "load": loading,
    "bare": bare,
    "dense": dense_part,
    "exact": exact,
    "peer": peer,
    "memory": memory,
    "layers": layers,
    "profile": profile,
    "start": start,
    "gated": gated,
    "variants": variants,
}


if __name__ == "__main__":
    main()
