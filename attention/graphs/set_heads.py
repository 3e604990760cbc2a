"""Heads that relax one state for every set on the elements of the set, and read.

`n` elements, `N` sets, `H` heads, `S` size of the largest set, `D` width of states and patterns,
`e` width of values.

Forms:
    padded    sets are padded to the size of the largest, as the stored patterns of a batch of
              single states; for every energy, with all solvers and backends; N S D numbers
    segments  a softmax within every set; for energies whose weights are a softmax of scores that
              each belong to one element, descending with one step size; n D numbers
    auto      segments where there are any
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from attenergy.attention.gradients.gradient import attention_weights
from attenergy.attention.graphs.segments import (
    has_segments,
    seen_by_field,
    segment_step,
    segment_weights,
)
from attenergy.attention.graphs.sets import Padding, Sets
from attenergy.attention.layers.base import EnergyLayer, Read
from attenergy.attention.modules.arguments import option
from attenergy.attention.modules.learned_step_size import LearnedStepSize
from attenergy.attention.solvers.problem import pose
from attenergy.energies import Energy, EnergyLike
from attenergy.registry import ArgumentError, RegistryLike, UnknownName

Form = Literal["auto", "padded", "segments"]

#: (weights (n, H), patterns or values (n, H, e)) -> their product, summed over every set (N, H, e).
Pull = Callable[[Tensor, Tensor], Tensor]


def _checked_form(heads: Any, form: Any) -> Form:
    heads._asked = form
    resolved: Form = heads.resolved(form)
    return resolved


class SetHeads(EnergyLayer):
    """r[h,g], read after a relaxation of xi[h,g] on the patterns of set g; no projections.

    Args:
        energy: whatever names one (see `attenergy.make_energy`) that reads patterns in no order and
            gives every state an energy of its own.
        dim: D.
        num_heads: H.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        form: `auto`, `padded` or `segments`.
        **settings: parameters, choices and options of the energy, and settings of `EnergyLayer`.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy that cannot
            stand on a graph.
    """

    form: Form = option("form", _checked_form, "`padded` or `segments`.")
    _asked: str

    def __init__(
        self,
        /,
        energy: EnergyLike,
        dim: int,
        num_heads: int,
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        registry: RegistryLike | None = None,
        form: Form = "auto",
        **settings: Any,
    ) -> None:
        super().__init__(
            num_heads, dim, energy, steps=steps, step_size=step_size, read=read,
            registry=registry, dropout=0.0, settings=settings,
        )  # fmt: skip
        check_energy(self.energy)
        self.form = form

    def forward(
        self,
        xi: Tensor,
        X: Tensor,
        values: Tensor | None,
        sets: Sets,
        pull: Pull,
        *,
        field: Tensor | None = None,
        seen: Tensor | None = None,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Tensor | None]:
        """Relax and read.

        Args:
            xi: real numbers (N, H, D), one state for each set.
            X: stored patterns (n, H, D), one for each element.
            values: (n, H, e); not used where the state is read.
            sets: which set each element belongs to.
            pull: sums weighted patterns and values over every set.
            field: h (n, H).
            seen: what states of the form `padded` see of X while they move, (n, H, D); X if None.
            dropout: probability of dropping a weight now, for every element and head by itself.

        Returns:
            (N, H, e), or (N, H, D) where the state is read, and the weights read by (n, H), after
            dropout. The state of an empty set, or of one that a field hides as a whole, does not
            move and reads 0 by weights.
        """
        state = self.energy.from_real(xi.unsqueeze(-2))
        field = None if field is None else field.to(state.dtype)
        if self.form == "segments":
            state, weights = self._by_segments(state, X, field, sets, pull)
        else:
            state, weights = self._by_padding(state, X, field, sets, X if seen is None else seen)
        if weights is None or values is None:
            return state.squeeze(-2), None
        weights = drop(weights, dropout)
        return pull(weights, values), weights

    def _by_segments(
        self, state: Tensor, X: Tensor, field: Tensor | None, sets: Sets, pull: Pull
    ) -> tuple[Tensor, Tensor | None]:
        """The state after the moves, (N, H, 1, D), and the weights to read by, (n, H)."""
        seen = seen_by_field(field, sets)

        def weights() -> Tensor:
            return segment_weights(self.energy, state, X, field, sets, seen)

        for _ in range(self.moves):
            moved = segment_step(self.energy, state, pull(weights(), X), self.step_size)
            state = torch.where(seen[1], moved, state)
        return state, weights() if self.read == "weights" else None

    def _by_padding(
        self, state: Tensor, X: Tensor, field: Tensor | None, sets: Sets, seen: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The same as `_by_segments`, from padded sets."""
        padding = Padding(sets)
        mask, h = padding.mask, None if field is None else padding.pad(field).unsqueeze(-2)
        if self.moves:
            problem, state = pose(self.energy, state, padding.pad(seen), mask, h, self.backend)
            state = self._relax(problem, state, False).state
        if self.read == "state":
            return state, None
        weights = attention_weights(self.energy, state, padding.pad(X), mask=mask, field=h)
        return state, padding.unpad(weights.squeeze(-2))

    def reset_parameters(self) -> None:
        """Set every parameter to where it started."""
        energy = self.energy
        fresh = type(energy)(energy.spec, energy.dim, energy.num_heads, energy.settings)
        for one in (energy, *(self.earlier or ())):
            one.load_state_dict(fresh.state_dict())
        if self.learned_step_size is not None:
            start = LearnedStepSize(
                self.step_size, energy.largest_step_size(), vary=self.learned_step_size.vary,
                steps=self.moves, num_heads=self.num_heads,
            )  # fmt: skip
            self.learned_step_size.load_state_dict(start.state_dict())

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"{super().extra_repr()}, form={self.form}"

    def changed(self, name: str) -> None:
        """See `Pretrained.changed`; another solver or backend may ask for another form."""
        if name != "form" and "_asked" in self.__dict__:
            self.__dict__["_form"] = self.resolved(self._asked)
        super().changed(name)

    def resolved(self, form: str) -> Form:
        """The form that a name stands for.

        Raises:
            ValueError: it is unknown, or does not go with the energy or another setting.
        """
        if not isinstance(form, str) or form not in get_args(Form):
            raise UnknownName("form", str(form), get_args(Form))
        if form == "padded":
            return "padded"
        plain = self.solver == "descent" and self.learned_step_size is None and self.earlier is None
        if plain and self.backend == "auto" and has_segments(self.energy):
            return "segments"
        if form == "segments":
            raise ArgumentError(
                f"'{self.energy.spec.title}' with these settings has no form 'segments', which is "
                "for softmax weights, solver 'descent', backend 'auto' and one step size; "
                "form 'padded' takes all",
                topic="backend",
            )
        return "padded"


def check_energy(energy: Energy) -> None:
    """Check that an energy can stand on a graph.

    Raises:
        ValueError: it reads no patterns, joins its states, or needs its patterns in an order.
    """
    for wrong, reason in (
        (not energy.reads_patterns, "is an energy of the states alone"),
        (energy.states_interact, "couples its states by a graph of its own"),
        (energy.patterns_interact, "reads its patterns in an order, and neighbours have none"),
    ):
        if wrong:
            elsewhere = (
                "on a graph it can be used by `EnergyAttention` over all nodes, with the adjacency "
                "as the mask or by `energy.use_graph`"
                if energy.hides_pairs
                else "it couples places, which the nodes of a graph do not have"
            )
            raise ArgumentError(
                f"'{energy.spec.title}' {reason}; {elsewhere}", topic="couples-states"
            )


def split_heads(mapped: Tensor, heads: int) -> Tensor:
    """(n, H * D) as (n, H, D)."""
    return mapped.view(len(mapped), heads, mapped.shape[-1] // heads)
