"""Reading by weights that depend on one row of scores: block by block, scores never held whole.

Forward, a few numbers of each row are kept; backward, a block's scores and weights are computed
again. What is computed for a block stays in the processor's cache, so this is faster than whole
tensors of scores, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attenergy.energies.rows.apply import BLOCK, derivative, fast_here
from attenergy.energies.rows.kernel import RowKernel, RowNumbers
from attenergy.energies.rows.workspace import workspace

#: Fewer rows than this make matrix products slow.
LEAST_ROWS = 64


def blocks_fit(q: Tensor, k: Tensor) -> bool:
    """Whether states (..., L, D) and patterns (..., S, D) can be read in blocks."""
    return q.ndim <= 4 and k.ndim <= q.ndim and fast_here(q, k)


def read_in_blocks(
    kernel: RowKernel,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    *args: Tensor | float,
) -> Tensor | None:
    """f(q k' + bias, *args) v, (..., L, e), or None where that has to be computed in another way.

    Args:
        kernel: f.
        q: states, scaled (..., L, D), with every batch axis, of which there are at most two.
        k: patterns (..., S, D).
        v: values (..., S, e).
        bias: broadcastable to (..., L, S).
        mask: boolean, broadcastable to (..., L, S), True = visible; no row hides everything.
        *args: broadcastable to (..., L, 1).
    """
    batch = q.shape[:-2]
    wide = torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    numbers = [torch.as_tensor(a, dtype=wide, device=q.device) for a in args]
    given = [t for t in (q, k, v, bias, mask) if t is not None]
    if len(batch) > 2 or not fast_here(*given, *numbers):
        return None
    if any(t.ndim > len(batch) + 2 for t in given) or not q.numel() * k.shape[-2] > 0:
        return None
    if (mask is not None and not kernel.hides) or not kernel.takes(*numbers):
        return None
    full = (1,) * (2 - len(batch)) + tuple(batch)
    states = q.to(wide).reshape(*full, *q.shape[-2:])
    stored, values = (
        t.to(wide).expand(*batch, *t.shape[-2:]).reshape(*full, *t.shape[-2:]) for t in (k, v)
    )
    hidden = None
    if mask is not None:
        hidden = torch.zeros(mask.shape, dtype=wide, device=mask.device)
        hidden.masked_fill_(~mask, -torch.inf)
    extra = [_four_axes(t.to(wide)) for t in (bias, hidden, *numbers) if t is not None]
    parts = _Parts(kernel, bias is not None, hidden is not None)
    inputs = (states.contiguous(), stored.contiguous(), values.contiguous(), *extra)
    autocast = torch.is_autocast_enabled(q.device.type)
    with torch.autocast(q.device.type, enabled=False):
        if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
            out = _Read.apply(parts, *inputs)  # type: ignore[no-untyped-call]
        else:
            out = _forward(parts, inputs)[0]
    kind = torch.get_autocast_dtype(q.device.type) if autocast else v.dtype
    read: Tensor = out.reshape(*batch, *out.shape[-2:]).to(kind)
    return read


def _four_axes(tensor: Tensor) -> Tensor:
    return tensor.reshape(*(1,) * (4 - tensor.ndim), *tensor.shape)


class _Parts(NamedTuple):
    """What the tensors of a read are: q, k, v (B, H, ...), then bias, hidden and arguments."""

    kernel: RowKernel
    biased: bool
    masked: bool

    @property
    def first_argument(self) -> int:
        return 3 + self.biased + self.masked

    def reference(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The whole read, in operations with derivatives of all orders."""
        q, k, v = inputs[:3]
        z = q @ k.mT
        for term in inputs[3 : self.first_argument]:
            z = z + term
        return self.kernel.reference(z, *inputs[self.first_argument :]) @ v


class _Block(NamedTuple):
    """Some samples, heads and rows."""

    samples: slice
    heads: slice
    rows: slice

    def of_rows(self, tensor: Tensor) -> Tensor:
        """The block's part (g, l, width) of one of (B, H, L, width)."""
        return tensor[self.samples, self.heads, self.rows].flatten(0, 1)

    def of_patterns(self, tensor: Tensor) -> Tensor:
        """The block's part (g, S, width) of one of (B, H, S, width)."""
        return tensor[self.samples, self.heads].flatten(0, 1)

    def of_scores(self, tensor: Tensor) -> Tensor:
        """The block's part of what is broadcastable to (B, H, L, S)."""
        return tensor[
            tuple(
                part if n > 1 else slice(None)
                for part, n in zip(self, tensor.shape[:3], strict=True)
            )
        ]

    def scores(self, parts: _Parts, inputs: tuple[Tensor, ...]) -> Tensor:
        """Q k' + bias of the block, (b, h, l, S)."""
        q, k = self.of_rows(inputs[0]), self.of_patterns(inputs[1])
        heads = len(range(*self.heads.indices(inputs[0].shape[1])))
        z = workspace("scores", (*q.shape[:2], k.shape[1]), q)
        z = torch.bmm(q, k.mT, out=z).view(-1, heads, *z.shape[1:])
        for term in inputs[3 : parts.first_argument]:
            z += self.of_scores(term)
        return z

    def arguments(self, parts: _Parts, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        return [self.of_scores(a) for a in inputs[parts.first_argument :]]


def _blocks(q: Tensor, k: Tensor) -> Iterator[_Block]:
    """The blocks: whole samples, or heads of one sample, or rows of one head."""
    samples, heads, length = q.shape[:3]
    fit = max(1, BLOCK // k.shape[-2])  # rows
    rows = length if length <= fit else min(length, max(fit, LEAST_ROWS))
    some_heads = min(heads, max(1, fit // length))
    some_samples = max(1, fit // (length * heads))
    for b in range(0, samples, some_samples):
        for h in range(0, heads, some_heads):
            for r in range(0, length, rows):
                yield _Block(
                    slice(b, b + some_samples), slice(h, h + some_heads), slice(r, r + rows)
                )


def _forward(parts: _Parts, inputs: tuple[Tensor, ...]) -> tuple[Tensor, list[RowNumbers]]:
    q, k, v = inputs[:3]
    out, numbers = q.new_empty(*q.shape[:-1], v.shape[-1]), []
    for block in _blocks(q, k):
        z = block.scores(parts, inputs)
        y, of_rows = parts.kernel.forward(z, *block.arguments(parts, inputs))
        torch.bmm(y.flatten(0, 1), block.of_patterns(v), out=block.of_rows(out))
        numbers.append(of_rows)
    return out, numbers


class _Read(torch.autograd.Function):
    """The read block by block; where a graph of the derivative is wanted, that of the reference."""

    @staticmethod
    def forward(ctx: Any, parts: _Parts, *inputs: Tensor) -> Tensor:
        out, ctx.numbers = _forward(parts, inputs)
        ctx.parts = parts
        ctx.save_for_backward(*inputs)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts: _Parts = ctx.parts
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        with torch.autocast(grad.device.type, enabled=False):
            if torch.is_grad_enabled():
                return None, *derivative(parts.reference(inputs), inputs, needed, grad)
            return None, *_backward(parts, inputs, needed, grad.contiguous(), ctx.numbers)


def _backward(
    parts: _Parts,
    inputs: tuple[Tensor, ...],
    needed: tuple[bool, ...],
    grad: Tensor,
    numbers: list[RowNumbers],
) -> list[Tensor | None]:
    q, k, v = inputs[:3]
    pulled = [torch.zeros_like(t) if need else None for t, need in zip(inputs, needed, strict=True)]
    first = parts.first_argument
    for block, of_rows in zip(_blocks(q, k), numbers, strict=True):
        own = block.arguments(parts, inputs)
        y, extra = parts.kernel.again(block.scores(parts, inputs), of_rows, *own)
        g = block.of_rows(grad)
        if pulled[2] is not None:
            block.of_patterns(pulled[2]).baddbmm_(y.flatten(0, 1).mT, g)
        at_weights = workspace("grad", y.flatten(0, 1).shape, y)
        torch.bmm(g, block.of_patterns(v).mT, out=at_weights)
        dz, of_args = parts.kernel.pull(y, extra, at_weights.view_as(y), needed[first:], *own)
        flat = dz.flatten(0, 1)
        if pulled[0] is not None:
            torch.bmm(flat, block.of_patterns(k), out=block.of_rows(pulled[0]))
        if pulled[1] is not None:
            block.of_patterns(pulled[1]).baddbmm_(flat.mT, block.of_rows(q))
        terms = (*(dz,) * parts.biased, *(None,) * parts.masked, *of_args)
        for total, part in zip(pulled[3:], terms, strict=True):
            if total is not None and part is not None:
                place = block.of_scores(total)
                rows = part.sum(-1, keepdim=True) if place.shape[-1] == 1 else part
                place += rows.sum_to_size(place.shape)
    return pulled
