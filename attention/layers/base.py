"""The core of every layer with an energy: heads that relax states and read what they see.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `D` query/key width of a
head, `e` value width of a head.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from attenergy.attention.gradients.backends import check_weights
from attenergy.attention.layers.choices import (
    Read,
    check_memory,
    checked_backend,
    checked_solver,
    checked_step_size,
    checked_steps,
    first_solver,
    first_steps,
    reading,
)
from attenergy.attention.layers.idle import let_rest, reach_of_weights
from attenergy.attention.layers.outputs import HeadOutput, joined
from attenergy.attention.modules.arguments import check_flag, fixed, option
from attenergy.attention.modules.learned_step_size import LearnedStepSize
from attenergy.attention.modules.pair_dropout import PairDropout
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.attention.solvers.relax import Relaxation, take_steps
from attenergy.attention.solvers.step_sizes import default_step_size
from attenergy.energies import Energy, EnergyLike, source_of
from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.presence import refuse_hidden_pairs
from attenergy.registry import ArgumentError, GraphError, Reading, RegistryLike

__all__ = ["EnergyLayer", "Read"]

#: What acts through the states, and what through the patterns, by the beginning of its name.
_OF_STATES: tuple[str, ...] = (
    "projections.query.", "projections.preparation.state_norm.", "learned_step_size.", "earlier.",
)  # fmt: skip
_OF_PATTERNS: tuple[str, ...] = (
    "patterns",
    "projections.key.",
    "projections.preparation.pattern_norm.",
)


class EnergyLayer(Pretrained, PairDropout):
    """r[h,i], read after a relaxation of xi[h,i] on the patterns X[h]; `attend` does it.

    The base of `EnergyAttention`, `EnergyPooling` and `EnergyLookup`, which differ in where states,
    patterns and values come from.

    Args:
        num_heads: H.
        dim: D.
        energy: whatever names one; see `attenergy.make_energy`.
        steps: number of steps, from 1; the entry's default if None, but 100, the most, where the
            solver goes on until states rest (`fixed_point`).
        step_size: gamma; the entry's default if None.
        read: `weights`, `state` or `auto`; see `EnergyAttention`.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        dropout: of (state, pattern) pairs.
        settings: everything else, by name: parameters, choices and options of the energy, and
            `SETTINGS` and `PROJECTION_SETTINGS` of the layer.

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.
    """

    #: What the core understands besides its arguments.
    SETTINGS: ClassVar = ("backend", "solver", "learn_step_size", "energy_per_step")
    #: What a sub-class hands to its `Projections`.
    PROJECTION_SETTINGS: ClassVar[tuple[str, ...]] = ()
    #: Is told what is relaxed and from where, before it is (`attenergy.attention.models.trace`).
    watch: Callable[[Problem, Tensor], None] | None = None
    #: Is told what was relaxed and the state that is read, with its graph of derivatives.
    watch_end: Callable[[Problem, Tensor], None] | None = None

    num_heads: int = option("num_heads", fixed("num_heads"), "H.")
    read: Reading = option("read", fixed("read"), "`weights` or `state`.")
    steps = option("steps", checked_steps, "Number of steps.")
    step_size = option("step_size", checked_step_size, "gamma; where it is learned, its start.")
    solver = option("solver", checked_solver, "Name of the solver.")
    backend = option("backend", checked_backend, "How gradients are computed.")

    def __init__(
        self,
        num_heads: int,
        dim: int,
        energy: EnergyLike,
        *,
        steps: int | None,
        step_size: float | None,
        read: Read,
        registry: RegistryLike | None,
        dropout: float,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.dropout = dropout
        own = (*self.SETTINGS, *self.PROJECTION_SETTINGS)
        theirs = {name: value for name, value in settings.items() if name not in own}
        source = source_of(energy, theirs, registry=registry, others=own, taker=type(self))
        self.energy = source.make(dim, num_heads)
        self.read = reading(self.energy, read)
        if self.read == "state" and settings.get("value_dim", dim) != dim:
            raise ArgumentError(
                f"value_dim ({settings['value_dim']}) is for reading by weights; the state that "
                f"'{self.energy.spec.title}' is read by has head_dim ({dim})"
            )
        self.learned_step_size: LearnedStepSize | None = None
        self.earlier: nn.ModuleList | None = None
        self.solver = first_solver(settings.get("solver"), self.energy)
        self.num_heads = num_heads
        self.steps = first_steps(steps, self.energy, self.solver)
        self.step_size = default_step_size(self.energy) if step_size is None else step_size
        self.backend = settings.get("backend", "auto")
        per_step = check_flag("energy_per_step", settings.get("energy_per_step", False))
        self._learn(settings.get("learn_step_size"), per_step)
        self._reach = reach_of_weights(self.energy) if self.read == "weights" else None
        self._resting: set[str] = set()  # parameters that cannot act
        self._rest()

    def _rest(self) -> None:
        """Stop the training of parameters that cannot act, and of no others."""
        if self._reach is None:
            return
        states, patterns, parameters = self._reach
        parts = () if states else _OF_STATES
        idle: set[str] = set()
        if not (states and self.moves):
            parts += () if patterns else _OF_PATTERNS
            own = dict(self.energy.named_parameters())
            idle = {f"energy.{name}" for name in own if name not in parameters}
        idle |= {name for name, _ in self.named_parameters() if name.startswith(parts)}
        self._resting = let_rest(self, idle, self._resting)

    def _learn(self, vary: Any, energy_per_step: bool) -> None:
        """Make what is learned besides one energy and the projections."""
        for name, wanted in (
            ("learn_step_size", vary is not None),
            ("energy_per_step", energy_per_step),
        ):
            if wanted:
                check_memory(name, self.solver)
        if vary is not None:
            self.learned_step_size = LearnedStepSize(
                self.step_size, self.energy.largest_step_size(), vary=vary, steps=self.moves,
                num_heads=self.num_heads,
            )  # fmt: skip
        if energy_per_step:
            copies = [copy.deepcopy(self.energy) for _ in range(self.steps - 1)]
            self.earlier = nn.ModuleList(copies)

    def changed(self, name: str) -> None:
        """Remember an option that was set after the layer was made."""
        super().changed(name)
        if name == "solver":
            super().changed("steps")  # their default is the solver's
        if name == "steps":
            self._rest()

    @property
    def moves(self) -> int:
        """How often the state moves: once per step, but reading by weights is the last step."""
        return self.steps - 1 if self.read == "weights" else self.steps

    @property
    def reads_field(self) -> bool:
        """Whether the energy reads a field, and so a relative-position bias."""
        return self.energy.reads_field

    def attend(
        self,
        xi: Tensor,
        X: Tensor | None,
        values: Tensor | None,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        need_weights: bool = False,
        trace: bool = False,
    ) -> HeadOutput:
        """Relax states on stored patterns and read, without projections.

        Args:
            xi: (..., H, L, D), any real numbers.
            X: (..., H, S, D); None if the states are their own patterns.
            values: (..., H, S, e), for reading by weights; else None.
            mask: boolean, broadcastable to (..., H, L, S), True where a state may see a pattern.
            field: h, broadcastable to (..., H, L, S).
            need_weights: whether weights are wanted.
            trace: whether to record energies and residuals; weights are then given where the energy
                has them.

        Raises:
            ValueError: a shape or type does not fit, or weights are wanted where there are none.
        """
        xi = self.energy.from_real(xi)
        X = xi if X is None else X
        field = None if field is None else field.to(xi.dtype)
        problem, xi = pose(self.energy, xi, X, mask, field, self.backend)
        relaxation = self._relax(problem, xi, trace)
        read = state = relaxation.state
        if self.read == "weights":
            if values is None:
                raise ArgumentError("this layer reads by weights: give values")
            read = self._read_weights(problem, state, values)
        weights = None
        if need_weights or (trace and self.energy.has_weights):
            check_weights(self.energy)
            weights = problem.weights(state)
        return HeadOutput(read, weights, relaxation)

    def use_graph(self, graph: Any, **options: Any) -> Self:
        """Give the energy a graph of your own; see `use_graph` of energies on a graph.

        The energies of all steps get it, also where `layer.energy.use_graph` was called.

        Returns:
            The layer itself.

        Raises:
            ValueError: the energy is on no graph, or the graph does not fit.
        """
        if not isinstance(self.energy, OnGraph):
            raise GraphError(f"'{self.energy.spec.title}' is on no graph")
        self.energy.use_graph(graph, **options)
        return self

    def check_field(self, field: Tensor | None) -> None:
        """Refuse a field that would be ignored.

        Raises:
            ValueError: there is one, and the energy reads none.
        """
        if field is not None and not self.reads_field:
            raise ArgumentError(
                f"'{self.energy.spec.title}' reads no field h; give positions with the inputs",
                topic="no-field",
            )

    def without_hidden(self, mask: Tensor | None, within: bool, states: int) -> Tensor | None:
        """The mask with which positions hidden from every state are no states either.

        Only where states interact and are their own patterns (`within`): a padded position must not
        pull on its neighbours. Pattern i is state i for i < L; patterns beyond are no state.

        Args:
            mask: boolean, broadcastable to (..., L, S), True where a state may see a pattern.
            within: whether states and patterns are of one sequence.
            states: L, at most S.

        Raises:
            ValueError: the mask hides pairs, and the energy can leave out whole states only.
        """
        if mask is None or not (within and self.energy.states_interact):
            return mask
        mask = mask | mask.new_zeros(1, 1)  # two axes at least
        mask = mask & mask.any(-2, keepdim=True)[..., :states].mT
        if not self.energy.hides_pairs:
            refuse_hidden_pairs(
                mask[..., :states],
                f"'{self.energy.spec.title}' couples all states that take part, so its mask can "
                "leave out whole states (padding), and hide none from another one",
            )
        return mask

    def chosen(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings that are meant for the projections."""
        return {name: settings[name] for name in self.PROJECTION_SETTINGS if name in settings}

    def extra_repr(self) -> str:
        """Options, for printing."""
        return (
            f"steps={self.steps}, step_size={self.step_size:g}, read={self.read}, "
            f"dropout={self.dropout:g}, solver={self.solver}"
        )

    def _relax(self, problem: Problem, xi: Tensor, trace: bool) -> Relaxation:
        """The moves before the state is read, from what `pose` returns."""
        if self.watch is not None:
            self.watch(problem, xi)
        relaxation = self.moved(problem, xi, trace)
        if self.watch_end is not None:
            self.watch_end(problem, relaxation.state)
        return relaxation

    def moved(self, problem: Problem, xi: Tensor, trace: bool) -> Relaxation:
        """The moves themselves; see `_relax`."""
        if not (self.moves or trace):
            return Relaxation(xi)  # the reading is the only step
        gamma = self.step_size if self.learned_step_size is None else self.learned_step_size()
        if self.earlier is None or self.moves == 0:
            return take_steps(problem, xi, self.moves, gamma, solver=self.solver, trace=trace)
        taken = []
        _share_graph(self.energy, self.earlier)
        for index, energy in enumerate([*self.earlier, self.energy][: self.moves]):
            one = gamma[index] if isinstance(gamma, list) else gamma
            taken.append(
                take_steps(problem.of(energy), xi, 1, one, solver=self.solver, trace=trace)
            )
            xi = taken[-1].state
        return joined(taken)

    def _read_weights(self, problem: Problem, xi: Tensor, values: Tensor) -> Tensor:
        if not self.drops:
            return problem.read(xi, values)
        xi, values = problem.values(xi, values)
        return self.dropped(problem.weights(xi)) @ values


def _share_graph(energy: Energy, earlier: nn.ModuleList) -> None:
    """Let the energies of earlier steps have the graph that was given to the last one."""
    if isinstance(energy, OnGraph):
        for one in earlier:
            vars(one)["_lent"] = energy._own
