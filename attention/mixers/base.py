"""What all mixers share: how they are called, what they refuse, and reading one state at a time.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypedDict, Unpack

import torch
from torch import Tensor

from attenergy.attention.mixers.weights import masked_softmax, scores
from attenergy.attention.modules.arguments import check_flag, check_size, fixed, option
from attenergy.attention.modules.masks import seen_alone, states_of
from attenergy.attention.modules.pair_dropout import PairDropout
from attenergy.attention.modules.positions import rotates
from attenergy.attention.modules.projections import Decoding, Projections, check_shapes, visible
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.registry import ArgumentError, Catalogue, MixerSpec

#: What `step` carries from one state to the next; the batch is the first axis of each tensor.
State = tuple[Tensor, ...]


class Maps(TypedDict, total=False):
    """Arguments that every mixer passes on to its `Projections`: see `Mixer`."""

    head_dim: int | None
    value_dim: int | None
    context_dim: int | None
    bias: bool
    rotary: bool


class Sizes(Maps, total=False):
    """Arguments that every mixer takes: see `Mixer`."""

    dropout: float


class HeadInputs(NamedTuple):
    """What the heads of a mixer read.

    Attributes:
        q: (B, H, L, d).
        k: (B, H, S, d).
        v: (B, H, S, e).
        mask: boolean, broadcastable to (B, H, L, S), causality not included; None if all is
            visible.
        field: broadcastable to (B, H, L, S), or None.
        is_causal: whether state i sees only patterns j <= i.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    field: Tensor | None
    is_causal: bool


class Mixer(Pretrained, PairDropout):
    """out_i = sum_h Wout_h sum_j a[h,i,j] v[h,j] + bout.

    The base of layers whose update is written by hand. A subclass says what the weights a are
    (`weights`; here the softmax of q.k / sqrt(d) + field) and, where the same result has a cheaper
    form, that form (`fast_path`).

    Hidden pairs weigh exactly 0, a state that sees nothing reads 0, so that its output is bout.
    Dropout removes pairs (i, j) in training; it needs the weights, so it rules out the fast path.

    Args:
        embed_dim: E.
        num_heads: H.
        **sizes: `head_dim` (d; E / H if None), `value_dim` (e; d if None), `context_dim` (width of
            the stored patterns; E if None), `dropout` (probability of removing a pair in training,
            0), `bias` (whether the projections have biases, True) and `rotary` (whether queries and
            keys are turned by their positions, False).

    Raises:
        ValueError: sizes that do not fit.

    Example:
        >>> class Mean(Mixer):
        ...     def weights(self, q, k, seen, field):
        ...         seen = torch.ones(q.shape[-2], k.shape[-2]) if seen is None else seen.to(q)
        ...         return (seen / seen.sum(-1, keepdim=True)).expand(*q.shape[:-1], k.shape[-2])
        >>> Mean(16, 2)(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    #: What a head reads, as LaTeX, for pages.
    latex: ClassVar[str] = ""
    reads_field: ClassVar[bool] = True  # whether a field, and so a relative position, is read
    has_weights: ClassVar[bool] = True  # whether `need_weights` can be honoured
    takes_context: ClassVar[bool] = True  # whether the patterns may be others than the states
    always_causal: ClassVar[bool] = False  # whether `is_causal` is on in any case
    needs_length: ClassVar[bool] = False  # whether the greatest S is an argument, `length`
    states_apart: ClassVar[bool] = False  # whether no state of a sample acts on another one
    takes_rotary: ClassVar[bool] = True  # whether queries and keys may be turned by positions
    decoding: ClassVar[tuple[Decoding, ...]] = ("streamed",)  # the ways to continue, best first
    #: Is told what the heads read, before they do.
    watch: Callable[[HeadInputs], None] | None = None

    embed_dim: int = option("embed_dim", fixed("embed_dim"), "E.")
    num_heads: int = option("num_heads", fixed("num_heads"), "H.")

    def __init__(self, embed_dim: int, num_heads: int, **sizes: Unpack[Sizes]) -> None:
        super().__init__()
        check_size("embed_dim", embed_dim)
        check_size("num_heads", num_heads)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout = sizes.pop("dropout", 0.0)
        maps: Maps = sizes
        if maps.get("context_dim") is not None and not self.takes_context:
            raise ArgumentError(
                f"{type(self).__name__} takes no context, and so no context_dim",
                topic="couples-states",
            )
        if check_flag("rotary", maps.get("rotary", False)) and not self.takes_rotary:
            raise ArgumentError(
                f"{type(self).__name__} takes no `rotary`: its scores are no inner products, so "
                "they would not depend on distances alone",
                topic="no-field",
            )
        self.projections = self._projections(maps)

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
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern. With
                two axes (L, S) it counts for all samples, with three (H, L, S) for each head; a
                shape that may be padding (B, S) or pairs (B, L, S) as well is refused.
            field: finite numbers added to the scores, broadcastable to (B, H, L, S).
            is_causal: whether state i sees only patterns j <= i (`projections.visible`).
            need_weights: whether to return the weights a as well.

        Returns:
            (B, L, E), or a pair of it and the weights (B, H, L, S), as dropped out in training.

        Raises:
            ValueError: a shape or type does not fit, or the mixer has no field, context or weights.
        """
        self._check(x, context, mask, field, need_weights)
        if mask is not None:
            within, context = context is None, seen_alone(x if context is None else context, mask)
            x = states_of(x, context) if within else x
        q, k, v = self.heads(x, context)
        if field is not None:
            field = field.to(q.dtype)  # under autocast a field may come in a wider type
        causal = self.always_causal or (
            is_causal is not None and check_flag("is_causal", is_causal)
        )
        if self.watch is not None:
            self.watch(HeadInputs(q, k, v, mask, field, causal))
        if not need_weights and not (self.drops and self.has_weights):
            read = self.fast_path(HeadInputs(q, k, v, mask, field, causal))
            if read is not None:
                return self.projections.merge(read)
        seen = visible(mask, causal, q.shape[2], k.shape[2], q.device)
        weights = self.dropped(self.weights(q, k, seen, field))
        out = self.projections.merge(self.read(weights, v))
        return (out, weights) if need_weights else out

    def heads(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, d), k (B, H, S, d) and v (B, H, S, e)."""
        return self.projections.heads(x, context)

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where `seen` is False."""
        return masked_softmax(scores(q, k, field), seen)

    @property
    def softmax_weights(self) -> bool:
        """Whether the weights are the softmax of q.k / sqrt(d) + field, of queries with a width."""
        return type(self).weights is Mixer.weights and hasattr(self.projections, "key")

    def read(self, weights: Tensor, v: Tensor) -> Tensor:
        """Return what each head reads, (B, H, L, e)."""
        return weights @ v

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Return what each head reads without its weights, or None if there is no cheaper way."""
        return None

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: here no keys and no values.

        Raises:
            ValueError: the layer turns queries and keys by positions, which a step does not know.
        """
        self._check_streams()
        p = self.projections
        return (
            p.out.weight.new_zeros(batch, self.num_heads, 0, p.head_dim),
            p.out.weight.new_zeros(batch, self.num_heads, 0, p.value_dim),
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state and read it: row t of `forward(..., is_causal=True)`, without dropout.

        Args:
            x: state number t, (B, E).
            state: what the step before returned, or `init_state(B)`.

        Returns:
            (B, E) and the next state.
        """
        q, k, v = self.heads(x[:, None], None)
        keys, values = torch.cat([state[0], k], 2), torch.cat([state[1], v], 2)
        weights = self.weights(q, keys, None, None)
        return self.projections.merge(self.read(weights, values))[:, 0], (keys, values)

    def _check_streams(self) -> None:
        if rotates(self):
            raise ArgumentError(
                f"{type(self).__name__} with rotary positions cannot take single steps; "
                "decode with a LanguageModel, which keeps keys and values"
            )

    def state_bytes(self, length: int) -> int:
        """Return the size of one sequence's state after `length` steps, in bytes."""
        return self._state_numbers(length) * self.projections.out.weight.element_size()

    def _state_numbers(self, length: int) -> int:
        p = self.projections
        return length * p.num_heads * (p.head_dim + p.value_dim)

    def _projections(self, maps: Maps) -> Projections:
        return Projections(self.embed_dim, self.num_heads, **maps)

    def _check(
        self,
        x: Tensor,
        context: Tensor | None,
        mask: Tensor | None,
        field: Tensor | None,
        need_weights: bool,
    ) -> None:
        name = type(self).__name__
        check_shapes(x, context, mask, field, self.projections)
        if field is not None and not self.reads_field:
            raise ArgumentError(
                f"{name} reads no field; give positions with the inputs", topic="no-field"
            )
        if context is not None and not self.takes_context:
            raise ArgumentError(
                f"{name} mixes the states with each other; it takes no context",
                topic="couples-states",
            )
        if need_weights and not self.has_weights:
            raise ArgumentError(
                f"{name} has no weights over patterns; call it without need_weights",
                topic="no-weights",
            )

    def description(self) -> LayerArguments:
        """What the layer is saved as: the nearest of its classes that a registry may name.

        Raises:
            ValueError: there is none, or see `Pretrained.description`.
        """
        names = map(CLASSES.name_of, type(self).__mro__)
        name = next((name for name in names if name), None)
        if name is None:
            raise ArgumentError(
                f"a layer of class {type(self).__name__} cannot be described: it is neither a layer"
                f" of an energy nor a mixer ({', '.join(CLASSES)})",
                topic="saved-model",
            )
        spec = MixerSpec.model_validate({"title": name, "class": name})
        return self.layer_arguments(spec, self.given)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"dropout={self.dropout:g}"


class PatternProjections(Projections):
    """Projections without a query map, for mixers whose states are not asked what they seek."""

    def __init__(
        self, embed_dim: int, num_heads: int, *, with_keys: bool = False, **maps: Unpack[Maps]
    ) -> None:
        super().__init__(embed_dim, num_heads, with_keys=with_keys, **maps)
        del self.query  # or an optimizer would hold weights that never get a gradient

    def states(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return queries of width 0, whose scores are 0, and k or again a tensor of width 0."""
        patterns = x if context is None else context
        q = x.new_zeros(x.shape[0], self.num_heads, x.shape[1], 0)
        if hasattr(self, "key"):
            return q, self._split(self.key(patterns))
        return q, x.new_zeros(x.shape[0], self.num_heads, patterns.shape[1], 0)


class PatternMixer(Mixer):
    """A mixer whose weights depend on places and patterns alone, not on the states."""

    reads_field = False
    takes_rotary = False

    def _projections(self, maps: Maps) -> Projections:
        return PatternProjections(self.embed_dim, self.num_heads, **maps)


#: What `class:` of a mixer in a registry may name; `attenergy.attention.mixers` fills it.
CLASSES: Catalogue[type[Mixer]] = Catalogue("mixer class", Mixer, {})
