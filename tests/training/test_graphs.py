"""The passes of the network as CUDA graphs have the gradients of the network."""

from __future__ import annotations

import copy

import pytest
import torch

from segmenter.network import build_network, logits
from training.graphs import capture
from training.recipe import ARCHITECTURE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU"),
]


@pytest.mark.parametrize("absent", [(), (0,), (1, 2)])
def test_the_gradients_are_those_of_the_network(absent: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = build_network(ARCHITECTURE, "rtc").cuda().train()
    other = copy.deepcopy(network)
    parts = [torch.randn(2, bands, 224, 224, device="cuda") for bands in (12, 2, 1)]
    chips = [None if at in absent else part for at, part in enumerate(parts)]
    buffers = [buffer.clone() for buffer in network.buffers()]
    replay = capture(network, "rtc", chips, bf16=False)
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))
    given = [part for part in chips if part is not None]
    for _ in range(2):  # the second replay overwrites the first
        network.zero_grad(set_to_none=True)
        replay(*given).square().mean().backward()
    for _ in range(2):
        other.zero_grad(set_to_none=True)
        logits(other, "rtc", *chips).square().mean().backward()
    for one, expected in zip(network.parameters(), other.parameters(), strict=True):
        assert (one.grad is None) == (expected.grad is None)
        if one.grad is not None and expected.grad is not None:
            torch.testing.assert_close(one.grad, expected.grad, rtol=1e-3, atol=1e-6)
