"""Weights of whole tensors of scores by a kernel, with derivatives of any order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from attenergy.energies.masks import may_look
from attenergy.energies.rows.kernel import RowKernel, RowNumbers
from attenergy.energies.rows.workspace import workspace

#: Scores in a block, so many that what is computed with them stays in the cache of a processor:
#: measured at 2^13 to 2^20.
BLOCK = 2**18


def fast_here(*tensors: Tensor) -> bool:
    """Whether kernels may run: on a CPU, and nothing but autograd backward looks on."""
    tracing = torch._C._get_tracing_state() is not None
    return may_look(*tensors) and not tracing and forward_ad._current_level < 0


def row_weights(kernel: RowKernel, z: Tensor, *args: Tensor | float) -> Tensor:
    """f(z, *args), (..., L, S), as `RowKernel` says, in the type of z.

    By `kernel.reference` where the kernel may not run.

    Args:
        kernel: f.
        z: scores, -inf where a pattern is hidden.
        *args: broadcastable to (..., L, 1).
    """
    wide = torch.promote_types(z.dtype, torch.float32)
    tensors = [torch.as_tensor(a, dtype=wide, device=z.device) for a in args]
    if z.numel() == 0 or not fast_here(z, *tensors) or not kernel.takes(*tensors):
        return kernel.reference(z, *args)
    scores = z.to(wide)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in (scores, *tensors))):
        return _forward(kernel, scores, tensors)[0].to(z.dtype)
    weights: Tensor = _Rows.apply(kernel, scores, *tensors)  # type: ignore[no-untyped-call]
    return weights.to(z.dtype)


def _blocks(z: Tensor, args: list[Tensor]) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
    """Rows of scores (R, S), a copy of them, and the arguments (R, 1) of these rows."""
    flat = z.reshape(-1, z.shape[-1])
    each = [a.expand(*z.shape[:-1], 1).reshape(-1, 1) if a.ndim else a for a in args]
    count = max(1, BLOCK // z.shape[-1])
    for start in range(0, len(flat), count):
        rows = slice(start, start + count)
        block = workspace("scores", flat[rows].shape, z).copy_(flat[rows])
        yield rows, block, [a[rows] if a.ndim else a for a in each]


def _forward(kernel: RowKernel, z: Tensor, args: list[Tensor]) -> tuple[Tensor, list[RowNumbers]]:
    weights, numbers = torch.empty_like(z, memory_format=torch.contiguous_format), []
    out = weights.view(-1, z.shape[-1])
    for rows, block, own in _blocks(z, args):
        out[rows], of_rows = kernel.forward(block, *own)
        numbers.append(of_rows)
    return weights, numbers


class _Rows(torch.autograd.Function):
    """The weights block by block; where a graph of the derivative is wanted, the reference's."""

    @staticmethod
    def forward(ctx: Any, kernel: RowKernel, z: Tensor, *args: Tensor) -> Tensor:
        weights, numbers = _forward(kernel, z, list(args))
        ctx.kernel, ctx.numbers = kernel, numbers
        ctx.save_for_backward(z, *args)
        return weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kernel: RowKernel = ctx.kernel
        z, *args = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return None, *derivative(kernel.reference(z, *args), (z, *args), needed, grad)
        pulled = torch.empty_like(grad, memory_format=torch.contiguous_format)
        out, given = pulled.view(-1, z.shape[-1]), grad.reshape(-1, z.shape[-1])
        parts: list[tuple[Tensor | None, ...]] = []
        for (rows, block, own), numbers in zip(_blocks(z, args), ctx.numbers, strict=True):
            y, extra = kernel.again(block, numbers, *own)
            own_grad = workspace("grad", block.shape, grad).copy_(given[rows])
            out[rows], of_args = kernel.pull(y, extra, own_grad, needed[1:], *own)
            parts.append(of_args)
        of_args = tuple(
            torch.cat([p[i] for p in parts]).view(*z.shape[:-1], 1).sum_to_size(a.shape)  # type: ignore[misc]
            if wanted
            else None
            for i, (a, wanted) in enumerate(zip(args, needed[1:], strict=True))
        )
        return None, pulled if needed[0] else None, *of_args


def derivative(
    out: Tensor, inputs: tuple[Tensor | None, ...], needed: tuple[bool, ...], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """What `grad` at `out` is at the inputs that need it, as a graph with derivatives itself."""
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need and t is not None]
    pulled = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return tuple(next(pulled) if need else None for need in needed)
