"""Speed, memory and accuracy of the segmenter, compared with bounds and with terratorch.

    python -m benchmarks.segmenter [--part NAME ...] [--json out.json]

Parts: dense, region, memory, start, flops, samples, calibration; all of them without --part. Both sides of a
comparison are measured in one run on one machine; only the ratio of times is meaningful. The scenes are
generated, except that those of "samples" are real and those of "calibration" are simulated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# settings of OpenMP as in `monitor.compute.predictor`, before a model is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import flops, peers, real_samples
from segmenter import dense
from segmenter.manifest import MANIFEST_FILE, read_manifest
from segmenter.model import load
from segmenter.protocol import TileArrays

MODEL = Path(__file__).parents[1] / "models/terramind-tiny"
#: edges of scenes that windows fill exactly: 224 + 168 n
EDGE, LARGE = 2240, 8960
#: rounds of each comparison, with both sides in turn
ROUNDS = 3
Row = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=sorted(PARTS), dest="parts")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--edge", type=int, default=EDGE, help="edge of the scene of the part `dense`, px")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, result = Console(), {}
    for name in options.parts or PARTS:
        figures, rows = PARTS[name](options)
        result[name] = figures
        table = Table("", "figure", "bound", title=f"{name}: {platform.machine()}, {torch.get_num_threads()} "
                      "threads of a processor")  # fmt: skip
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2, default=str))


def dense_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Times of dense prediction, of its forward passes alone, and of terratorch, for the same windows."""
    with without_passes(options.model) as folder:
        manifest = read_manifest(folder)
        model, network = load(folder, "cpu"), peers.eager(folder, manifest)
    full = load(options.model, "cpu")
    ground = peers.scene(manifest, options.edge, options.edge)
    count = peers.windows_of(manifest, options.edge, options.edge)
    small = peers.scene(manifest, 500, 500)
    batches = {size: peers.timed(lambda size=size: peers.tiled(network, manifest, small, size))
               for size in (1, 4, 16)}  # fmt: skip
    batch = min(batches, key=lambda size: batches[size])
    dense_s, peer_s, bares, uncertain = [], [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        answer = dense.predict([model], ground).probability
        dense_s.append(time.perf_counter() - started)
        bares.append(peers.bare(model, count))
        started = time.perf_counter()
        other = peers.tiled(network, manifest, ground, batch)
        peer_s.append(time.perf_counter() - started)
        uncertain.append(peers.timed(lambda: dense.predict([full], ground)))
    difference = float(np.abs(answer - other).max())
    figures = {
        "windows": count,
        "dense_s": dense_s,
        "bare_s": bares,
        "peer_s": peer_s,
        "peer_batch": batch,
        "passes_s": uncertain,
        "difference": difference,
        "spread": float(answer.std()),
    }
    return figures, [
        ("windows", str(count), ""),
        ("dense / bare forward passes", ratio(dense_s, bares), "<= 1.10"),
        (f"terratorch (batch {batch}, its best) / dense", ratio(peer_s, dense_s), ">= 1.15"),
        ("largest difference of probability", f"{difference:.1e}", "<= 1e-3"),
        ("standard deviation of the probabilities compared", f"{answer.std():.2f}", ""),
        (f"with {full.manifest.passes} dropout passes / without", ratio(uncertain, dense_s), ""),
    ]


def region_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Times for a region with a glacier zone and clouds: of all windows, and of those with wanted pixels."""
    with without_passes(options.model) as folder:
        manifest = read_manifest(folder)
        model, network = load(folder, "cpu"), peers.eager(folder, manifest)
    rows, cols = 3024, 2688
    wanted = glacier_zone(rows, cols)
    cloud = np.random.default_rng(5).random((7, 7)).repeat(432, 0).repeat(432, 1)[:rows, :cols] < 0.15
    ground = peers.scene(manifest, rows, cols)
    inner = (..., slice(ground.halo, -ground.halo), slice(ground.halo, -ground.halo))
    ground.optical[inner][:, cloud] = np.nan
    scene = TileArrays(ground.optical, ground.radar, ground.dem, ground.row, ground.col, ground.halo, wanted)
    region_s, tiles_s, peer_s = [], [], []
    for _ in range(2):
        region_s.append(peers.timed(lambda: dense.predict([model], scene)))
        tiles_s.append(peers.timed(lambda: [dense.predict([model], part) for part in cut(scene, 1024)]))
        peer_s.append(peers.timed(lambda: peers.tiled(network, manifest, ground, 4)))
    share = float((wanted & ~cloud).mean())
    figures = {"answered_share": share, "region_s": region_s, "tiles_s": tiles_s, "peer_s": peer_s}
    return figures, [
        ("clear share of the region within the zone", f"{share:.0%}", ""),
        ("terratorch, whole region / dense, in one sweep", ratio(peer_s, region_s), ">= 2"),
        ("terratorch, whole region / dense, in tiles of 1024 px as in a season", ratio(peer_s, tiles_s), ""),
    ]


def glacier_zone(rows: int, cols: int) -> np.ndarray:
    """Mask (rows, cols) of a zone within 5 km of generated glaciers."""
    from scipy import ndimage

    rng = np.random.default_rng(8)
    ice = np.zeros((rows // 8, cols // 8), bool)
    for _ in range(6):
        row, col = rng.integers(0, ice.shape[0] // 2), rng.integers(0, ice.shape[1])
        ice[row : row + 40, col : col + 4] = True
    return np.asarray(ndimage.distance_transform_edt(~ice) * 80 <= 5000).repeat(8, 0).repeat(8, 1)


def cut(whole: TileArrays, size: int) -> Iterator[TileArrays]:
    """The tiles of a scene with wanted pixels."""
    assert whole.wanted is not None
    for top in range(0, whole.core[0], size):
        for left in range(0, whole.core[1], size):
            wanted = whole.wanted[top : top + size, left : left + size]
            if not wanted.any():
                continue
            (rows, cols), margin = wanted.shape, 2 * whole.halo
            here = (..., slice(top, top + rows + margin), slice(left, left + cols + margin))
            parts = (whole.optical[here], whole.radar[here], whole.dem[here])
            yield TileArrays(*parts, whole.row + top, whole.col + left, whole.halo, wanted)


def memory_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Peak memory in addition to the loaded model and the scene, each side in a separate process."""
    mib = {
        name: run(_MEMORY, str(options.model), name, str(edge)) / 2**20
        for name, edge in (("peer", EDGE), ("dense", EDGE), ("lazy", EDGE), ("lazy-large", LARGE))
    }
    rows = [
        (f"terratorch, {EDGE} px", f"{mib['peer']:.0f} MiB", ""),
        (f"dense, {EDGE} px", f"{mib['dense']:.0f} MiB", ""),
        ("dense / terratorch", f"{mib['dense'] / mib['peer']:.2f}", "<= 0.25"),
        (f"scene not in memory: {LARGE} px / {EDGE} px", f"{mib['lazy-large'] / mib['lazy']:.2f}", "<= 1.1"),
    ]
    return mib, rows


_MEMORY = """
import sys
from pathlib import Path
from benchmarks import peers
from benchmarks.segmenter import without_passes
from segmenter import dense
from segmenter.manifest import read_manifest
from segmenter.model import load
model, name, edge = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with without_passes(model) as folder:
    manifest = read_manifest(folder)
    loaded = peers.eager(folder, manifest) if name == "peer" else load(folder, "cpu")
small = peers.scene(manifest, 168, 168)
run = (lambda scene: peers.tiled(loaded, manifest, scene, 16)) if name == "peer" else (
    lambda scene: [patch.rows for patch in dense.patches([loaded], [scene])])
run(small)
scene = peers.scene(manifest, edge, edge, lazy=name.startswith("lazy"))
with peers.most_memory() as most:
    run(scene)
print(most())
"""


def start_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Seconds from the start of a process until it is ready to predict."""
    load(options.model, "cpu")
    ready_s, import_s = [], []
    for _ in range(ROUNDS):
        ready_s.append(run(_START, str(options.model)))
        import_s.append(run(_TERRATORCH))
    return {"ready_s": ready_s, "terratorch_import_s": import_s}, [
        ("ready to predict (median)", f"{statistics.median(ready_s):.1f} s", "<= 5 s"),
        ("import of terratorch alone (median)", f"{statistics.median(import_s):.1f} s", ""),
    ]


_SINCE = """
import os, time
ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
print(time.clock_gettime(time.CLOCK_BOOTTIME) - ticks)
"""
_START = (
    "import sys\nfrom segmenter.opening import open_segmenter\nopen_segmenter(sys.argv[1:2], 'cpu')" + _SINCE
)
_TERRATORCH = (
    "from segmenter.vision_ops import name_missing_vision_ops\nname_missing_vision_ops()\nimport os\n"
    "os.environ['LIGHTLY_DID_VERSION_CHECK'] = 'True'\nimport terratorch.models" + _SINCE
)


def flops_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """TerraMind-L with flips on a GPU: the number of operations and their least time."""
    figures = flops.figures()
    return figures, flops.rows(figures)


def samples_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """IoU on the real samples, printed by `benchmarks.real_samples`."""
    return _own_table(real_samples.table)


def calibration_part(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Reliability and coverage, printed by `benchmarks.calibration`."""
    from benchmarks import calibration

    return _own_table(calibration.table)


def _own_table(table: Callable[[], Any]) -> tuple[dict[str, Any], list[Row]]:
    found = table()
    Console().print(found)
    return {}, [("see the table above", "", "")]


PARTS: dict[str, Callable[[argparse.Namespace], tuple[dict[str, Any], list[Row]]]] = {
    "dense": dense_part,
    "region": region_part,
    "memory": memory_part,
    "start": start_part,
    "flops": flops_part,
    "samples": samples_part,
    "calibration": calibration_part,
}


@contextmanager
def without_passes(model: Path) -> Iterator[Path]:
    """A copy of the model without dropout passes and flips, which terratorch does not have."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(model, Path(name) / "model"))
        path = folder / MANIFEST_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {"passes": 0, "flips": False}))
        yield folder


def run(code: str, *arguments: str) -> float:
    """Run code in a new process and return the last number of its output."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def ratio(one: list[float], other: list[float]) -> str:
    """Median of the ratios of all rounds, with the least and the greatest."""
    ratios = sorted(a / b for a, b in zip(one, other, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
