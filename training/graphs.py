"""CUDA graphs of training: the kernels of a small network take less time to run than to start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from segmenter.manifest import S1Kind
from segmenter.network import logits


class _OfSensors(nn.Module):
    """Logits of chips of the sensors that are `present`, without the cache of converted weights."""

    def __init__(self, network: nn.Module, s1_kind: S1Kind, present: Sequence[bool], bf16: bool) -> None:
        super().__init__()
        self.network, self._kind, self._present, self._bf16 = network, s1_kind, tuple(present), bf16

    def forward(self, *chips: Tensor) -> Tensor:
        given = iter(chips)
        optical, radar, dem = (next(given) if there else None for there in self._present)
        # a cached weight belongs to the graph that converted it
        with torch.autocast("cuda", torch.bfloat16, enabled=self._bf16, cache_enabled=False):
            return logits(self.network, self._kind, optical, radar, dem)


def capture(
    network: nn.Module, s1_kind: S1Kind, chips: Sequence[Tensor | None], bf16: bool
) -> Callable[..., Tensor]:
    """A function that replays the forward pass of `network`, and the backward pass of its answer.

    It takes chips on the GPU with the shapes of `chips`, without those that are None (absent sensors). The
    next call overwrites its answer. The capture leaves the running statistics of `network` as they were.

    Args:
        chips: normalised optical (B, 12, H, W), radar (B, 2, H, W) and DEM (B, 1, H, W).
    """
    module = _OfSensors(network, s1_kind, [part is not None for part in chips], bf16)
    kept = [buffer.clone() for buffer in network.buffers()]
    sample = tuple(part for part in chips if part is not None)
    # weights of absent sensors are not used
    captured = torch.cuda.make_graphed_callables(module, sample, allow_unused_input=True)
    with torch.no_grad():
        for buffer, value in zip(network.buffers(), kept, strict=True):
            buffer.copy_(value)
    return cast(Callable[..., Tensor], captured)
