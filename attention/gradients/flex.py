"""Softmax weights through PyTorch's FlexAttention, which fuses field and mask on a GPU.

Run and compared with `eager` on a CPU, forward and without the compiler. Its compiled kernel for
CUDA and the derivatives, which exist only there, have been written by PyTorch's documentation and
were not run. So `auto` never takes it; ask for it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from attenergy.energies import Energy
from attenergy.registry import ArgumentError


def flex_read(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    values: Tensor,
    opened: Tensor | None,
    field: Tensor | None,
) -> Tensor:
    """softmax(scale * X xi + bias) @ values, (..., L, e), for an energy with such weights.

    Args:
        energy: `is_attention` is True.
        xi: states (..., L, D) with every batch axis.
        X: patterns (..., S, D).
        values: (..., S, e).
        opened: mask (..., L|1, S) without empty rows.
        field: (..., L|1, S).

    Raises:
        ValueError: a derivative is wanted off CUDA, where FlexAttention has none.

    Source: Dong et al. 2024, arXiv:2412.05496.
    """
    softmax_form = energy.attention(X, opened, field)
    assert softmax_form is not None
    scale, bias = softmax_form
    given = [t for t in (scale * xi, X, values, bias) if t is not None]
    on_gpu = xi.device.type == "cuda"
    if not on_gpu and torch.is_grad_enabled() and any(t.requires_grad for t in given):
        raise ArgumentError(
            f"backend 'flex' has derivatives on CUDA only, the states are on {xi.device}; "
            "choose 'sdpa', or run it under torch.no_grad()",
            topic="backend",
        )
    states, batch, pairs = scale * xi, xi.shape[:-2], (*xi.shape[:-1], X.shape[-2])
    q, k, v = (_four(t.expand(*batch, *t.shape[-2:])) for t in (states, X, values))
    allowed = None if opened is None else _four(opened.expand(pairs))
    added = None if bias is None else _four(bias.expand(pairs))

    def score(s: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        s = s if added is None else s + added[b, h, i, j]
        return s if allowed is None else torch.where(allowed[b, h, i, j], s, -torch.inf)

    kernel = _kernel(on_gpu and not torch.compiler.is_compiling())
    out = kernel(q, k, v, score_mod=score, scale=1.0)
    return out.reshape(*batch, *out.shape[-2:])


def _four(tensor: Tensor) -> Tensor:
    """Four axes: one batch axis before the heads."""
    batch = tensor.shape[:-2]
    heads = batch[-1] if batch else 1
    return tensor.reshape(-1, heads, *tensor.shape[-2:])


@lru_cache(maxsize=2)
def _kernel(compiled: bool) -> Callable[..., Tensor]:
    kernel: Callable[..., Tensor] = flex_attention
    return torch.compile(kernel) if compiled else kernel
