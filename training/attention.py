"""Attention for training on a CPU: plain matrix products in place of torch's fused kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@contextmanager
def plain_attention(wanted: bool = True) -> Iterator[None]:
    """Replace `scaled_dot_product_attention` by two matrix products and a softmax within the context.

    The fused kernel saves memory, but its backward pass takes a third of a step on a CPU. With some hundred
    tokens the plain form fits in memory and makes the step a quarter shorter. On CUDA the kernel is faster.
    """
    fused = functional.scaled_dot_product_attention
    if wanted:
        setattr(functional, "scaled_dot_product_attention", attention)  # noqa: B010 - typed as a builtin
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = fused


def attention(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """softmax(Q K' / sqrt(d)) V (Vaswani et al. 2017) of (..., tokens, d), without mask or dropout."""
    if any(options.get(name) for name in ("is_causal", "dropout_p")) or options.get("attn_mask") is not None:
        raise NotImplementedError("plain attention supports neither mask nor dropout")
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))
    return torch.matmul(scores.softmax(-1).to(value.dtype), value)
