"""What all solvers share: an energy with everything about it that stays while states move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.gradients.gradient import (
    Backend,
    all_states,
    attention_weights,
    checked_gradient,
    gradient,
    some_patterns,
)
from attenergy.energies import Energy
from attenergy.energies.masks import clear_hidden


@dataclass(frozen=True)
class Problem:
    """E as a function of the states alone.

    Attributes:
        energy: what is descended.
        X: stored patterns (..., S, D).
        mask: boolean (..., L, S), True = visible.
        field: (..., L, S).
        backend: how the gradient is computed.
        occupied: (..., L, 1), which states see a pattern; None if all do.
    """

    energy: Energy
    X: Tensor
    mask: Tensor | None
    field: Tensor | None
    backend: Backend
    occupied: Tensor | None

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
        found: Tensor = self.energy(xi, self.stored(xi), mask=self.mask, field=self.field)
        return found

    def gradient(self, xi: Tensor) -> Tensor:
        """grad_xi E, (..., L, D)."""
        if self.energy.reads_patterns:  # cleared once, by `pose`
            return checked_gradient(self.energy, xi, self.X, self.mask, self.field, self.backend)
        return gradient(self.energy, xi, xi, mask=self.mask, field=self.field, backend=self.backend)

    def scaled(self, xi: Tensor, slope: Tensor) -> Tensor:
        """A slope at xi divided by A there; itself if the energy declares none."""
        curvature = self.energy.curvature(xi, self.stored(xi), self.mask, self.field)
        if curvature is None or (isinstance(curvature, float) and curvature == 1.0):
            return slope
        return slope / curvature

    def direction(self, xi: Tensor) -> Tensor:
        """grad_xi E / A, (..., L, D)."""
        return self.scaled(xi, self.gradient(xi))

    def weights(self, xi: Tensor) -> Tensor:
        """The weights over patterns (..., L, S), of an energy that has them."""
        return attention_weights(self.energy, xi, self.stored(xi), mask=self.mask, field=self.field)

    def moved(self, xi: Tensor, d: Tensor) -> Tensor:
        """The states after a step d in the energy's domain; those that see nothing stay."""
        return self.kept(xi, self.energy.domain.retract(xi, d))

    def tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """The part of a vector that is tangent to the energy's domain at xi."""
        return self.energy.domain.project_tangent(xi, v)

    def kept(self, old: Tensor, new: Tensor) -> Tensor:
        """The new states, but the old one where a state sees no pattern."""
        return new if self.occupied is None else torch.where(self.occupied, new, old)


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
    mask, field = energy.check(xi, X, mask, field)
    X, mask, field = some_patterns(energy, X, mask, field)
    xi = all_states(energy, xi, X, mask, field)
    occupied = None if mask is None else mask.any(-1, keepdim=True)
    if energy.reads_patterns:
        xi, X = clear_hidden(mask, xi, X)
    return Problem(energy, X, mask, field, backend, occupied), xi
