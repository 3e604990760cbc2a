"""A pre-norm transformer with one layer of choice in every block.

`B` batch, `L` positions, `H` heads, `W` model width.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal, Self, Unpack, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint as recomputed

from attenergy.attention.factory import LayerLike, MakeLayer, layer_makers
from attenergy.attention.layers.head_groups import groups_of
from attenergy.attention.models.block import PARTS, Block, own_blocks
from attenergy.attention.models.bottleneck import NORM_EPS, Bottleneck
from attenergy.attention.models.direct_calls import forward_is_of
from attenergy.attention.models.rows import states_apart
from attenergy.attention.models.trace import ModelTrace, block_weights, trace
from attenergy.attention.modules.arguments import (
    check_flag,
    check_size,
    check_whole,
    is_whole,
    option,
)
from attenergy.attention.modules.embedding import InputEmbedding, InputShape, check_inputs
from attenergy.attention.modules.initialisation import dense
from attenergy.attention.modules.masks import tokens_there
from attenergy.attention.modules.positions import AbsolutePositions, RelativePositionBias, rotates
from attenergy.attention.saving.format import ModelArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.registry import ArgumentError, RegistryLike, UnknownName

Positions = Literal["relative", "absolute", "rotary", "none"]
Readout = Literal["position", "bottleneck", "tied"]


class Transformer(Pretrained, nn.Module):
    """y = Wout LN(Block_n(... Block_1(embed(inputs)))) + bout.

    Pre-norm blocks, none of them shared. Relative positions are a bias per block that the layer
    adds to its scores. A layer that reads no field (`reads_field` False or absent) cannot use
    them; then the whole model has learned absolute positions on its inputs instead, and
    `positions_used` says so. Rotary positions are the layer's own: it is made with `rotary=True`;
    if it then has none (`attenergy.attention.modules.positions.rotates`), the same is
    done about it.

    Args:
        outputs: numbers per position.
        layers: number of blocks; or, without `make_layer`, the layer of every block as
            `attenergy.make_layer` takes it (`["lse", "hyla+rbm"]`), or the name of a stack of them
            (`"lse/hyla+rbm"`).
        width: W.
        heads: H of the relative bias; the same as the layer's.
        mlp: hidden width of the feed-forward parts; 0 for none.
        positions: how a layer gets to know the order: "relative", "absolute", "rotary" or "none".
        make_layer: called once per block, returns a new layer
            `layer(x, *, mask, field, is_causal)`, `(B, L, W) -> (B, L, W)`. Called with
            `rotary=True` if positions are rotary, else without arguments. Or one for each block.
        causal: whether positions see only themselves and earlier ones, unless `forward` says else.
        conv: kernel of a causal short convolution before every layer; 0 for none.
        readout: "position", as above; "tied", y = LN(...) T' with the table T of the embedding;
            "bottleneck", all outputs from the last position's vector (`Bottleneck`).
        checkpoint: whether training keeps only the blocks' inputs and computes the rest again on
            the way back: less memory, more time, equal values and gradients. Energies without
            weights over patterns need backend "traced", as `torch.func.grad` allows no such hooks.
        without: for every block what it does without, of "attention" and "mlp"; nothing if None.
        registry: where names of layers are looked up: a registry, or a file added to the built-in
            one and plug-ins, which are taken if None.
        **inputs: `kind`, `size`, `length` and `channels`; see `InputShape`.

    Attributes:
        blocks: the blocks; `blocks[i].mixer` is the layer of block i.
        positions_used: "relative", "absolute", "rotary" or "none".
        options: what it was made with besides its layer, plain values.

    Raises:
        TypeError: an argument that there is not, or one that is missing.
        ValueError: unknown `kind`, `positions` or `readout`, or sizes that do not fit.

    Source: Schug et al. 2025, arXiv:2406.05816 (section 4).

    Example:
        >>> model = attenergy.Transformer(
        ...     layers=["lse", "hyla+rbm"], positions="absolute", kind="vector",
        ...     size=3, length=10, outputs=5, width=32, heads=4, mlp=64,
        ... )
        >>> model(torch.randn(2, 10, 3)).shape
        torch.Size([2, 10, 5])
    """

    saved_part: ClassVar = "model"
    language: ClassVar[bool] = False  # whether it is a `LanguageModel`

    causal = option("causal", lambda _, value: check_flag("causal", value), "As made.")
    checkpoint = option("checkpoint", lambda _, v: check_flag("checkpoint", v), "As made.")

    def __init__(  # noqa: PLR0913 - every choice of a model, each by keyword
        self,
        *,
        outputs: int,
        layers: int | str | Sequence[LayerLike],
        width: int,
        heads: int,
        mlp: int,
        positions: Positions,
        make_layer: MakeLayer | Sequence[MakeLayer] | None = None,
        causal: bool = False,
        conv: int = 0,
        readout: Readout = "position",
        checkpoint: bool = False,
        without: Sequence[Collection[str]] | None = None,
        registry: RegistryLike | None = None,
        **inputs: Unpack[InputShape],
    ) -> None:
        check_inputs(type(self), inputs)
        super().__init__()
        _check_choice("positions", positions, get_args(Positions))
        _check_choice("readout", readout, get_args(Readout))
        for name, size in (("outputs", outputs), ("width", width), ("heads", heads)):
            check_size(name, size)
        check_whole("mlp", mlp, 0)
        if not is_whole(conv) or conv < 0:
            raise ArgumentError(f"conv must be a kernel from 1, or 0 for none, got {conv}")
        self.causal, self.checkpoint = causal, checkpoint
        self.embedding = InputEmbedding(width, **inputs)
        length = self.embedding.length
        makers = layer_makers(
            layers, make_layer, embed_dim=width, num_heads=heads, length=length, registry=registry
        )
        self.options: dict[str, Any] = {
            "outputs": outputs, "layers": len(makers), "mlp": mlp, "positions": positions,
            "causal": causal, "conv": conv, "readout": readout, "checkpoint": checkpoint, **inputs,
        }  # fmt: skip
        extra = {"rotary": True} if positions == "rotary" else {}
        mixers = [make(**extra) for make in makers]
        if not all(_able(mixer, positions) for mixer in mixers):
            positions = "absolute"
            mixers = [make() for make in makers] if extra else mixers
        self.positions_used: Positions = positions
        self.positions = AbsolutePositions(length, width) if positions == "absolute" else None
        relative = positions == "relative"
        self.blocks = nn.ModuleList(
            Block(
                width, mixer, mlp, RelativePositionBias(heads, length) if relative else None, conv
            )
            for mixer in mixers
        )
        if without is not None:
            self._leave_out(without)
        self.norm = None if readout == "bottleneck" else nn.LayerNorm(width, eps=NORM_EPS)
        self.out: nn.Module | None = None
        if readout == "tied":
            _check_tied(self.embedding, outputs)
        else:
            self.out = Bottleneck(width, outputs) if self.norm is None else dense(width, outputs)

    def changed(self, name: str) -> None:
        """Remember an option that was set after the model was made."""
        self.options[name] = getattr(self, name)

    def forward(
        self,
        inputs: Tensor,
        *,
        mask: Tensor | None = None,
        is_causal: bool | None = None,
        rows: slice | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """Return (B, L, outputs).

        Args:
            inputs: (B, L, size) vectors, or (B, L) or (B, L, channels) tokens.
            mask: boolean. (L) or (B, L): False at padding, which no position sees. (B, L, L): True
                where a position may see another. Or anything with four axes that can be broadcast
                to (B, H, L, L).
            is_causal: whether positions see only themselves and earlier ones; as the model was
                made (`causal`) if None.
            rows: positions whose outputs are wanted, with a step of 1: then (B, R, outputs) is
                returned. If no state of the last layer acts on another, its block computes nothing
                else; otherwise everything is computed. Equal to the rows of the whole, but for
                rounding.
            need_weights: whether to return a pair of the outputs, which stay the same, and of every
                block the weights over patterns (T, B, H, L, L) at each of the states of its steps
                (`attenergy.trace`; T = 1 for a mixer).

        Raises:
            ValueError: a shape or type does not fit, or a block has no weights.
        """
        if need_weights:
            graph = torch.is_grad_enabled()
            traced = trace(
                self, inputs, mask=mask, is_causal=is_causal, rows=rows, keep_graph=graph
            )
            return traced.out, block_weights(traced, len(self.blocks))
        x = self.embedding(inputs)
        if self.positions is not None:
            x = self.positions(x)
        seen, padding = (None, None) if mask is None else tokens_there(mask, *x.shape[:2])
        causal = self.causal if is_causal is None else is_causal
        alone = rows is not None and self._may_skip(seen, causal)
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            some = rows if alone and number == last else None
            if self.checkpoint and torch.is_grad_enabled():
                x = recomputed(block, x, seen, causal, padding, some, use_reentrant=False)
            else:
                x = block(x, seen, causal, padding, some)
        y = self.read(x, padding)
        return y if alone or rows is None else y[:, rows]

    def trace(self, inputs: Tensor, **arguments: Any) -> ModelTrace:
        """What every block does with these inputs; `attenergy.trace` of this model."""
        return trace(self, inputs, **arguments)

    def _may_skip(self, mask: Tensor | None, is_causal: bool) -> bool:
        """Whether the last block can be computed at some positions only, exactly."""
        block = self.blocks[-1]
        if self.norm is None or not isinstance(block, Block) or not forward_is_of(block, Block):
            return False  # a bottleneck answers everywhere; another module knows of no rows
        mixer = block.mixer
        return mixer is None or (
            states_apart(mixer, mask, is_causal)
            and not rotates(mixer)  # positions would be counted from the first row
        )

    def read(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the outputs (B, L, outputs) of what the last block gave, x (B, L, W)."""
        if self.norm is None:
            assert self.out is not None  # a bottleneck has norms of its own
            outputs: Tensor = self.out(x, padding)
            return outputs
        x = self.norm(x)
        logits: Tensor = linear(x, self._table()) if self.out is None else self.out(x)
        return logits

    def description(self) -> ModelArguments:
        """What the model is saved as.

        Raises:
            ValueError: a layer cannot be described, or a block is another module.
        """
        layers = tuple(block.description() for block in own_blocks(self.blocks))
        blocks = layers if any(layer != layers[0] for layer in layers) else None
        return ModelArguments(
            layer=layers[0], blocks=blocks, language=self.language, **self.options
        )

    def reduced(self, without: Sequence[Collection[str]]) -> Self:
        """A copy that does without some parts of its blocks, and without their parameters.

        Block `i` keeps x where its attention was, and h where its feed-forward part was. A block
        that has neither is no block of the copy, unless it is the last that there is.

        Args:
            without: for every block what is left out, of "attention" and "mlp".

        Raises:
            ValueError: the number of blocks is another, a part has another name, or a block is
                another module.
        """
        smaller = copy.deepcopy(self)
        smaller._leave_out(without)
        blocks = [block for block in own_blocks(smaller.blocks) if block.parts]
        smaller.blocks = nn.ModuleList(blocks or list(smaller.blocks)[:1])
        smaller.options |= {"layers": len(smaller.blocks), "positions": self.positions_used}
        smaller._describe_absent()
        return smaller

    def _leave_out(self, without: Sequence[Collection[str]]) -> None:
        if isinstance(without, str) or len(without) != len(self.blocks):
            raise ArgumentError(
                f"without must hold one entry for each of {len(self.blocks)} blocks, got "
                f"{len(without)}"
            )
        for block, parts in zip(own_blocks(self.blocks), without, strict=True):
            block.leave_out(parts)
        self._describe_absent()

    def _describe_absent(self) -> None:
        """Remember among the options what the blocks do without."""
        whole = PARTS if self.options["mlp"] else PARTS[:1]
        absent = tuple(
            tuple(part for part in whole if part not in block.parts)
            for block in own_blocks(self.blocks)
        )
        self.options.pop("without", None)
        if any(absent):
            self.options["without"] = absent

    def _table(self) -> Tensor:
        table = self.embedding.tables[0].weight
        assert isinstance(table, Tensor)  # for the type checker: attributes are a union
        return table


def _able(mixer: nn.Module, positions: Positions) -> bool:
    """Whether a layer does its part in such positions."""
    if positions == "relative":
        return bool(getattr(mixer, "reads_field", False))
    return positions != "rotary" or all(map(rotates, groups_of(mixer)))


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownName(name, str(value), allowed)


def _check_tied(embedding: InputEmbedding, outputs: int) -> None:
    if embedding.kind != "token" or embedding.channels != 1 or outputs != embedding.size:
        raise ArgumentError(
            "a tied readout needs tokens of one channel and as many outputs as tokens, got "
            f"kind {embedding.kind!r}, {embedding.channels} channels, {embedding.size} tokens and "
            f"{outputs} outputs"
        )
