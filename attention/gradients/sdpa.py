"""PyTorch's fused attention kernel: when it is worth calling, and its second derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from attenergy.energies.rows.kernel import MixedPatterns
from attenergy.energies.rows.workspace import workspace

#: Patterns from which the fused CPU kernel beats two matrix products and a softmax in training;
#: measured by `benchmarks/fused_attention.py`.
CPU_PATTERNS = 64
#: The same for wide heads, per component of a pattern.
CPU_PATTERNS_PER_COMPONENT = 2
#: The same with a field: an additive mask that needs a gradient slows the kernel down.
CPU_PATTERNS_WITH_FIELD = 512


def fused_pays(patterns: Tensor, field: Tensor | None) -> bool:
    """Whether `scaled_dot_product_attention` is likely to be faster than explicit weights.

    On a GPU always, but under the transforms of `torch.func`, for which its kernels there have no
    derivative. On a CPU only for long sequences, and with a field for longer ones.

    Args:
        patterns: (..., S, D).
        field: additive numbers (..., L, S), or None.
    """
    if patterns.device.type != "cpu":
        return torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active()
    if torch.compiler.is_exporting():  # the number of patterns may be a symbol, to stay open
        return field is None
    enough = CPU_PATTERNS if field is None else CPU_PATTERNS_WITH_FIELD
    return patterns.shape[-2] >= max(enough, CPU_PATTERNS_PER_COMPONENT * patterns.shape[-1])


def mixed_attention(xi: Tensor, mixed: MixedPatterns) -> Tensor:
    """softmax(scale * keys xi + bias) values, (..., L, e), by the kernel where that pays."""
    keys, values, scale, bias, mask = mixed
    own = hidden_bias(xi, keys, bias, mask)
    learned = bias is not None and bias.requires_grad
    if fused_pays(keys, bias if learned else None):
        return fused_attention(xi, keys, values, own, scale)
    return _weights(scale * xi, keys, own) @ values


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k' + bias) v, (..., L, e), for a bias (..., 1, S) of the patterns alone.

    As one more component of the keys, which the queries meet with 1: a mask of numbers that needs a
    derivative would make the kernel write the weights out. The kernel wants one width for all; what
    is missing is filled up with 0.
    """
    e, width = v.shape[-1], max(q.shape[-1] + 1, v.shape[-1])
    batch = torch.broadcast_shapes(k.shape[:-2], bias.shape[:-2])  # type: ignore[no-untyped-call]
    keys = torch.cat([k.expand(*batch, *k.shape[-2:]), bias.mT.expand(*batch, k.shape[-2], 1)], -1)
    queries = torch.cat([q, q.new_ones(1).expand(*q.shape[:-1], 1)], -1)
    queries, keys, v = (pad(t, (0, width - t.shape[-1])) for t in (queries, keys, v))
    return fused_attention(queries, keys, v, mask)[..., :e]


def hidden_bias(
    xi: Tensor, keys: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor | None:
    """Bias and mask as one (..., L, S): numbers to add or True = visible; None without both."""
    if bias is not None and mask is not None:
        bias = bias.masked_fill(~mask, -torch.inf)
    joined = mask if bias is None else bias
    return None if joined is None else joined.expand(*xi.shape[:-1], keys.shape[-2])


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: Tensor | float = 1.0
) -> Tensor:
    """softmax(scale q k' + mask) v, (..., L, e), by the fused kernel; derivatives of any order.

    The kernel's own derivative is used for first derivatives. It cannot be differentiated itself,
    so where a graph of it is wanted (`create_graph`) it is written out. Under the transforms of
    `torch.func` everything is written out; compiled or exported, there are first derivatives only.

    Args:
        q: queries (..., L, D).
        k: keys (..., S, D).
        v: values (..., S, e).
        mask: (..., L, S), boolean with True = visible, or numbers to add; no row hides everything.
        scale: a number, or broadcastable to (..., L, 1).
    """
    if not isinstance(scale, Tensor):
        q, scale = (q if scale == 1.0 else scale * q), None  # type: ignore[assignment]
    if torch.compiler.is_compiling():
        q = q if scale is None else scale * q
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    if torch._C._are_functorch_transforms_active():
        return _weights(q if scale is None else scale * q, k, mask) @ v
    given = [t for t in (q, k, v, mask, scale) if isinstance(t, Tensor)]
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in given)):
        q = q if scale is None else scale * q
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    written: list[tuple[Tensor | None, ...]] = []
    q, k, v, mask = _Inputs.apply(written, scale, q, k, v, mask)  # type: ignore[no-untyped-call]
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    output: Tensor = _Output.apply(written, out, q, k, v, mask)  # type: ignore[no-untyped-call]
    return output


class _Output(torch.autograd.Function):
    """Lets the kernel's derivative run; leaves the written one for `_Inputs` if it is needed."""

    @staticmethod
    def forward(ctx: Any, written: list[Any], out: Tensor, *inputs: Tensor | None) -> Tensor:
        ctx.written = written
        ctx.save_for_backward(*inputs)
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ctx.written.clear()
        if torch.is_grad_enabled():
            ctx.written.append(_derivative(grad, *ctx.saved_tensors))
        return None, grad.detach(), None, None, None, None


class _Inputs(torch.autograd.Function):
    """Scales the queries, and hands on what the kernel's derivative gave.

    Or in its place what `_Output` has written.
    """

    @staticmethod
    def forward(
        ctx: Any, written: list[Any], scale: Tensor | None, q: Tensor, *others: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        ctx.written = written
        ctx.set_materialize_grads(False)
        if scale is not None:
            ctx.save_for_backward(scale, q)
        scaled = q.view_as(q) if scale is None else scale * q
        return scaled, *(None if t is None else t.view_as(t) for t in others)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        at_q, *others = ctx.written.pop() if ctx.written else grads
        saved = ctx.saved_tensors  # once: a checkpoint makes them anew for one reading
        if at_q is None or not saved:
            return None, None, at_q, *others
        scale, q = saved
        graph, at_scale = torch.is_grad_enabled(), None
        if ctx.needs_input_grad[1]:
            # The product is needed for its sums alone.
            space = None if graph else workspace("product", q.shape, q)
            at_scale = torch.mul(at_q, q, out=space).sum_to_size(scale.shape)
        # The kernel has made `at_q` for this function alone, so it may be overwritten.
        return None, at_scale, scale * at_q if graph else at_q.mul_(scale), *others


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.mT
    if mask is not None:
        hides = mask.dtype == torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if hides else scores + mask
    return torch.softmax(scores, -1)


def _derivative(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
) -> tuple[Tensor | None, ...]:
    """What `grad` at the output is at q, k, v and the mask, in operations with derivatives."""
    weights = _weights(q, k, mask)
    pulled = grad @ v.mT
    at_scores = weights * (pulled - (weights * pulled).sum(-1, keepdim=True))
    at_mask = None
    if mask is not None and mask.requires_grad:
        at_mask = at_scores.sum_to_size(mask.shape)
    at_inputs = (at_scores @ k, at_scores.mT @ q, weights.mT @ grad)
    inputs = (q, k, v)
    return *(f.sum_to_size(t.shape) for f, t in zip(at_inputs, inputs, strict=True)), at_mask
