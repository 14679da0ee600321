"""The plain form of attention equals torch's fused one, and is removed after use."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.attention import attention, plain_attention


def test_values_and_gradients_equal_the_fused_ones() -> None:
    torch.manual_seed(1)
    parts = [torch.randn(2, 3, 40, 16, requires_grad=True) for _ in range(3)]
    fused = functional.scaled_dot_product_attention(*parts)
    slopes = torch.autograd.grad(fused.square().sum(), parts)
    plain = attention(*parts)
    assert torch.allclose(plain, fused, atol=1e-5)
    for gradient, expected in zip(torch.autograd.grad(plain.square().sum(), parts), slopes, strict=True):
        assert torch.allclose(gradient, expected, atol=1e-4)


def test_it_is_active_within_the_context_only() -> None:
    before = functional.scaled_dot_product_attention
    with pytest.raises(RuntimeError), plain_attention():
        assert functional.scaled_dot_product_attention is attention
        raise RuntimeError
    with plain_attention(wanted=False):
        assert functional.scaled_dot_product_attention is before
    assert functional.scaled_dot_product_attention is before


def test_a_mask_is_refused() -> None:
    part = torch.randn(1, 1, 4, 4)
    with pytest.raises(NotImplementedError):
        attention(part, part, part, is_causal=True)
