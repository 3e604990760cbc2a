"""A causal transformer over tokens that continues sequences.

`B` batch, `L` positions, `W` model width, `V` tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from attenergy.attention.factory import LayerLike, MakeLayer
from attenergy.attention.models.block import Block
from attenergy.attention.models.direct_calls import forward_is_of, is_hooked
from attenergy.attention.models.kv_cache import Kind, LayerCache, caching, layer_cache
from attenergy.attention.models.transformer import Positions, Transformer
from attenergy.attention.modules.arguments import (
    check_flag,
    check_from_zero,
    check_size,
    check_tensor,
    check_whole,
    fixed,
    option,
)
from attenergy.attention.modules.modes import evaluating
from attenergy.registry import RegistryLike, ShapeError


class LanguageModel(Transformer):
    """p(next token) = softmax(y[t]),  y = LN(Block_n(... Block_1(embed(tokens)))) T'.

    A `Transformer` whose positions see only themselves and earlier ones. T (V, W) is the table of
    the embedding; without tying the readout has a map and a bias of its own.

    Args:
        vocabulary: V.
        length: number of positions L that it is made for. Absolute positions end there; relative
            ones know no greater distances; rotary ones have no end.
        width: W.
        heads: H of the relative bias; the same as the layer's.
        layers: see `Transformer`: their number, or the names of the layers of all blocks.
        mlp: hidden width of the feed-forward parts; 0 for none.
        make_layer: see `Transformer`; the layers must be able to be causal.
        positions: see `Transformer`.
        tied: whether the readout is the table of the embedding.
        conv: see `Transformer`.
        checkpoint: see `Transformer`.
        without: see `Transformer`.
        registry: see `Transformer`.

    Raises:
        ValueError: see `Transformer`.

    Source: Schug et al. 2025, arXiv:2406.05816 (section 4.3); tied tables: Press and Wolf 2017,
    arXiv:1608.05859.

    Example:
        >>> model = attenergy.LanguageModel(
        ...     vocabulary=20, length=16, width=32, heads=4, layers="lse/linear", mlp=64
        ... )
        >>> model(torch.zeros(2, 7, dtype=torch.long)).shape
        torch.Size([2, 7, 20])
        >>> model.generate(torch.zeros(1, 2, dtype=torch.long), 5).shape
        torch.Size([1, 7])
    """

    language: ClassVar[bool] = True

    causal: bool = option("causal", fixed("causal"), "Always.")

    def __init__(  # noqa: PLR0913 - every choice of a model, each by keyword
        self,
        *,
        vocabulary: int,
        length: int,
        width: int,
        heads: int,
        layers: int | str | Sequence[LayerLike],
        mlp: int,
        make_layer: MakeLayer | Sequence[MakeLayer] | None = None,
        positions: Positions = "relative",
        tied: bool = True,
        conv: int = 0,
        checkpoint: bool = False,
        without: Sequence[Collection[str]] | None = None,
        registry: RegistryLike | None = None,
    ) -> None:
        check_size("vocabulary", vocabulary)
        check_flag("tied", tied)
        super().__init__(
            kind="token", size=vocabulary, length=length, outputs=vocabulary,
            width=width, heads=heads, layers=layers, mlp=mlp,
            make_layer=make_layer, positions=positions, causal=True, conv=conv,
            readout="tied" if tied else "position", checkpoint=checkpoint,
            without=without, registry=registry,
        )  # fmt: skip

    @property
    def caching(self) -> tuple[Kind | Literal["absent"], ...]:
        """How each block's layer is decoded (`attenergy.attention.models.kv_cache`).

        "absent" where a block has none, which needs nothing of the earlier positions. "none" also
        where a block or its layer has hooks, or another module stands in its place, and everywhere
        if the model has hooks or a `forward` of its own: they may read all positions.
        """
        if is_hooked(self) or not forward_is_of(self, Transformer):
            kinds: list[Kind] = ["none"] * len(self.blocks)
            return tuple(kinds)
        return tuple(_kind(block) for block in self.blocks)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        n: int,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Append n tokens, each drawn from softmax(y / temperature) of the last position.

        Earlier positions are not computed again if all layers allow it (`caching`). Nothing is
        dropped out, whether or not the model is in training mode; afterwards every part is in its
        own mode again. Hooks act as in `model(tokens)`: with one on the model, a block or its layer
        that is what is called for every token; one on smaller parts sees each position once.

        Args:
            tokens: the beginning, whole numbers (B, L), L from 1.
            n: number of tokens to append, from 0.
            temperature: finite, from 0; 0 always takes the likeliest token.
            generator: source of the randomness; torch's own if None.

        Returns:
            (B, L + n), the beginning included.

        Raises:
            ValueError: a number or shape does not fit, or absolute positions come to their end.
        """
        check_whole("n", n, 0)
        check_from_zero("temperature", temperature)
        check_tensor("tokens", tokens)
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ShapeError(
                f"tokens must be (B, L) with L from 1, got shape {tuple(tokens.shape)}"
            )
        with evaluating(self):
            decoder, new = Decoder(self), tokens
            for _ in range(n):
                logits = decoder.extend(new)[:, -1]
                new = _drawn(logits, temperature, generator).to(tokens.dtype)
                tokens = torch.cat([tokens, new], dim=1)
        return tokens


class Decoder:
    """Reads a sequence piece by piece, and gives the logits that the model gives for all of it.

    If all layers have a cache (`LanguageModel.caching`), only the new positions are computed; else
    all so far are, in every piece, by a call of the model. An energy whose patterns sit on a graph
    or a curve is of the second kind, and the logits at a position then also depend on how many
    positions there are.

    One decoder reads one batch of sequences, from their beginning. Put the model in evaluation mode
    before, as dropout would draw anew for every piece.

    Args:
        model: the language model; its parameters and hooks must stay as they are meanwhile.

    Example:
        >>> model = attenergy.LanguageModel(
        ...     vocabulary=9, length=8, width=16, heads=2, layers="lse", mlp=0, positions="rotary"
        ... ).eval()
        >>> tokens = torch.tensor([[1, 2, 3, 4]])
        >>> decoder = Decoder(model)
        >>> first, rest = decoder.extend(tokens[:, :3]), decoder.extend(tokens[:, 3:])
        >>> torch.allclose(rest, model(tokens)[:, 3:], atol=1e-5)
        True
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.length = model, 0
        self.caches: list[LayerCache | None] | None = None
        if "none" not in model.caching:
            self.caches = [_cache(block) for block in _decoded(model)]
        self.before: list[Tensor | None] = [None] * len(model.blocks)
        self.tokens: Tensor | None = None

    def extend(self, tokens: Tensor) -> Tensor:
        """Read further tokens (B, n), n from 1, and return the logits (B, n, V) at them.

        Raises:
            ValueError: a shape or type does not fit, or absolute positions come to their end.
        """
        if self.caches is None:
            all_ = tokens if self.tokens is None else torch.cat([self.tokens, tokens], dim=1)
            self.tokens = all_
            logits: Tensor = self.model(all_)
            return logits[:, -tokens.shape[1] :]
        x = self.model.embedding(tokens)
        if self.model.positions is not None:
            x = self.model.positions(x, self.length)
        for index, (block, cache) in enumerate(zip(_decoded(self.model), self.caches, strict=True)):
            if cache is not None and block.norm1 is not None:
                z = self._convolved(block, block.norm1(x), index)
                x = x + cache.extend(z, block.bias)
            x = block.after(x)
        self.length += tokens.shape[1]
        return self.model.read(x)

    def _convolved(self, block: Block, z: Tensor, index: int) -> Tensor:
        """What the block's short convolution makes of z, which is remembered for what comes."""
        if block.conv is None:
            return z
        before = self.before[index]
        out: Tensor = block.conv(z, before=before)
        if before is None:
            before = z.new_zeros(z.shape[0], block.conv.kernel - 1, z.shape[2])
        self.before[index] = torch.cat([before, z], dim=1)[:, z.shape[1] :]
        return out


def _decoded(model: Transformer) -> list[Block]:
    """The blocks of a model whose parts are called in their place."""
    return [cast(Block, block) for block in model.blocks]


def _kind(block: nn.Module) -> Kind | Literal["absent"]:
    if not isinstance(block, Block) or not forward_is_of(block, Block) or is_hooked(block):
        return "none"
    if block.mixer is None:
        return "absent"
    return caching(block.mixer, has_field=block.bias is not None)


def _cache(block: Block) -> LayerCache | None:
    if block.mixer is None:
        return None
    return layer_cache(block.mixer, has_field=block.bias is not None)


def _drawn(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """One token for each row of logits (B, V), as (B, 1)."""
    # Below, the quotient of equal logits would be no number where denormal ones count as 0.
    if temperature < torch.finfo(torch.float64).tiny:
        return logits.argmax(-1, keepdim=True)
    below = (logits - logits.amax(-1, keepdim=True)).double()
    weights = (below / temperature).softmax(-1).to(logits.dtype)
    return torch.multinomial(weights, 1, generator=generator)
