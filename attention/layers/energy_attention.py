"""Multi-head attention whose heads relax an energy.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`D` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from attenergy.attention.layers.base import EnergyLayer, Read
from attenergy.attention.layers.description import energy_layer_arguments
from attenergy.attention.layers.outputs import LayerOutput
from attenergy.attention.modules.arguments import check_size, weight_of
from attenergy.attention.modules.masks import seen_alone, states_of
from attenergy.attention.modules.projections import (
    Decoding,
    Projections,
    check_sequence,
    check_shapes,
    head_width,
    visible,
)
from attenergy.attention.modules.rotary import check_offset
from attenergy.attention.saving.format import LayerArguments
from attenergy.energies import EnergyLike
from attenergy.registry import ArgumentError, RegistryLike, ShapeError

__all__ = ["EnergyAttention", "Read"]


class EnergyAttention(EnergyLayer):
    """out_i = sum_h Wout_h r[h,i] + bout, where r[h,i] is read after a relaxation of xi[h,i].

    Every head projects x to states xi and the context to stored patterns X, and takes `steps` steps
    xi <- xi - gamma/A grad_xi E(xi; X, h). What is read is either

        weights  r = sum_j w_j v_j with projected values v_j and the last step's weights
                 w = -dE/ds over the patterns, s = X xi; the steps before the last move xi
        state    r = xi after the last step

    With log-sum-exp, one step and beta = 1/sqrt(D), reading by weights is softmax attention.

    Args:
        embed_dim: E.
        num_heads: H.
        energy: whatever names one; see `attenergy.make_energy`.
        steps: number of steps, from 1; the entry's default if None, but 100, the most, for the
            solver `fixed_point`.
        step_size: gamma; the entry's default if None.
        read: `weights` needs an energy that has weights; `auto` follows the entry and, where it is
            silent, reads weights if there are any.
        head_dim: D; E / H if None.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        dropout: probability of dropping a (state, pattern) pair in training, for all heads and
            samples at once; only when weights are read.
        **settings: initial values of the energy's parameters, choices and options, and

            - `value_dim`: e; D if absent
            - `context_dim`: width of the context; E if absent
            - `value_context_dim`: width of what values are made from; `context_dim` if absent
            - `num_kv_heads`: heads of keys and values, a divisor of H; H if absent. Parameters of
              the energy stay one per head
            - `bias`: of the projections; True
            - `rotary`: whether states and patterns are rotated by their positions; False.
              `rotary_base` is 10000
            - `normalize_states`: `none`, `l2`, `rms_norm` or `layer_norm`, per head, before the
              first step; `none`. The same for `normalize_patterns`
            - `learn_step_size`: None, `shared`, `per_head`, `per_step` or `per_head_and_step`:
              gamma becomes a parameter that starts at `step_size`. If the energy has a range (0, b)
              in which no step raises it, gamma = b sigmoid(.) and starts at 0.99 b at most; else
              gamma = exp(.)
            - `energy_per_step`: whether every step has an energy with parameters of its own (a beta
              per step, say); False. No single energy then goes down all the way
            - `backend`: how gradients are computed (`auto`; `attenergy.attention.gradients`)
            - `solver`: `descent` (all sites at once), `coordinate_descent` (one after the other,
              which costs a gradient for each; what descends where an entry says `descends:
              sequential`), or another that `relax` has and gradients flow through; the entry's
              default if None

    `steps`, `step_size`, `dropout`, `solver` and `backend` may be set later; they are checked then,
    and saved as they are.

    A score that reads states and patterns through their inner product depends under `rotary` on
    their distance alone. A state that is read is turned back to its own position, if the energy
    lives in free space or on the sphere; so moving all positions changes nothing there either.

    Raises:
        TypeError: `energy` is neither a name nor an entry.
        ValueError: unknown name or setting, or numbers that do not fit.

    Source: Ramsauer et al. 2020, arXiv:2008.02217, for any energy; grouped heads: Ainslie et al.
    2023, arXiv:2305.13245.

    Example:
        >>> layer = attenergy.EnergyAttention(embed_dim=32, num_heads=4, energy="lse", steps=2)
        >>> layer(torch.randn(2, 10, 32)).shape
        torch.Size([2, 10, 32])
        >>> layer(torch.randn(2, 10, 32), is_causal=True).shape
        torch.Size([2, 10, 32])
    """

    PROJECTION_SETTINGS: ClassVar[tuple[str, ...]] = (
        "value_dim", "context_dim", "value_context_dim", "num_kv_heads", "bias", "rotary",
        "rotary_base", "normalize_states", "normalize_patterns",
    )  # fmt: skip

    def __init__(
        self,
        /,
        embed_dim: int,
        num_heads: int,
        energy: EnergyLike = "lse",
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        head_dim: int | None = None,
        registry: RegistryLike | None = None,
        dropout: float = 0.0,
        **settings: Any,
    ) -> None:
        dim = head_width(embed_dim, num_heads) if head_dim is None else head_dim
        check_size("head_dim", dim)
        super().__init__(
            num_heads, dim, energy, steps=steps, step_size=step_size, read=read,
            registry=registry, dropout=dropout, settings=settings,
        )  # fmt: skip
        self.embed_dim = embed_dim
        own = self.chosen(settings)
        self._check_own(own)
        self.projections = Projections(
            embed_dim,
            num_heads,
            dim,
            with_values=self.read == "weights",
            with_keys=self.energy.reads_patterns,
            **own,
        )
        self._rest()

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
        trace: bool = False,
        value_context: Tensor | None = None,
        offset: int | Tensor = 0,
    ) -> LayerOutput:
        """Relax the states on the stored patterns and read.

        Args:
            x: states (B, L, E).
            context: stored patterns (B, S, context_dim); the states themselves if None.
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern. With
                two axes (L, S) it counts for all samples, with three (H, L, S) for each head; a
                shape that may be padding (B, S) or pairs (B, L, S) as well is refused.
            field: h, broadcastable to (B, H, L, S).
            is_causal: whether state i sees only patterns j <= i.
            need_weights: whether to return the weights at the last state read from as well.
            trace: whether to return the weights and the steps that were taken as well.
            value_context: what values are made from, (B, S, value_context_dim); the same as the
                patterns if None.
            offset: position of the first state, for rotary positions: a whole number, or a tensor
                of one, (B, 1, 1) for one of each sample; those of a `context` start at 0.

        Returns:
            (B, L, E); with `need_weights` a pair of it and the weights (B, H, L, S); with `trace` a
            `LayerTrace`.

        Raises:
            TypeError: something is no tensor.
            ValueError: a shape or type does not fit (nested and sparse tensors do not), a field for
                an energy that reads none, or causality for an energy whose states interact.
        """
        check_shapes(x, context, mask, field, self.projections)
        check_offset(offset, *x.shape[:2])
        stored = x if context is None else context
        source = stored if value_context is None else value_context
        self._check_values(source, stored, value_context is not None)
        seen = visible(mask, is_causal, x.shape[1], stored.shape[1], x.device)
        seen = self._check(seen, field, is_causal, context is None, x.shape[1])
        p = self.projections
        stored, given = seen_alone(stored, mask), stored
        states = states_of(x, stored) if context is None else x
        xi, X, values = p.queries(states, offset), None, None
        if self.energy.reads_patterns:
            X = p.expanded(p.keys(stored, offset if context is None else 0))
        if self.read == "weights":
            source = stored if source is given else seen_alone(source, mask)
            values = p.expanded(p.values(source))
        heads = self.attend(
            xi, X, values, mask=seen, field=field, need_weights=need_weights, trace=trace
        )
        read = heads.read
        if self.read == "state" and self.energy.domain.rotation_invariant:
            read = p.turned_back(read, offset)
        return heads.layer_output(p.merge(read), need_weights, trace)

    @property
    def decoding(self) -> tuple[Decoding, ...]:
        """The ways to continue a sequence: none where states or patterns interact."""
        alone = not (self.energy.states_interact or self.energy.patterns_interact)
        return ("projected",) if alone and self.energy.reads_patterns else ()

    def state_bytes(self, length: int) -> int:
        """Bytes of what is stored of `length` positions to read the next one.

        These are patterns and values, or the states where they are their own patterns.
        """
        p = self.projections
        maps = [p.key if self.energy.reads_patterns else p.query]
        maps += [p.value] if self.read == "weights" else []
        width = sum(part.out_features for part in maps)
        return length * width * p.out.weight.element_size()

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`."""
        return energy_layer_arguments(self, "attention")

    def _check_own(self, own: dict[str, Any]) -> None:
        """Refuse settings of maps that this layer does not have."""
        lacking = ["value_context_dim"] if self.read == "state" else []
        if not self.energy.reads_patterns:
            lacking += ["normalize_patterns"] + ["num_kv_heads"] * (self.read == "state")
        for name in lacking:
            if own.get(name, "none") not in (None, "none"):
                raise ArgumentError(
                    f"{name} has no use in a layer of '{self.energy.spec.title}' that is read by "
                    f"{self.read}"
                )

    def _check_values(self, source: Tensor, stored: Tensor, given: bool) -> None:
        if given and self.read == "state":
            raise ArgumentError(
                "value_context is for reading by weights; this layer reads the state"
            )
        if self.read == "state":
            return
        name = "value_context" if given else "x or context, from which values are made,"
        p = self.projections
        check_sequence(name, source, "(B, S, C)", p.value_context_dim, weight_of(p.out))
        if source.shape[:2] != stored.shape[:2]:
            raise ShapeError(
                f"value_context must have one row for each pattern, (B, S) = "
                f"{tuple(stored.shape[:2])}, got {tuple(source.shape[:2])}"
            )

    def _check(
        self, seen: Tensor | None, field: Tensor | None, is_causal: bool, within: bool, states: int
    ) -> Tensor | None:
        """The mask that the energy gets; refuses what it cannot honour."""
        self.check_field(field)
        if not within and not self.energy.reads_patterns:
            raise ArgumentError(
                f"'{self.energy.spec.title}' is an energy of the states alone; it takes no context",
                topic="couples-states",
            )
        if is_causal and self.energy.states_interact:
            raise ArgumentError(
                f"'{self.energy.spec.title}' couples states to each other, so later ones would "
                "act on earlier ones; it cannot be causal",
                topic="couples-states",
            )
        return self.without_hidden(seen, within, states)
