"""Forms of layers, and compilations of the network, compared on a GPU: parts of `benchmarks.gpu`."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor_config
from torch.nn import functional

from benchmarks.gpu_bench import Bench, Figures
from segmenter import products
from segmenter.compiled import _ahead_of_time, example, in_half


def layers(bench: Bench) -> Figures:
    """Each 3x3 convolution's shape, by the library's kernel and as one product over shifted views."""
    network = copy.deepcopy(bench.network)
    products.fold(network)
    chips = example(bench.manifest, bench.device, 64)
    shapes = products._input_shapes(network, [chip[:1] for chip in chips])
    found: Figures = {}
    for layer, shape in shapes.items():
        values = torch.randn(64, *shape, device=bench.device, dtype=torch.float16)
        values = values.contiguous(memory_format=torch.channels_last)
        kinds = (products.ChannelsLast, products.Shifted)
        ms = {
            kind.__name__: 1000 * products._seconds(kind(layer).to(bench.device, torch.float16), values)  # type: ignore[arg-type]
            for kind in kinds
        }
        found[f"{list(shape)} to {layer.out_channels}"] = ms
    return found


class _Layer(nn.Module):
    """A gated layer as it stands in an encoder's block, its hidden units padded."""

    def __init__(self, width: int, hidden: int, *, joined: bool) -> None:
        super().__init__()
        self.norm, self.joined, self.hidden = nn.LayerNorm(width, bias=False), joined, hidden
        self.into = nn.Parameter(torch.randn(2 * hidden, width) * 0.02)
        self.out = nn.Parameter(torch.randn(width, hidden) * 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        values = self.norm(tokens)
        if self.joined:
            gate, value = functional.linear(values, self.into).chunk(2, -1)
        else:
            gate, value = (functional.linear(values, part) for part in self.into.split(self.hidden))
        return tokens + functional.linear(functional.silu(gate) * value, self.out)


def gated(bench: Bench) -> Figures:
    """TerraMind-L's gated layer on a batch of 64 chips, in several forms and with compiler options."""
    tokens = torch.randn(64, 588, 1024, device=bench.device, dtype=torch.float16)
    found: Figures = {}
    for name, hidden, joined, options in (
        ("joined", 2752, True, {}),
        ("apart", 2752, False, {}),
        ("apart, padded to 256", 2816, False, {}),
        ("apart, tuned", 2752, False, {"coordinate_descent_tuning": True}),
        ("joined, tuned", 2752, True, {"coordinate_descent_tuning": True}),
        ("apart, autotuned products", 2752, False, {"max_autotune": True}),
        ("padded to 256, autotuned", 2816, False, {"max_autotune": True, "coordinate_descent_tuning": True}),
    ):
        layer = _Layer(1024, hidden, joined=joined).to(bench.device, torch.float16)
        began = time.perf_counter()
        try:
            run = torch.compile(layer, options=options)  # type: ignore[arg-type]
            with torch.inference_mode():
                rounds = bench.seconds(lambda run=run: [run(tokens) for _ in range(20)])  # type: ignore[misc]
            found[name] = {"ms": 1000 * min(rounds) / 20, "compile_s": time.perf_counter() - began}
        except Exception as error:
            found[name] = {"not measured": str(error)[:300]}
        torch._dynamo.reset()
        print(name, found[name], flush=True)
    return found


def variants(bench: Bench) -> Figures:
    """Forward passes of other compilations of the network."""
    half = in_half(copy.deepcopy(bench.network), bench.manifest, bench.device)
    chips = example(bench.manifest, bench.device, 64)
    found: Figures = {}
    for name, options in (
        ("tuned", {"coordinate_descent_tuning": True}),
        ("autotuned products", {"max_autotune_gemm": True, "coordinate_descent_tuning": True}),
    ):
        began = time.perf_counter()
        with inductor_config.patch(options), torch.inference_mode():
            forward = _ahead_of_time(half, chips, "variant.pt")
            compiled = time.perf_counter()
            rounds = bench.seconds(lambda forward=forward: [forward(*chips) for _ in range(10)])  # type: ignore[misc]
        found[name] = {
            "compile_s": compiled - began,
            "until_measured_s": time.perf_counter() - began,
            "chips_s": 640 / min(rounds),
        }
        print(name, found[name], flush=True)
    return found
