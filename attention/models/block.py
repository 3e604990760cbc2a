"""One block of a transformer: a layer of choice and a feed-forward part.

`B` batch, `L` positions, `W` model width.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import get_args

from torch import Tensor, nn

from attenergy.attention.models.bottleneck import NORM_EPS
from attenergy.attention.models.rows import at_rows
from attenergy.attention.modules.initialisation import dense
from attenergy.attention.modules.positions import RelativePositionBias
from attenergy.attention.modules.short_convolution import ShortConvolution
from attenergy.attention.saving.format import AnyLayer, ModelArguments, Part
from attenergy.attention.saving.pretrained import describe
from attenergy.registry import ArgumentError, AttenergyError, UnknownName

#: Attention with its norm, convolution and relative positions; the feed-forward part with its norm.
PARTS: tuple[Part, ...] = get_args(Part)


class Block(nn.Module):
    """h = x + Mixer(C(LN1 x)),  y = h + FFN(LN2 h),  FFN z = W2 gelu(W1 z + b1) + b2.

    GELU is its tanh approximation, C a causal short convolution. Without a convolution C z = z,
    without attention h = x, without a feed-forward part y = h.

    Args:
        width: W.
        mixer: the layer, `(B, L, W) -> (B, L, W)`.
        mlp: hidden width of the feed-forward part; 0 for none.
        bias: relative positions, handed to the mixer as its field; None for none.
        conv: kernel of the convolution (`ShortConvolution`); 0 for none.
    """

    norm1: nn.LayerNorm | None
    mixer: nn.Module | None

    def __init__(
        self,
        width: int,
        mixer: nn.Module,
        mlp: int,
        bias: RelativePositionBias | None = None,
        conv: int = 0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.bias = bias
        self.conv = ShortConvolution(width, conv) if conv else None
        self.mixer = mixer
        self.feed_forward = None
        if mlp:
            self.feed_forward = nn.Sequential(
                nn.LayerNorm(width, eps=NORM_EPS),
                dense(width, mlp),
                nn.GELU(approximate="tanh"),
                dense(mlp, width),
            )
        self._removed: AnyLayer | None = None  # the description of a mixer that was taken out

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        padding: Tensor | None = None,
        rows: slice | None = None,
    ) -> Tensor:
        """Return y (B, L, W) of x (B, L, W); `padding` (B, L) is False where x does not count.

        With `rows`, y[:, rows] alone (`attenergy.attention.models.rows`).
        """
        some = x if rows is None else x[:, rows]
        if self.mixer is None or self.norm1 is None:
            return self.after(some)
        z = self.norm1(x)
        if self.conv is not None:
            z = self.conv(z, padding)
        field = None if self.bias is None else self.bias(x.shape[1])
        if rows is not None:
            mixed = at_rows(self.mixer, z, rows, mask=mask, field=field, is_causal=is_causal)
            return self.after(some + mixed)
        return self.after(x + self.mixer(z, mask=mask, field=field, is_causal=is_causal))

    def after(self, h: Tensor) -> Tensor:
        """Return y of h, what comes after the mixer."""
        return h if self.feed_forward is None else h + self.feed_forward(h)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Which of "attention" and "mlp" it has."""
        has = {"attention": self.mixer is not None, "mlp": self.feed_forward is not None}
        return tuple(part for part in PARTS if has[part])

    def leave_out(self, parts: Collection[str]) -> None:
        """Take attention, the feed-forward part or both out for good, with all their parameters.

        Raises:
            ValueError: a part has another name.
        """
        for part in parts:
            if part not in PARTS:
                raise UnknownName("part of a block", str(part), PARTS)
        if "attention" in parts and self.mixer is not None:
            with suppress(AttenergyError):  # then only a model in memory can do without it
                self._removed = self.description()
            self.norm1 = self.bias = self.conv = self.mixer = None
        if "mlp" in parts:
            self.feed_forward = None

    def description(self) -> AnyLayer:
        """What its layer is made from, also of one that was left out.

        Raises:
            ValueError: the layer cannot be described.
        """
        if self.mixer is None:
            if self._removed is None:
                raise ArgumentError(
                    "the layer that was left out of a block kept no description",
                    topic="saved-model",
                )
            return self._removed
        layer = describe(self.mixer)
        if isinstance(layer, ModelArguments):
            raise ArgumentError(
                "only a model of layers can be described, not a model of models",
                topic="saved-model",
            )
        return layer


def own_blocks(blocks: nn.ModuleList) -> list[Block]:
    """The blocks of a model.

    Raises:
        ValueError: one is a module of another class, which says nothing of its parts.
    """
    for number, block in enumerate(blocks):
        if not isinstance(block, Block):
            raise ArgumentError(
                f"blocks[{number}] must be a Block to be described or left out, got a "
                f"{type(block).__name__} in its place; put the block itself back before",
                topic="saved-model",
            )
    return [block for block in blocks if isinstance(block, Block)]
