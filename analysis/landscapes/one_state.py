"""An energy as a function of one state, with everything else held: what a landscape is of."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.solvers.problem import Problem, pose
from attenergy.energies import Energy
from attenergy.registry import AnalysisError

#: Most numbers in the scores or joint states of one call; more points are taken in parts.
_ROOM = 2_000_000


@dataclass(frozen=True, eq=False)
class OneState:
    """E(xi) of one state, in float64; make it with `one_state`.

    `M` points, `S` stored patterns, `D` components of a state.

    Attributes:
        problem: energy, patterns, mask and field.
        head: which head of the energy; None without heads.
        held: states (L, D) or (H, L, D) that interact with the one that varies, which stands at
            `place` among them; None where states do not interact.
        place: see `held`.
    """

    problem: Problem
    head: int | None = None
    held: Tensor | None = None
    place: int = 0

    @property
    def energy(self) -> Energy:
        """The energy."""
        return self.problem.energy

    @property
    def dim(self) -> int:
        """D."""
        return self.energy.dim

    @property
    def patterns(self) -> Tensor:
        """The stored patterns (S, D) of the head; the other states where those are what is seen."""
        if not self.energy.reads_patterns:
            assert self.held is not None
            held = self.held if self.head is None else self.held[self.head]
            return torch.cat([held[: self.place], held[self.place + 1 :]])
        X = self.problem.X
        return X if self.head is None else X[self.head if X.shape[0] > 1 else 0]

    @property
    def seen(self) -> str:
        """What one of `patterns` is called: a stored pattern, or a state where none is read."""
        return "stored pattern" if self.energy.reads_patterns else "other state"

    @property
    def has_weights(self) -> bool:
        """Whether the energy has weights over patterns."""
        return self.energy.has_weights

    @property
    def always_descends(self) -> bool:
        """Whether no step of the entry's size raises the energy, by theory."""
        largest = self.energy.largest_step_size()
        alone = self.energy.states_interact or self.energy.guarantee == "parallel"
        return alone and largest is not None and self.step_size < largest

    @property
    def step_size(self) -> float:
        """The entry's own step size."""
        return float(self.energy.spec.step_size.default)

    def value(self, points: Tensor) -> Tensor:
        """E at points (M, D) of the domain, (M,)."""
        return torch.cat([self._value(part) for part in self._parts(points)])

    def direction(self, points: Tensor) -> Tensor:
        """The preconditioned gradient at points (M, D), (M, D)."""
        return torch.cat([self._direction(part) for part in self._parts(points)])

    def weights(self, points: Tensor) -> Tensor:
        """The weights over patterns at points (M, D), (M, S)."""
        return torch.cat([self._weights(part) for part in self._parts(points)])

    def moved(self, points: Tensor, d: Tensor) -> Tensor:
        """The points after a step d in the domain."""
        return self.energy.domain.retract(points, d)

    def project(self, points: Tensor) -> Tensor:
        """The points of the domain that are nearest."""
        return self.energy.project(points)

    def affordable(self, work: int) -> int:
        """Points along each axis of a square of points that take so many scores, 16 at least."""
        return max(16, math.isqrt(work // self._each))

    @property
    def _each(self) -> int:
        """Numbers in the scores, or joint states, of one point."""
        each = self.problem.X.shape[-2] * (self.energy.num_heads or 1)
        if self.held is not None:
            each = self.held.numel() + each * self.held.shape[-2]
        return max(each, 1)

    def _parts(self, points: Tensor) -> list[Tensor]:
        size = max(1, _ROOM // self._each)
        return [points[i : i + size] for i in range(0, max(len(points), 1), size)]

    def _states(self, points: Tensor) -> Tensor:
        """The points as states of the problem: (M, D), (H, M, D), or (M, [H,] L, D) joint ones."""
        if self.held is None:
            heads = () if self.head is None else (self.energy.num_heads or 1,)
            return points.expand(*heads, *points.shape)
        joint = self.held.expand(len(points), *self.held.shape).clone()
        if self.head is None:
            joint[:, self.place] = points
        else:
            joint[:, self.head, self.place] = points
        return joint

    def _of_points(self, states: Tensor) -> Tensor:
        """What belongs to the points among (..., L, n) of `_states`, (M, n)."""
        if self.held is None:
            return states if self.head is None else states[self.head]
        own = states[..., self.place, :]
        return own if self.head is None else own[:, self.head]

    def _value(self, points: Tensor) -> Tensor:
        values = self.problem.value(self._states(points))
        if self.head is None:
            return values
        return values[self.head] if self.held is None else values[:, self.head]

    def _direction(self, points: Tensor) -> Tensor:
        return self._of_points(self.problem.direction(self._states(points)))

    def _weights(self, points: Tensor) -> Tensor:
        return self._of_points(self.problem.weights(self._states(points)))


def one_state(
    energy: Energy,
    patterns: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    head: int | None = None,
    states: Tensor | None = None,
    place: int = 0,
) -> OneState:
    """E as a function of one state; of states that interact, the others are held.

    Args:
        energy: with heads or without; it is copied.
        patterns: (S, D), or (H, S, D) or (1, S, D) of an energy with heads.
        mask: boolean ([H,] 1, S), ([H,] L, S) where states interact.
        field: likewise.
        head: which one, of an energy with heads.
        states: ([H,] L, D) where states interact; the one at `place` varies. By default the one
            that varies comes first and one state is held at every pattern.
        place: see `states`.

    Raises:
        ValueError: the energy is a game, in which no state has an energy that it descends.
    """
    if not (energy.reads_patterns or energy.states_interact):
        raise AnalysisError(
            f"'{energy.spec.title}' has no landscape: it is a game, in which every state is also "
            "one of the keys that its own energy holds fixed, so a moving state changes the "
            "surface that it moves on"
        )
    energy = copy.deepcopy(energy).to("cpu", torch.float64).requires_grad_(False)
    patterns, mask = _plain(patterns), None if mask is None else mask.cpu()
    held = None
    if energy.states_interact:
        if states is None:
            first = patterns.mean(-2, keepdim=True)
            states, place = torch.cat([first, patterns], -2), 0
        held = energy.project(_plain(states))
    shape = patterns[..., :1, :] if held is None else held
    stored = patterns if energy.reads_patterns or held is None else held
    field = None if field is None else _plain(field)
    problem, _ = pose(energy, shape, stored, mask, field, "auto")
    return OneState(problem, head, held, place)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
