"""Attention as a hypernetwork: softmax attention, linear attention, HYLA and what lies between.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention.dropout import PairDropout, check_dropout
from attenergy.attention.fused import fused_pays
from attenergy.attention.projections import Projections, check_shapes, visible
from attenergy.registry import nearest

Normalize = Literal["softmax", "none", "rms_head"]
ValueNetwork = Literal["linear", "relu", "hyper_linear"]

_EPS = 1e-6  # under the root of rms_head


class HypernetworkAttention(PairDropout):
    """out_i = sum_j sum_h a[h,i,j] Wout_h g[h,i,j] + bout,  a = sigma(s).

    s[h,i,j] = q[h,i] . k[h,j] / sqrt(d) + field[h,i,j], and g is what the value network of the
    pair (i, j) holds; its weights are mixed from the heads by the code (a[1,i,j] ... a[H,i,j]):

        linear        g[h,i,j] = v[h,j]                         one linear map, multi-head attention
        hyper_linear  g[h,i,j] = sum_h' a[h',i,j] v[h',j]       two linear maps
        relu          g[h,i,j] = relu(sum_h' a[h',i,j] v[h',j]) two maps with a relu between them

    The scores are normalised by sigma:

        softmax       a = softmax_j(s)
        none          a = s
        rms_head      a = s / sqrt(mean_h s^2 + 1e-6), for each pair (i, j) across the heads

    softmax + linear is softmax attention, none + linear is linear attention without feature map
    and denominator, and rms_head + relu is HYLA. None of them has more parameters than another.
    A hidden pair weighs exactly 0 under every sigma; a state that sees nothing reads 0, so that
    its output is the bias of the output projection.

    The two-step value networks hold a tensor of B L S e numbers. softmax + linear runs
    `scaled_dot_product_attention` unless weights are asked for or dropped out. Its fused kernels
    have first derivatives in reverse mode only and are slow under `vmap`; ask for the weights
    where more is needed.

    Dropout removes whole pairs (i, j), for all heads and samples at once, after the
    normalisation, and scales what stays by 1/(1 - dropout). A two-step value network reads the
    same dropped weights twice.

    Args:
        embed_dim: E.
        num_heads: H, also the length of a pair's code.
        normalize: sigma.
        value_network: g.
        head_dim: d; E / H if None.
        value_dim: e, also the hidden width of a two-step value network; `head_dim` if None.
        context_dim: width of the stored patterns; E if None.
        dropout: probability of removing a pair in training.
        bias: whether the projections have biases.

    Raises:
        ValueError: unknown `normalize` or `value_network`, or sizes that do not fit.

    Source: Schug et al. 2025, arXiv:2406.05816 (equations 2 to 7); softmax attention: Vaswani et
    al. 2017, arXiv:1706.03762.
    """

    reads_field = True

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        normalize: Normalize,
        value_network: ValueNetwork,
        head_dim: int | None = None,
        value_dim: int | None = None,
        context_dim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        _check_option("normalize", normalize, get_args(Normalize))
        _check_option("value_network", value_network, get_args(ValueNetwork))
        self.normalize, self.value_network = normalize, value_network
        self.dropout = check_dropout(dropout)
        self.projections = Projections(embed_dim, num_heads, head_dim, value_dim, context_dim, bias)
        self.embed_dim, self.num_heads = embed_dim, num_heads

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Mix the stored patterns into each state.

        Args:
            x: states (B, L, E).
            context: stored patterns (B, S, context_dim); the states themselves if None.
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern.
            field: finite numbers added to the scores, broadcastable to (B, H, L, S).
            is_causal: whether state i sees only patterns j <= i (`projections.visible`).
            need_weights: whether to return the weights a as well.

        Returns:
            (B, L, E), or a pair of it and the weights (B, H, L, S), as dropped out in training.

        Raises:
            ValueError: a shape or type does not fit.
        """
        check_shapes(x, context, mask, field, self.projections)
        q, k, v = self.projections.heads(x, context)
        if field is not None:
            field = field.to(q.dtype)  # under autocast a field may come in a wider type
        if not need_weights and self._may_fuse() and fused_pays(k, field):
            return self.projections.merge(_fused_softmax(q, k, v, mask, field, is_causal))
        seen = visible(mask, is_causal, q.shape[2], k.shape[2], q.device)
        weights = self.dropped(_normalised(_scores(q, k, field), seen, self.normalize))
        out = self.projections.merge(self._read(weights, v))
        return (out, weights) if need_weights else out

    def extra_repr(self) -> str:
        """Options, for printing."""
        return (
            f"normalize={self.normalize}, value_network={self.value_network}, "
            f"dropout={self.dropout:g}"
        )

    def _may_fuse(self) -> bool:
        plain = self.normalize == "softmax" and self.value_network == "linear"
        return plain and not self.drops

    def _read(self, weights: Tensor, v: Tensor) -> Tensor:
        """Return z[h,i] = sum_j a[h,i,j] g[h,i,j], (B, H, L, e)."""
        if self.value_network == "linear":
            return weights @ v
        # Both sums are batched matrix products of small matrices: over heads for each pattern,
        # then over patterns for each state. The copies give relu and its derivative one memory
        # layout for both, without which they take most of the time.
        codes = weights.transpose(1, 2).contiguous()  # (B, L, H, S)
        hidden = codes.permute(0, 3, 1, 2) @ v.transpose(1, 2)  # (B, S, L, e)
        hidden = hidden.transpose(1, 2).contiguous()  # (B, L, S, e)
        if self.value_network == "relu":
            hidden = hidden.relu()
        return (codes @ hidden).transpose(1, 2)


def _scores(q: Tensor, k: Tensor, field: Tensor | None) -> Tensor:
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    return scores if field is None else scores + field


def _normalised(scores: Tensor, seen: Tensor | None, normalize: Normalize) -> Tensor:
    """Return a = sigma(s), exactly 0 where a pattern is hidden."""
    if normalize == "softmax":
        if seen is None:
            return scores.softmax(-1)
        # The lowest finite number, not minus infinity: a state that sees nothing then gets equal
        # weights instead of NaN, here and in the derivative, and the second fill removes them.
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~seen, lowest).softmax(-1).masked_fill(~seen, 0)
    if seen is not None:
        scores = scores.masked_fill(~seen, 0)
    if normalize == "none":
        return scores
    return scores * (scores.square().mean(1, keepdim=True) + _EPS).rsqrt()


def _fused_softmax(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, field: Tensor | None, is_causal: bool
) -> Tensor:
    if mask is None and field is None:
        return scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    seen = visible(mask, is_causal, q.shape[2], k.shape[2], q.device)
    if seen is None:
        return _attend(q, k, v, field)
    # Kernels differ in what they make of a state that sees nothing. So it sees everything here
    # and its result is replaced by 0.
    sighted = seen.any(-1, keepdim=True)
    seen = seen | ~sighted
    bias = seen if field is None else field.masked_fill(~seen, -math.inf)
    return _attend(q, k, v, bias).masked_fill(~sighted, 0)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None and bias.ndim < 2:  # the kernels want both last axes
        bias = bias.expand(q.shape[2], k.shape[2])
    return scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = (
            f"{name} must be one of {', '.join(allowed)}, got {value!r} {nearest(value, allowed)}"
        )
        raise ValueError(hint.rstrip())
