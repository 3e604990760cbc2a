"""A pre-norm transformer with one layer of choice in every block.

`B` batch, `L` positions, `H` heads, `W` model width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NotRequired, TypedDict, Unpack, get_args

import torch
from torch import Tensor, nn

from attenergy.attention.initialisation import dense
from attenergy.attention.positions import AbsolutePositions, RelativePositionBias

Positions = Literal["relative", "absolute", "none"]

_NORM_EPS = 1e-6  # of every layer norm; all-zero tokens make the first one sensitive to it


class InputShape(TypedDict):
    """What a sequence is made of.

    kind: "vector" for float tokens of width `size`, "token" for whole numbers below `size`.
    size: width of a vector, or number of different tokens.
    length: number of positions L that the model is made for.
    channels: tokens per position (1 if absent).
    """

    kind: Literal["vector", "token"]
    size: int
    length: int
    channels: NotRequired[int]


class InputEmbedding(nn.Module):
    """Vectors: x Win + bin. Tokens: the table's row of each channel, side by side.

    Tables start as N(0, 1/W) per entry, so that an embedded position has an expected squared
    length of 1; Win is LeCun normal.

    Args:
        width: W.
        kind: see `InputShape`, as the other three.
        size: see `InputShape`.
        length: see `InputShape`.
        channels: see `InputShape`; the channels share the width equally.

    Raises:
        ValueError: unknown kind, or channels that do not fit.
    """

    def __init__(self, width: int, *, kind: str, size: int, length: int, channels: int = 1) -> None:
        super().__init__()
        self.kind, self.size, self.length, self.channels = kind, size, length, channels
        if kind == "vector":
            if channels != 1:
                raise ValueError(f"only tokens have channels, got {channels} of kind 'vector'")
            self.dense = dense(size, width)
        elif kind == "token":
            if channels < 1 or width % channels:
                raise ValueError(f"channels must divide the width {width}, got {channels}")
            self.tables = nn.ModuleList(
                nn.Embedding(size, width // channels) for _ in range(channels)
            )
            for table in self.tables.parameters():
                nn.init.normal_(table, std=width**-0.5)
        else:
            raise ValueError(f"kind must be 'vector' or 'token', got {kind!r}")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (B, L, W) of vectors (B, L, size) or tokens (B, L) or (B, L, channels).

        Raises:
            ValueError: shape or type of the inputs does not fit.
        """
        if self.kind == "vector":
            if inputs.ndim != 3 or inputs.shape[-1] != self.size:
                raise ValueError(
                    f"inputs must be (B, L, {self.size}) vectors, got shape {tuple(inputs.shape)}"
                )
            out: Tensor = self.dense(inputs)
            return out
        if inputs.is_floating_point() or inputs.dtype == torch.bool:
            raise ValueError(f"inputs must be whole numbers below {self.size}, got {inputs.dtype}")
        tokens = inputs.unsqueeze(-1) if inputs.ndim == 2 else inputs
        if tokens.ndim != 3 or tokens.shape[-1] != self.channels:
            raise ValueError(
                f"inputs must be (B, L, {self.channels}) tokens"
                f"{' or (B, L)' if self.channels == 1 else ''}, got shape {tuple(inputs.shape)}"
            )
        channels = zip(self.tables, tokens.unbind(-1), strict=True)
        return torch.cat([table(ids) for table, ids in channels], dim=-1)


class Block(nn.Module):
    """h = x + Mixer(LN1 x),  y = h + FFN(LN2 h),  FFN z = W2 gelu(W1 z + b1) + b2.

    GELU is its tanh approximation. Without a feed-forward part y = h.

    Args:
        width: W.
        mixer: the layer, `(B, L, W) -> (B, L, W)`.
        mlp: hidden width of the feed-forward part; 0 for none.
        bias: relative positions, handed to the mixer as its field; None for none.
    """

    def __init__(
        self, width: int, mixer: nn.Module, mlp: int, bias: RelativePositionBias | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_NORM_EPS)
        self.bias = bias
        self.mixer = mixer
        self.feed_forward = None
        if mlp:
            self.feed_forward = nn.Sequential(
                nn.LayerNorm(width, eps=_NORM_EPS),
                dense(width, mlp),
                nn.GELU(approximate="tanh"),
                dense(mlp, width),
            )

    def forward(self, x: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return y (B, L, W) of x (B, L, W)."""
        field = None if self.bias is None else self.bias(x.shape[1])
        x = x + self.mixer(self.norm1(x), mask=mask, field=field, is_causal=is_causal)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class Transformer(nn.Module):
    """y = Wout LN(Block_n(... Block_1(embed(inputs)))) + bout.

    Pre-norm blocks, none of them shared. Relative positions are a bias per block that the layer
    adds to its scores. A layer that reads no field (`reads_field` False or absent) cannot use
    them; then the whole model has learned absolute positions on its inputs instead, and
    `positions_used` says so.

    Args:
        outputs: numbers per position.
        layers: number of blocks.
        width: W.
        heads: H of the relative bias; the same as the layer's.
        mlp: hidden width of the feed-forward parts; 0 for none.
        positions: how a layer gets to know the order.
        make_layer: called once per block, returns a new layer
            `layer(x, *, mask, field, is_causal)`, `(B, L, W) -> (B, L, W)`.
        **inputs: `kind`, `size`, `length` and `channels`; see `InputShape`.

    Attributes:
        blocks: the blocks; `blocks[i].mixer` is the layer of block i.
        positions_used: "relative", "absolute" or "none".

    Raises:
        ValueError: unknown `kind` or `positions`, or sizes that do not fit.

    Source: Schug et al. 2025, arXiv:2406.05816 (section 4).
    """

    def __init__(
        self,
        *,
        outputs: int,
        layers: int,
        width: int,
        heads: int,
        mlp: int,
        positions: Positions,
        make_layer: Callable[[], nn.Module],
        **inputs: Unpack[InputShape],
    ) -> None:
        super().__init__()
        if positions not in get_args(Positions):
            allowed = ", ".join(get_args(Positions))
            raise ValueError(f"positions must be one of {allowed}, got {positions!r}")
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.embedding = InputEmbedding(width, **inputs)
        length = self.embedding.length
        mixers = [make_layer() for _ in range(layers)]
        reads_field = all(getattr(mixer, "reads_field", False) for mixer in mixers)
        if positions == "relative" and not reads_field:
            positions = "absolute"
        self.positions_used: Positions = positions
        self.positions = AbsolutePositions(length, width) if positions == "absolute" else None
        relative = positions == "relative"
        self.blocks = nn.ModuleList(
            Block(width, mixer, mlp, RelativePositionBias(heads, length) if relative else None)
            for mixer in mixers
        )
        self.norm = nn.LayerNorm(width, eps=_NORM_EPS)
        self.out = dense(width, outputs)

    def forward(
        self, inputs: Tensor, *, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Return (B, L, outputs).

        Args:
            inputs: (B, L, size) vectors, or (B, L) or (B, L, channels) tokens.
            mask: boolean, broadcastable to (B, H, L, L), True where a position may see another.
            is_causal: whether positions see only themselves and earlier ones.

        Raises:
            ValueError: a shape or type does not fit.
        """
        x = self.embedding(inputs)
        if self.positions is not None:
            x = self.positions(x)
        for block in self.blocks:
            x = block(x, mask=mask, is_causal=is_causal)
        logits: Tensor = self.out(self.norm(x))
        return logits
