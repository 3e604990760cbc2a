"""What all solvers share: an energy with everything about it that stays while states move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.gradients.backends import Backend
from attenergy.attention.gradients.gradient import (
    prepared_gradient,
    prepared_read,
    prepared_values,
    prepared_weights,
)
from attenergy.attention.gradients.prepare import Prepared, all_states, prepare
from attenergy.energies import Energy
from attenergy.energies.masks import clear_hidden
from attenergy.energies.quadratic import RADIAL


@dataclass(frozen=True)
class Problem(Prepared):
    """E as a function of the states alone: what is prepared once, and used in every step.

    Attributes:
        backend: how the gradient is computed.
        quadratic: A of the energy, unless it changes with the states.
    """

    backend: Backend
    quadratic: Tensor | float | None

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of one sample: a state's components, or those of all states that interact."""
        return (-2, -1) if self.energy.states_interact else (-1,)

    def stored(self, xi: Tensor) -> Tensor:
        """The patterns; the states themselves for an energy of the states alone."""
        return self.X if self.energy.reads_patterns else xi

    def value(self, xi: Tensor) -> Tensor:
        """E, (..., L), or (...) if the states interact; 0 of no states."""
        if not xi.shape[-2]:
            return xi.sum(self.axes)
        energy: Tensor = self.energy(xi, self.stored(xi), mask=self.mask, field=self.field)
        return energy

    def gradient(self, xi: Tensor) -> Tensor:
        """grad_xi E, (..., L, D)."""
        return prepared_gradient(self, *self._cleared(xi), self.backend)

    def scaled(self, xi: Tensor, slope: Tensor) -> Tensor:
        """A slope at xi divided by A there; itself if the energy declares none."""
        curvature = self.quadratic
        if self.energy.spec.quadratic == RADIAL:
            curvature = self.energy.curvature(xi, self.stored(xi), self.mask, self.field)
        if curvature is None or (isinstance(curvature, float) and curvature == 1.0):
            return slope
        return slope / curvature

    def direction(self, xi: Tensor) -> Tensor:
        """grad_xi E / A, (..., L, D)."""
        return self.scaled(xi, self.gradient(xi))

    def weights(self, xi: Tensor) -> Tensor:
        """The weights over patterns (..., L, S), of an energy that has them."""
        return prepared_weights(self, *self._cleared(xi))

    def read(self, xi: Tensor, values: Tensor) -> Tensor:
        """weights(xi) @ values, (..., L, e), for values (..., S, e)."""
        return prepared_read(self, *self._cleared(xi), values, self.backend)

    def values(self, xi: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The states that read values (..., S, e), and those values: nothing hidden acts."""
        return prepared_values(self, xi, values)

    def moved(self, xi: Tensor, d: Tensor) -> Tensor:
        """The states after a step d in the energy's domain; those that see nothing stay."""
        return self.where_occupied(xi, self.energy.domain.retract(xi, d))

    def tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """The part of a vector that is tangent to the energy's domain at xi."""
        return self.energy.domain.project_tangent(xi, v)

    def where_occupied(self, old: Tensor, new: Tensor) -> Tensor:
        """The new states, but the old one where a state sees no pattern."""
        return new if self.occupied is None else torch.where(self.occupied, new, old)

    def of(self, energy: Energy) -> Problem:
        """The same problem for an energy of the same kind with numbers of its own."""
        return _posed(self, energy, self.backend)

    def _cleared(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """The states and the patterns; of a pattern that is no state `pose` has cleared it."""
        if self.energy.reads_patterns:
            return xi, self.X
        states, stored = clear_hidden(self.mask, xi, xi)
        return states, stored


def pose(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    mask: Tensor | None,
    field: Tensor | None,
    backend: Backend,
) -> tuple[Problem, Tensor]:
    """Check the tensors; return the problem and the states with every batch axis.

    Raises:
        ValueError: a shape or type does not fit.
    """
    given, cleared = prepare(energy, xi, X, mask, field)
    problem = _posed(given, energy, backend)
    if energy.reads_patterns:
        return problem, cleared
    return problem, all_states(energy, xi, X, given.mask, given.field)


def _posed(given: Prepared, energy: Energy, backend: Backend) -> Problem:
    quadratic = None if energy.spec.quadratic == RADIAL else energy.quadratic()
    return Problem(
        energy, given.X, given.mask, given.field, given.opened, given.occupied, given.patterns,
        backend, quadratic,
    )  # fmt: skip
