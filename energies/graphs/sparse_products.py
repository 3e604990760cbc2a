"""Products of symmetric couplings on a list of edges with many vectors at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch.utils.weak import WeakTensorKeyDictionary


class _Rows(NamedTuple):
    """Edges in the order of their first node."""

    order: Tensor  # (m,)
    others: Tensor  # second nodes (m,)
    starts: Tensor  # where each node's edges begin (n,)


#: The order of a list's edges, as long as the list lives.
_ROWS = WeakTensorKeyDictionary()


def symmetric_product(pairs: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """sum_j J_ij x_j, (..., n, D), with derivatives of any order in x, not in J.

    Args:
        pairs: every edge in both directions (2, m).
        values: J on them (m,).
        x: (..., n, D).
    """
    product: Tensor = _Product.apply(pairs, values, x)  # type: ignore[no-untyped-call]
    return product


class _Product(torch.autograd.Function):
    """J x, whose derivative J' dy is J dy."""

    @staticmethod
    def forward(ctx: Any, pairs: Tensor, values: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(pairs, values)
        rows = _rows(pairs, x.shape[-2])
        flat = x.movedim(-2, 0).reshape(x.shape[-2], -1)
        weights = values[rows.order].to(flat)
        out = embedding_bag(rows.others, flat, rows.starts, mode="sum", per_sample_weights=weights)
        return out.view(x.shape[-2], *x.shape[:-2], x.shape[-1]).movedim(0, -2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        pairs, values = ctx.saved_tensors
        return None, None, symmetric_product(pairs, values, grad)


def _rows(pairs: Tensor, nodes: int) -> _Rows:
    if pairs not in _ROWS:
        first = pairs[0]
        order = first.argsort(stable=True)
        counts = torch.bincount(first, minlength=nodes)
        _ROWS[pairs] = _Rows(order, pairs[1][order], counts.cumsum(0) - counts)
    rows: _Rows = _ROWS[pairs]
    return rows
