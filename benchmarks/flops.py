"""What a large model costs on a GPU: the arithmetic of 10,000 km2, and the least time it takes.

`python -m benchmarks.segmenter --part flops`; `python -m benchmarks.gpu` measures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

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
from segmenter.members import FLIPS
from segmenter.network import Chips, build_network

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
            DEM=Elevation(bands=DEM_BANDS, mean=(4300.0,), std=(900.0,)),
        ),
        stride=STRIDE,
        sigma=56,
        flips=True,
        digest=NO_WEIGHTS,
        smallest_lake_m2=5000,
    )


LARGE = manifest("terramind_v1_large", (5, 11, 17, 23))


TINY = manifest("terramind_v1_tiny", (2, 5, 8, 11))


def flop_of_chip(manifest: Manifest) -> float:
    """Floating-point operations of one chip through the network of a manifest."""
    assert manifest.architecture is not None
    network = Chips(build_network(manifest.architecture, "grd"), manifest).eval().to("meta")
    chips = [torch.empty(1, bands, CHIP, CHIP, device="meta") for bands in (12, 2, 1)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*chips)
    return float(counter.get_total_flops())


def figures() -> dict[str, Any]:
    """FLOP of a window, of an area, and the least time."""
    window = flop_of_chip(LARGE)
    windows = AREA_KM2 * 1e6 / (STRIDE * 10) ** 2
    total = window * windows * len(FLIPS)
    return {
        "flop_a_chip": window,
        "chips": windows * len(FLIPS),
        "flop": total,
        "limit_s": total / H200_FLOPS,
    }


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The table of `figures`."""
    return [
        ("TerraMind-L and UperNet-256: a chip", f"{figures['flop_a_chip'] / 1e9:.0f} GFLOP", ""),
        (f"{AREA_KM2:.0f} km2, 4 flips, a quarter shared", f"{figures['flop'] / 1e15:.2f} PFLOP", ""),
        ("limit of an H200 at dense bfloat16", f"{figures['limit_s']:.1f} s", ""),
    ]
