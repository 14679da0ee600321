"""Cost of a large model on a GPU: operations for 10,000 km2, their least time, and measured times on a GPU.

The weights are random, which does not affect the cost. `python -m benchmarks.segmenter --part gpu`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import peers
from segmenter import dense
from segmenter.manifest import (
    DEM_BANDS,
    NO_WEIGHTS,
    OPTICAL_BANDS,
    RADAR_BANDS,
    Architecture,
    Inputs,
    Manifest,
    Modality,
    Radar,
)
from segmenter.members import FLIPS
from segmenter.model import BATCH, Model, compile_network
from segmenter.network import Chips, build_network
from segmenter.protocol import TileArrays

AREA_KM2 = 10_000.0
#: dense bfloat16 operations per second of an H200, from its data sheet
H200_FLOPS = 989e12
CHIP, STRIDE = 224, 168


def manifest(backbone: str, indices: tuple[int, ...]) -> Manifest:
    """Manifest with the architecture of the published model; neighbouring windows overlap by a quarter."""
    return Manifest(
        name=f"{backbone} with random weights",
        version="0",
        license="none",
        architecture=Architecture.model_validate(
            {"backbone": backbone, "indices": indices, "decoder_channels": 256}
        ),
        inputs=Inputs(
            S2L2A=Modality(bands=OPTICAL_BANDS, mean=(2000.0,) * 12, std=(800.0,) * 12),
            S1=Radar(kind="grd", bands=RADAR_BANDS, mean=(-10.0, -17.0), std=(5.0, 5.0)),
            DEM=Modality(bands=DEM_BANDS, mean=(4300.0,), std=(900.0,)),
        ),
        stride=STRIDE,
        sigma=56,
        flips=True,
        digest=NO_WEIGHTS,
        smallest_lake_m2=5000,
    )


LARGE = manifest("terramind_v1_large", (5, 11, 17, 23))


def figures() -> dict[str, Any]:
    """Operations of a window and of `AREA_KM2`, and their least time; with a GPU, measured times."""
    network = Chips(build_network(LARGE.architecture, "grd"), LARGE).eval().to("meta")  # type: ignore[arg-type]
    chips = [torch.empty(1, bands, CHIP, CHIP, device="meta") for bands in (12, 2, 1)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*chips)
    window = counter.get_total_flops()
    windows = AREA_KM2 * 1e6 / (STRIDE * 10) ** 2
    total = window * windows * len(FLIPS)
    found = {
        "flop_a_chip": window,
        "chips": windows * len(FLIPS),
        "flop": total,
        "limit_s": total / H200_FLOPS,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    return found | (measured(window) if torch.cuda.is_available() else {})


def measured(window_flop: float) -> dict[str, Any]:
    """Times of dense prediction of a scene with TerraMind-L on this GPU, and of its parts."""
    device = torch.device("cuda")
    torch.manual_seed(0)
    network = Chips(build_network(LARGE.architecture, "grd"), LARGE).eval().to(device)  # type: ignore[arg-type]
    network = network.to(memory_format=torch.channels_last)
    found: dict[str, Any] = {}
    ground = peers.scene(LARGE, 2240, 2240)
    count = peers.windows_of(LARGE, 2240, 2240)
    for name, model in (
        ("eager", Model(LARGE, network, device, bf16=True, batch=BATCH)),
        ("compiled", compile_network(Model(LARGE, network, device, bf16=True, batch=BATCH))),
    ):
        dense.predict([model], ground)
        torch.cuda.reset_peak_memory_stats()
        seconds = peers.timed(lambda model=model: dense.predict([model], ground))
        chips = count * len(FLIPS)
        bare = peers.bare(model, chips)
        found[name] = {
            "dense_s": seconds,
            "bare_s": bare,
            "chips_a_second": chips / seconds,
            "mfu": chips * window_flop / seconds / H200_FLOPS,
            "seconds_for_10000_km2": seconds / count * AREA_KM2 * 1e6 / (STRIDE * 10) ** 2,
            "gpu_gib": torch.cuda.max_memory_allocated() / 2**30,
        }
    found["cutting_s"] = _cutting(ground, count)
    found["peer_s"] = _peer(network, ground)
    return found


def _cutting(ground: TileArrays, count: int) -> float:
    """Seconds of dense prediction without the network: cutting, copying and blending of zero logits."""

    def nothing(optical: Tensor, radar: Tensor, dem: Tensor) -> Tensor:
        return torch.zeros(len(dem), 1 + LARGE.passes, CHIP, CHIP, device=dem.device)

    model = Model(LARGE, nothing, torch.device("cuda"), bf16=True, batch=BATCH)
    return peers.timed(lambda: dense.predict([model], ground))


def _peer(network: Chips, ground: TileArrays) -> float:
    """Seconds of terratorch's tiled_inference in bfloat16, without flips, times the number of flips."""
    device = torch.device("cuda")

    class OnDevice(torch.nn.Module):
        def forward(self, inputs: dict[str, Tensor]) -> Any:
            with torch.autocast("cuda", torch.bfloat16):
                moved = [inputs[name].to(device) for name in ("S2L2A", "S1GRD", "DEM")]
                answer = network(*moved)[:, :1]
            return type("Output", (), {"output": answer.float()})

    model = OnDevice()
    peers.tiled(model, LARGE, ground, BATCH)
    return len(FLIPS) * peers.timed(lambda: peers.tiled(model, LARGE, ground, BATCH))


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of the table of `figures`."""
    shown = [
        ("TerraMind-L and UperNet-256, per chip", f"{figures['flop_a_chip'] / 1e9:.0f} GFLOP", ""),
        (f"{AREA_KM2:.0f} km2, 4 flips, overlap of a quarter", f"{figures['flop'] / 1e15:.2f} PFLOP", ""),
        ("least time on an H200 with dense bfloat16", f"{figures['limit_s']:.1f} s", ""),
    ]
    if figures["device"] is None:
        return [*shown, ("measured", "not measured: there is no CUDA device here", "<= 12 s")]
    for name in ("eager", "compiled"):
        part = figures[name]
        shown += [
            (f"{figures['device']}, {name}", f"{part['seconds_for_10000_km2']:.1f} s", "<= 12 s"),
            (f"{name}: MFU", f"{part['mfu']:.0%}", ""),
            (f"{name}: chips per second", f"{part['chips_a_second']:.0f}", ""),
            (f"{name}: dense / bare", f"{part['dense_s'] / part['bare_s']:.2f}", "<= 1.10"),
            (f"{name}: terratorch / dense", f"{figures['peer_s'] / part['dense_s']:.1f}", ">= 3"),
            (f"{name}: GPU memory", f"{part['gpu_gib']:.1f} GiB", ""),
        ]
    share = figures["cutting_s"] / figures["eager"]["dense_s"]
    return [*shown, ("without the network / dense, eager", f"{share:.0%}", "")]
