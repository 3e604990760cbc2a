"""What every multi-head layer shares: projections, masks and checks of shapes.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import Tensor

from attenergy.attention.modules.arguments import (
    check_flag,
    check_numbers,
    check_size,
    check_tensor,
    weight_of,
)
from attenergy.attention.modules.initialisation import dense
from attenergy.attention.modules.masks import check_meaning
from attenergy.attention.modules.preparation import Preparation, PreparationOptions
from attenergy.energies.parameters import Settled
from attenergy.registry import ArgumentError, MaskError, ShapeError

#: How a causal layer is continued without all positions once more: from the keys and values of
#: earlier ones, or by `init_state` and `step` of its own (`attenergy.attention.models.kv_cache`).
Decoding = Literal["projected", "streamed"]


class Projections(Settled):
    """q = x Wq + bq,  k = c Wk + bk,  v = c Wv + bv per head;  out = sum_h z_h Wout_h + bout.

    Weights are LeCun normal, biases zero. The four maps are plain `nn.Linear` modules named
    `query`, `key`, `value` and `out`; head `h` owns the rows `h*d ... (h+1)*d - 1` of the first
    three and the columns `h*e ... (h+1)*e - 1` of the last. With `num_kv_heads` G, keys and values
    have G heads, and head h reads those of number floor(h G / H).

    Args:
        embed_dim: width E of the states and of the result.
        num_heads: number of heads H.
        head_dim: width d of queries and keys; E / H if None.
        value_dim: width e of values; `head_dim` if None.
        context_dim: width of the stored patterns; E if None.
        bias: whether the maps have biases.
        with_values: whether there is a `value` map; without it `merge` takes whatever else the
            heads hold, `value_dim` wide.
        with_keys: whether there is a `key` map; without it the states are their own patterns.
        num_kv_heads: G, a divisor of H; H if None.
        value_context_dim: width of what values are made from; `context_dim` if None.
        **preparation: `rotary`, `rotary_base`, `normalize_states` and `normalize_patterns`; see
            `Preparation`.

    Raises:
        ValueError: a size is below 1 or does not divide the other, or an option is not allowed.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        head_dim: int | None = None,
        value_dim: int | None = None,
        context_dim: int | None = None,
        bias: bool = True,
        with_values: bool = True,
        with_keys: bool = True,
        num_kv_heads: int | None = None,
        value_context_dim: int | None = None,
        **preparation: Unpack[PreparationOptions],
    ) -> None:
        super().__init__()
        for name, size in (("embed_dim", embed_dim), ("num_heads", num_heads)):
            check_size(name, size)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = head_width(embed_dim, num_heads) if head_dim is None else head_dim
        self.value_dim = self.head_dim if value_dim is None else value_dim
        self.context_dim = embed_dim if context_dim is None else context_dim
        own = value_context_dim
        self.value_context_dim = self.context_dim if own is None else own
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        for name in ("head_dim", "value_dim", "context_dim", "value_context_dim", "num_kv_heads"):
            check_size(name, getattr(self, name))
        if num_heads % self.num_kv_heads:
            raise ArgumentError(
                f"num_kv_heads ({num_kv_heads}) must divide num_heads ({num_heads})",
                topic="head-width",
            )
        bias = check_flag("bias", bias)
        self.query = dense(embed_dim, num_heads * self.head_dim, bias)
        if with_keys:
            self.key = dense(self.context_dim, self.num_kv_heads * self.head_dim, bias)
        if with_values:
            self.value = dense(self.value_context_dim, self.num_kv_heads * self.value_dim, bias)
        self.out = dense(num_heads * self.value_dim, embed_dim, bias)
        prepared = Preparation(self.head_dim, num_heads, self.num_kv_heads, **preparation)
        self.preparation = prepared if prepared.changes else None
        self.settle()

    def heads(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, d), k (B, H, S, d) and v (B, H, S, e).

        Args:
            x: states (B, L, E).
            context: stored patterns (B, S, context_dim); the states themselves if None.
        """
        q, k = self.states(x, context)
        return q, k, self.expanded(self.values(x if context is None else context))

    def states(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return q (B, H, L, d) and k (B, H, S, d) alone; k is q if there is no `key` map."""
        q = self.queries(x)
        if not hasattr(self, "key"):
            return q, q
        return q, self.expanded(self.keys(x if context is None else context))

    def queries(self, x: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return q (B, H, L, d) of x (B, L, E).

        Args:
            x: states.
            offset: position of the first one, for rotary positions; see `rotate`.
        """
        q = self._split(self.query(x))
        return q if self.preparation is None else self.preparation.states(q, offset)

    def keys(self, context: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return k (B, G, S, d), one for each key-value head; arguments as of `queries`."""
        k = self._split(self.key(context), self.num_kv_heads)
        return k if self.preparation is None else self.preparation.patterns(k, offset)

    def values(self, context: Tensor) -> Tensor:
        """Return v (B, G, S, e), one for each key-value head."""
        return self._split(self.value(context), self.num_kv_heads)

    def expanded(self, shared: Tensor) -> Tensor:
        """Return keys or values (B, G, S, ...) for each head, (B, H, S, ...)."""
        if self.num_kv_heads == self.num_heads:
            return shared
        return shared.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1)

    def turned_back(self, z: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return states (B, H, L, d) as they were before they were rotated."""
        return z if self.preparation is None else self.preparation.turned_back(z, offset)

    def merge(self, z: Tensor) -> Tensor:
        """Return sum_h z_h Wout_h + bout, (B, L, E), of what the heads read, z (B, H, L, e)."""
        out: Tensor = self.out(z.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor, heads: int | None = None) -> Tensor:
        heads = heads or self.num_heads  # the width as a number: an empty tensor does not tell it
        return x.view(*x.shape[:2], heads, x.shape[-1] // heads).transpose(1, 2)


def head_width(embed_dim: int, num_heads: int) -> int:
    """E / H.

    Raises:
        ValueError: one is no whole number from 1, or H does not divide E.
    """
    check_size("embed_dim", embed_dim)
    check_size("num_heads", num_heads)
    if embed_dim % num_heads:
        raise ArgumentError(
            f"embed_dim ({embed_dim}) is not a multiple of num_heads ({num_heads}); "
            "choose another number of heads or give head_dim",
            topic="head-width",
        )
    return embed_dim // num_heads


def visible(
    mask: Tensor | None,
    is_causal: bool,
    length: int,
    stored: int,
    device: torch.device | None = None,
) -> Tensor | None:
    """Return the boolean mask that joins `mask` and causality, or None if all is visible.

    Causal means that state i sees patterns j <= i, counted from the first state and the first
    pattern also if L != S, as `is_causal` of `scaled_dot_product_attention` does.

    Args:
        mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern.
        is_causal: whether to hide later patterns.
        length: L.
        stored: S.
        device: where the causal mask is made.

    Raises:
        ValueError: `is_causal` is neither True, False nor None.
    """
    if is_causal is None or not check_flag("is_causal", is_causal):
        return mask
    causal = torch.ones(length, stored, dtype=torch.bool, device=device).tril()
    return causal if mask is None else mask & causal


def check_shapes(
    x: Tensor,
    context: Tensor | None,
    mask: Tensor | None,
    field: Tensor | None,
    projections: Projections,
) -> None:
    """Check what a layer is called with.

    Raises:
        ValueError: naming the argument, what was got and what is allowed.
    """
    like = weight_of(projections.out)
    check_sequence("x", x, "(B, L, E)", projections.embed_dim, like)
    if context is not None:
        check_sequence("context", context, "(B, S, C)", projections.context_dim, like)
        if context.shape[0] != x.shape[0]:
            raise ShapeError(
                f"x and context must have the same batch size, "
                f"got {x.shape[0]} and {context.shape[0]}"
            )
    elif projections.context_dim != projections.embed_dim:
        raise ShapeError(
            f"this layer reads patterns of width {projections.context_dim} and states of width "
            f"{projections.embed_dim}: give `context`"
        )
    stored = (x if context is None else context).shape[1]
    check_extras(mask, field, (x.shape[0], projections.num_heads, x.shape[1], stored))


def check_sequence(
    name: str, value: Tensor, axes: str, width: int, like: Tensor | None = None
) -> None:
    """Check that a tensor has three axes, the last one of the given width.

    Args:
        name: of the argument.
        value: what was given.
        axes: what the axes are, for messages.
        width: of the last one.
        like: weights whose type it has; None if any does.

    Raises:
        TypeError: it is no tensor.
        ValueError: it has not, its type is another one, or it is nested or sparse.
    """
    check_numbers(name, value, like)
    check_dense(name, value)
    if value.ndim != 3 or value.shape[-1] != width:
        raise ShapeError(
            f"{name} must be {axes} with last axis {width}, got shape {tuple(value.shape)}"
        )


def check_dense(name: str, value: Tensor) -> None:
    """Check that a tensor is neither nested nor sparse.

    Raises:
        ValueError: it is.
    """
    if value.is_nested:
        raise ShapeError(
            f"{name} must be a dense tensor, got a nested one; {name}.to_padded_tensor(0.0) makes "
            "one, and a mask says what is padding"
        )
    if value.layout is not torch.strided:
        raise ShapeError(
            f"{name} must be a dense tensor, got {value.layout}; {name}.to_dense() makes one"
        )


def check_extras(
    mask: Tensor | None, field: Tensor | None, full: tuple[int, int, int, int]
) -> None:
    """Check type and shape of mask and field against (B, H, L, S).

    Raises:
        ValueError: naming the argument, what was got and what is allowed.
    """
    if mask is not None:
        check_tensor("mask", mask)
        if mask.dtype != torch.bool:
            raise MaskError(
                f"mask must be boolean, True where a state may see a pattern, got {mask.dtype}; "
                "numbers to be added to the scores go to `field`"
            )
        _check_broadcast("mask", mask, full)
        check_meaning(mask, full)
    if field is not None:
        check_tensor("field", field)
        if not field.is_floating_point():
            raise MaskError(f"field must be floating point, got {field.dtype}")
        _check_broadcast("field", field, full)


def _check_broadcast(name: str, value: Tensor, full: tuple[int, int, int, int]) -> None:
    sizes = (*(1,) * (4 - value.ndim), *value.shape)
    fits = len(sizes) == 4 and all(s in (1, f) for s, f in zip(sizes, full, strict=True))
    if not fits:
        raise MaskError(
            f"{name} of shape {tuple(value.shape)} cannot be broadcast to (B, H, L, S) = {full}; "
            "a (B, S) padding mask becomes one by mask[:, None, None, :], "
            "a (B, L, S) one by mask[:, None]"
        )
