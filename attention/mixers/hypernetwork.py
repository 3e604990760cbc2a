"""Attention as a hypernetwork: softmax attention, linear attention, HYLA and what lies between.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Unpack, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention.gradients.sdpa import fused_pays
from attenergy.attention.mixers.base import HeadInputs, Mixer, Sizes, State
from attenergy.attention.mixers.weights import masked_softmax, scores
from attenergy.attention.modules.arguments import fixed, option
from attenergy.attention.modules.initialisation import lecun_normal_
from attenergy.attention.modules.projections import visible
from attenergy.registry import ArgumentError, nearest

Normalize = Literal["softmax", "none", "rms_head"]
ValueNetwork = Literal["linear", "relu_values", "relu", "hyper_linear", "deep"]

_EPS = 1e-6  # under the root of rms_head


class HypernetworkAttention(Mixer):
    """out_i = sum_j sum_h a[h,i,j] Wout_h g[h,i,j] + bout,  a = sigma(s).

    s[h,i,j] = q[h,i] . k[h,j] / sqrt(d) + field[h,i,j], and g is what the value network of the
    pair (i, j) holds; its weights are mixed from the heads by the code (a[1,i,j] ... a[H,i,j]):

        linear        g[h,i,j] = v[h,j]                         one linear map, multi-head attention
        relu_values   g[h,i,j] = relu(v[h,j])                   the same of rectified values
        hyper_linear  g[h,i,j] = u[i,j]                         two linear maps
        relu          g[h,i,j] = relu(u[i,j])                   two maps with a relu between them
        deep          g[h,i,j] = relu(sum_h' a[h',i,j] M[h'] relu(u[i,j]))  three maps

    where u[i,j] = sum_h a[h,i,j] v[h,j] and M (H, e, e) are further parameters of `deep` alone.

    The scores are normalised by sigma:

        softmax       a = softmax_j(s)
        none          a = s
        rms_head      a = s / sqrt(mean_h s^2 + 1e-6), for each pair (i, j) across the heads

    softmax + linear is softmax attention, none + linear is linear attention without feature map
    and denominator, and rms_head + relu is HYLA. Only `deep` has more parameters than the others.
    A hidden pair weighs exactly 0 under every sigma; a state that sees nothing reads 0, so that
    its output is the bias of the output projection.

    The two-step value networks hold a tensor of B L S e numbers, `deep` one of B L S H e. softmax +
    linear runs
    `scaled_dot_product_attention` unless weights are asked for or dropped out. Its fused kernels
    have first derivatives in reverse mode only and are slow under `vmap`; ask for the weights
    where more is needed. none + linear streams with a state of constant size, H d e numbers.

    Dropout removes whole pairs (i, j), for all heads and samples at once, after the
    normalisation, and scales what stays by 1/(1 - dropout). A two-step value network reads the
    same dropped weights twice.

    Args:
        embed_dim: E.
        num_heads: H, also the length of a pair's code.
        normalize: sigma.
        value_network: g.
        **sizes: see `Mixer`; `value_dim` is also the hidden width of the value networks.

    Raises:
        ValueError: unknown `normalize` or `value_network`, or sizes that do not fit.

    Source: Schug et al. 2025, arXiv:2406.05816 (equations 2 to 7 and 10); softmax
    attention: Vaswani et al. 2017, arXiv:1706.03762.

    Example:
        >>> mixer = HypernetworkAttention(16, 4, normalize="rms_head", value_network="relu")
        >>> mixer(torch.randn(2, 5, 16)).shape
        torch.Size([2, 5, 16])
    """

    latex = (
        r"\mathrm{out}_i = \sum_j \sum_h a_{hij}\, W_h\, g_{hij}, \qquad a = \sigma(s), \quad "
        r"s_{hij} = \frac{q_{hi}\cdot k_{hj}}{\sqrt{d}} + \varphi_{hij}"
    )

    decoding: ClassVar = ("streamed", "projected")
    states_apart = True

    normalize: Normalize = option("normalize", fixed("normalize"), "sigma.")
    value_network: ValueNetwork = option("value_network", fixed("value_network"), "g.")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        normalize: Normalize,
        value_network: ValueNetwork,
        **sizes: Unpack[Sizes],
    ) -> None:
        _check_option("normalize", normalize, get_args(Normalize))
        _check_option("value_network", value_network, get_args(ValueNetwork))
        super().__init__(embed_dim, num_heads, **sizes)
        self.normalize, self.value_network = normalize, value_network
        if value_network == "deep":
            e = self.projections.value_dim
            maps = [lecun_normal_(torch.empty(e, e)) for _ in range(num_heads)]
            self.middle = nn.Parameter(torch.stack(maps))

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a = sigma(s), (B, H, L, S), exactly 0 where a pattern is hidden."""
        return _normalised(scores(q, k, field), seen, self.normalize)

    @property
    def softmax_weights(self) -> bool:
        """Whether sigma is the softmax."""
        return self.normalize == "softmax"

    def read(self, weights: Tensor, v: Tensor) -> Tensor:
        """Return z[h,i] = sum_j a[h,i,j] g[h,i,j], (B, H, L, e)."""
        if self.value_network == "linear":
            return weights @ v
        if self.value_network == "relu_values":
            return weights @ v.relu()
        # Both sums are batched matrix products of small matrices: over heads for each pattern,
        # then over patterns for each state. The copies give relu and its derivative one memory
        # layout for both, without which they take most of the time.
        codes = weights.transpose(1, 2).contiguous()  # (B, L, H, S)
        hidden = codes.permute(0, 3, 1, 2) @ v.transpose(1, 2)  # (B, S, L, e)
        hidden = hidden.transpose(1, 2).contiguous()  # (B, L, S, e)
        if self.value_network != "hyper_linear":
            hidden = hidden.relu()
        if self.value_network == "deep":
            # One product of large matrices: the sum over heads is part of it.
            maps = self.middle.transpose(1, 2).flatten(0, 1)  # (H e, e)
            mixed = codes.mT[..., None] * hidden[..., None, :]  # (B, L, S, H, e)
            hidden = (mixed.flatten(-2) @ maps).relu()
        return (codes @ hidden).transpose(1, 2)

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Softmax attention by PyTorch's fused kernel, where that pays."""
        q, k, v, mask, field, is_causal = heads
        plain = self.normalize == "softmax" and self.value_network == "linear"
        if not plain or not fused_pays(k, field):
            return None
        return _fused_softmax(q, k, v, mask, field, is_causal)

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: no patterns, or for none + linear the sum of k v'."""
        if not self._sums:
            return super().init_state(batch)
        self._check_streams()
        p = self.projections
        return (p.out.weight.new_zeros(batch, self.num_heads, p.head_dim, p.value_dim),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`."""
        if not self._sums:
            return super().step(x, state)
        q, k, v = self.heads(x[:, None], None)
        values = v if self.value_network == "linear" else v.relu()
        total = state[0] + k.mT @ values
        read = (q / math.sqrt(q.shape[-1])) @ total
        return self.projections.merge(read)[:, 0], (total,)

    def _state_numbers(self, length: int) -> int:
        p = self.projections
        if self._sums:
            return p.num_heads * p.head_dim * p.value_dim
        return super()._state_numbers(length)

    @property
    def _sums(self) -> bool:
        """Whether what is read is linear in the sum of k v' over the patterns."""
        return self.normalize == "none" and self.value_network in ("linear", "relu_values")

    def extra_repr(self) -> str:
        """Options, for printing."""
        return (
            f"normalize={self.normalize}, value_network={self.value_network}, "
            f"dropout={self.dropout:g}"
        )


def _normalised(values: Tensor, seen: Tensor | None, normalize: Normalize) -> Tensor:
    """Return a = sigma(s), exactly 0 where a pattern is hidden."""
    if normalize == "softmax":
        return masked_softmax(values, seen)
    if seen is not None:
        values = values.masked_fill(~seen, 0)
    if normalize == "none":
        return values
    return values * (values.square().mean(1, keepdim=True) + _EPS).rsqrt()


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
        raise ArgumentError(hint.rstrip())
