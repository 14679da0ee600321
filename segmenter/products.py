"""Layers of the network rewritten as matrix products, which are faster on a GPU.

Each rewriting is equal to the original up to rounding: in a transposed convolution of kernel 2 and stride 2
the outputs of different pixels do not overlap, a 1x1 convolution is a linear layer, a batch normalisation
after a convolution is an affine change of its weights, and hidden units with weights of zero contribute
nothing.
Tensors keep their shape (B, C, H, W), in channels-last memory format.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_log = logging.getLogger(__name__)
MULTIPLE = 64
"""Hidden units of a gated layer are padded to a multiple of it: the tensor cores' tiles."""


class Pointwise(nn.Module):
    """A 1x1 convolution as one product."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1), requires_grad=False)
        self.bias = _own(convolution.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(B, out, H, W) of (B, in, H, W)."""
        return functional.linear(values.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


class Doubling(nn.Module):
    """A transposed convolution of kernel 2 and stride 2 as one product and a change of places."""

    def __init__(self, convolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        # (in, out, 2, 2) as (2 x 2 x out, in)
        weight = convolution.weight.detach().permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        self.weight = nn.Parameter(weight, requires_grad=False)
        bias = convolution.bias
        self.bias = None if bias is None else _own(bias.detach().repeat(4))

    def forward(self, values: Tensor) -> Tensor:
        """(B, out, 2 H, 2 W) of (B, in, H, W)."""
        four = functional.linear(values.permute(0, 2, 3, 1), self.weight, self.bias)
        batch, height, width, channels = four.shape
        placed = four.view(batch, height, width, 2, 2, channels // 4).permute(0, 1, 3, 2, 4, 5)
        return placed.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class ChannelsLast(nn.Module):
    """A 3x3 convolution by the library's kernel for channels that lie last."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = _own(convolution.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(B, out, H, W) of (B, in, H, W)."""
        last = values.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(last, self.weight, self.bias, padding=1)


class Shifted(nn.Module):
    """A 3x3 convolution as one product over its nine shifted views, side by side."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        # (out, in, 3, 3) as (out, 3 x 3 x in)
        weight = convolution.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = _own(convolution.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(B, out, H, W) of (B, in, H, W)."""
        height, width = values.shape[-2:]
        padded = functional.pad(values.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        views = [padded[:, row : row + height, col : col + width] for row in range(3) for col in range(3)]
        return functional.linear(torch.cat(views, -1), self.weight, self.bias).permute(0, 3, 1, 2)


class Gated(nn.Module):
    """SwiGLU (Shazeer 2020) with its hidden units padded."""

    def __init__(self, gate: nn.Linear, value: nn.Linear, out: nn.Linear) -> None:
        super().__init__()
        more = -gate.out_features % MULTIPLE
        self.gate, self.value = (_padded(layer, rows=more) for layer in (gate, value))
        self.out = _padded(out, columns=more)

    def forward(self, values: Tensor) -> Tensor:
        """(..., d) of (..., d)."""
        out: Tensor = self.out(functional.silu(self.gate(values)) * self.value(values))
        return out


def _padded(layer: nn.Linear, *, rows: int = 0, columns: int = 0) -> nn.Linear:
    """The layer with weights of zero for more outputs (rows) or inputs (columns)."""
    wide = nn.Linear(1, 1, bias=layer.bias is not None)
    wide.in_features, wide.out_features = layer.in_features + columns, layer.out_features + rows
    wide.weight = nn.Parameter(
        functional.pad(layer.weight.detach(), (0, columns, 0, rows)), requires_grad=False
    )
    if layer.bias is not None:
        wide.bias = nn.Parameter(functional.pad(layer.bias.detach(), (0, rows)), requires_grad=False)
    return wide


Convolve = Callable[[nn.Conv2d], nn.Module]
"""Makes a 3x3 convolution's replacement: `ChannelsLast` or `Shifted`."""


def as_products(network: nn.Module, convolve: Convolve = ChannelsLast) -> nn.Module:
    """The network, in evaluation mode, with its layers replaced in place; the same but for rounding."""
    fold(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if (other := _replacement(child, convolve)) is not None:
                setattr(parent, name, other)
    return network


def faster_of_both(network: nn.Module, chips: Sequence[Tensor], dtype: torch.dtype) -> Convolve:
    """The faster replacement of each 3x3 convolution of a folded network, timed on the chips' device.

    `chips` are a batch as the network takes it; each kind is timed for every layer, on random numbers.
    """
    shapes = _input_shapes(network, [chip[:1] for chip in chips])
    batch, device = len(chips[0]), chips[0].device

    def faster(layer: nn.Conv2d) -> nn.Module:
        values = torch.randn(batch, *shapes[layer], device=device, dtype=dtype)
        values = values.contiguous(memory_format=torch.channels_last)
        candidates = [kind(layer).to(device, dtype) for kind in (ChannelsLast, Shifted)]
        seconds = [_seconds(candidate, values) for candidate in candidates]
        _log.info(
            "3x3 convolution of %s: channels last %.3g s, shifted views %.3g s", shapes[layer], *seconds
        )
        return (ChannelsLast, Shifted)[seconds.index(min(seconds))](layer)

    return faster


def _input_shapes(network: nn.Module, chips: Sequence[Tensor]) -> dict[nn.Module, torch.Size]:
    """(C, H, W) that each 3x3 convolution takes in a call of the network."""
    shapes: dict[nn.Module, torch.Size] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, call: shapes.update({layer: call[0].shape[1:]}))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and _plain(layer, 3, 1)
    ]
    try:
        with torch.inference_mode():
            network(*chips)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _seconds(layer: nn.Module, values: Tensor, repeats: int = 10) -> float:
    """Of a call, after two that do not count; infinite where memory does not do."""

    def run(times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            layer(values)
        if values.is_cuda:
            torch.cuda.synchronize(values.device)
        return time.perf_counter() - started

    try:
        with torch.inference_mode():
            run(2)
            return run(repeats) / repeats
    except torch.OutOfMemoryError:
        return float("inf")


def _replacement(layer: nn.Module, convolve: Convolve) -> nn.Module | None:
    if isinstance(layer, nn.ConvTranspose2d):
        fits = layer.kernel_size == layer.stride == (2, 2) and layer.groups == 1
        fits &= layer.padding == layer.output_padding == (0, 0) and layer.dilation == (1, 1)
        return Doubling(layer) if fits else None
    if isinstance(layer, nn.Conv2d):
        if _plain(layer, 1, 0):
            return Pointwise(layer)
        return convolve(layer) if _plain(layer, 3, 1) else None
    parts: Any = layer
    if type(layer).__name__ == "GatedMlp" and isinstance(parts.act, nn.SiLU):
        return Gated(parts.fc1, parts.fc3, parts.fc2)
    return None


def _plain(layer: nn.Conv2d, kernel: int, padding: int) -> bool:
    """A convolution of stride 1, without groups or dilation, padded with zeros."""
    return (
        layer.kernel_size == (kernel, kernel)
        and layer.padding == (padding, padding)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def fold(network: nn.Module) -> None:
    """Batch normalisations that follow a convolution in one sequence become part of it."""
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, layer), (norm_name, norm) in pairwise(children):
            if not isinstance(norm, nn.BatchNorm2d) or not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                continue
            if isinstance(parent, nn.Sequential) or type(parent).__name__ == "ConvModule":
                fused = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
                setattr(parent, name, fused)
                setattr(parent, norm_name, nn.Identity())


def _own(bias: Tensor | None) -> nn.Parameter | None:
    return None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
