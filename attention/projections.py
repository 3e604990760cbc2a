"""What every multi-head layer shares: projections, masks and checks of shapes.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention.initialisation import dense


class Projections(nn.Module):
    """q = x Wq + bq,  k = c Wk + bk,  v = c Wv + bv per head;  out = sum_h z_h Wout_h + bout.

    Weights are LeCun normal, biases zero. The four maps are plain `nn.Linear` modules named
    `query`, `key`, `value` and `out`; head `h` owns the rows `h*d ... (h+1)*d - 1` of the first
    three and the columns `h*e ... (h+1)*e - 1` of the last.

    Args:
        embed_dim: width E of the states and of the result.
        num_heads: number of heads H.
        head_dim: width d of queries and keys; E / H if None.
        value_dim: width e of values; `head_dim` if None.
        context_dim: width of the stored patterns; E if None.
        bias: whether the maps have biases.
        with_values: whether there is a `value` map; without it the heads' states, of width
            `head_dim`, are what `merge` takes.
        with_keys: whether there is a `key` map; without it the states are their own patterns.

    Raises:
        ValueError: a size is below 1, or `head_dim` is None and H does not divide E.
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
    ) -> None:
        super().__init__()
        for name, size in (("embed_dim", embed_dim), ("num_heads", num_heads)):
            _check_size(name, size)
        if head_dim is None:
            if embed_dim % num_heads:
                raise ValueError(
                    f"embed_dim ({embed_dim}) is not a multiple of num_heads ({num_heads}); "
                    "choose another number of heads or give head_dim"
                )
            head_dim = embed_dim // num_heads
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, head_dim
        self.value_dim = head_dim if value_dim is None else value_dim
        self.context_dim = embed_dim if context_dim is None else context_dim
        for name in ("head_dim", "value_dim", "context_dim"):
            _check_size(name, getattr(self, name))
        self.query = dense(embed_dim, num_heads * head_dim, bias)
        if with_keys:
            self.key = dense(self.context_dim, num_heads * head_dim, bias)
        if with_values:
            self.value = dense(self.context_dim, num_heads * self.value_dim, bias)
        self.out = dense(num_heads * self.value_dim, embed_dim, bias)

    def heads(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, d), k (B, H, S, d) and v (B, H, S, e).

        Args:
            x: states (B, L, E).
            context: stored patterns (B, S, context_dim); the states themselves if None.
        """
        q, k = self.states(x, context)
        return q, k, self.values(x if context is None else context)

    def states(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return q (B, H, L, d) and k (B, H, S, d) alone; k is q if there is no `key` map."""
        q = self._split(self.query(x))
        if not hasattr(self, "key"):
            return q, q
        return q, self._split(self.key(x if context is None else context))

    def values(self, context: Tensor) -> Tensor:
        """Return v (B, H, S, e) alone."""
        return self._split(self.value(context))

    def merge(self, z: Tensor) -> Tensor:
        """Return sum_h z_h Wout_h + bout, (B, L, E), of what the heads read, z (B, H, L, e)."""
        out: Tensor = self.out(z.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


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
    """
    if not is_causal:
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
    _check_sequence("x", x, "(B, L, E)", projections.embed_dim)
    if context is not None:
        _check_sequence("context", context, "(B, S, C)", projections.context_dim)
        if context.shape[0] != x.shape[0]:
            raise ValueError(
                f"x and context must have the same batch size, "
                f"got {x.shape[0]} and {context.shape[0]}"
            )
    elif projections.context_dim != projections.embed_dim:
        raise ValueError(
            f"this layer reads patterns of width {projections.context_dim} and states of width "
            f"{projections.embed_dim}: give `context`"
        )
    stored = (x if context is None else context).shape[1]
    full = (x.shape[0], projections.num_heads, x.shape[1], stored)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be boolean, True where a state may see a pattern, got {mask.dtype}; "
                "numbers to be added to the scores go to `field`"
            )
        _check_broadcast("mask", mask, full)
    if field is not None:
        if not field.is_floating_point():
            raise ValueError(f"field must be floating point, got {field.dtype}")
        _check_broadcast("field", field, full)


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")


def _check_sequence(name: str, value: Tensor, axes: str, width: int) -> None:
    if value.ndim != 3 or value.shape[-1] != width:
        raise ValueError(
            f"{name} must be {axes} with last axis {width}, got shape {tuple(value.shape)}"
        )


def _check_broadcast(name: str, value: Tensor, full: tuple[int, int, int, int]) -> None:
    sizes = (*(1,) * (4 - value.ndim), *value.shape)
    fits = len(sizes) == 4 and all(s in (1, f) for s, f in zip(sizes, full, strict=True))
    if not fits:
        raise ValueError(
            f"{name} of shape {tuple(value.shape)} cannot be broadcast to (B, H, L, S) = {full}; "
            "a (B, S) padding mask becomes one by mask[:, None, None, :], "
            "a (B, L, S) one by mask[:, None]"
        )
