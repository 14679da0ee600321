"""The plain form of attention answers what torch's fused one does, and is gone after use."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.attention import attention, plain_attention


def test_it_answers_and_learns_like_the_fused_one() -> None:
    torch.manual_seed(1)
    parts = [torch.randn(2, 3, 40, 16, requires_grad=True) for _ in range(3)]
    fused = functional.scaled_dot_product_attention(*parts)
    slopes = torch.autograd.grad(fused.square().sum(), parts)
    plain = attention(*parts)
    assert torch.allclose(plain, fused, atol=1e-5)
    for mine, theirs in zip(torch.autograd.grad(plain.square().sum(), parts), slopes, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_it_is_used_within_and_undone_after() -> None:
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
