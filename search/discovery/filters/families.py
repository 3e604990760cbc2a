"""An energy with free parameters: the set of all updates that it can have, whatever their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from attenergy.energies.language import Call, Expr, Symbol, stable_form
from attenergy.search.discovery.filters.evaluate import update_of
from attenergy.search.discovery.filters.probes import Probes

#: The natural logarithm of a positive parameter lies between minus this and this.
SPAN = math.log(1e3)
#: An update that is shorter than this, beside the numbers that it is a difference of, is rounding.
NO_UPDATE = 1e-9


class Family(Protocol):
    """Updates for settings: how many parameters are free, and what the update is at each."""

    @property
    def freedom(self) -> int:
        """Number of free parameters."""

    def updates(self, settings: Tensor, probes: Probes) -> Tensor:
        """The updates (P, B, L, D) at settings (P, freedom), each in [-SPAN, SPAN]."""


@dataclass(frozen=True)
class FormulaFamily:
    """A formula whose positive scalars are free.

    Args:
        tree: the formula, as it is compiled.
        positive: names of the parameters that may be any positive number: exp(setting).
        unit: names of those that lie between 0 and 1: sigmoid(setting).
        fixed: what all other symbols are.

    Example:
        >>> from attenergy.search.discovery.filters.families import FormulaFamily
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> FormulaFamily.of(Candidate.from_formula("alpha*|xi|^2 - lse(beta*X @ xi)").tree).freedom
        2
    """

    tree: Expr
    positive: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    fixed: Mapping[str, Tensor | float] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Expr) -> FormulaFamily:
        """The family of a tree: its positive scalar symbols are free, at most three of them."""
        tree = stable_form(tree)
        names = parameters_of(tree)
        return cls(tree, names[:3], fixed=dict.fromkeys(names[3:], 1.0))

    @property
    def freedom(self) -> int:
        """Number of free parameters."""
        return len(self.positive) + len(self.unit)

    def updates(self, settings: Tensor, probes: Probes) -> Tensor:
        """The updates (P, B, L, D) at settings (P, freedom)."""
        shape = (len(settings), len(probes.X), *probes.xi.shape[1:])
        values = self.values(settings, probes.xi.expand(shape), probes.X)
        energy, update = update_of(self.tree, values)
        return torch.where(torch.isfinite(energy)[..., None], update, math.nan)

    def values(self, settings: Tensor, xi: Tensor, X: Tensor) -> dict[str, Tensor | float]:
        """What every symbol is at settings (P, freedom); xi (P, B, L, D), X (B, S, D)."""
        columns = settings.reshape(*settings.shape, 1, 1, 1).unbind(1)
        scalars = dict(zip((*self.positive, *self.unit), columns, strict=True))
        values = {n: v.sigmoid() if n in self.unit else v.exp() for n, v in scalars.items()}
        return {**self.fixed, **values, "h": X.new_zeros(1, X.shape[-2]), "X": X, "xi": xi}


def parameters_of(tree: Expr) -> tuple[str, ...]:
    """Names of the positive scalar symbols of a tree, sorted."""
    if isinstance(tree, Symbol):
        return (tree.name,) if tree.positive and not tree.axes else ()
    if not isinstance(tree, Call):
        return ()
    return tuple(sorted({name for arg in tree.args for name in parameters_of(arg)}))


def directions(family: Family, settings: Tensor, probes: Probes) -> Tensor:
    """The updates as unit vectors (P, numbers); NaN where they are not finite or vanish."""
    flat = family.updates(settings, probes).flatten(1)
    length = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    sound = torch.isfinite(length) & (length > NO_UPDATE)
    return torch.where(sound, flat / length, math.nan)


def grid(count: int, freedom: int) -> Tensor:
    """All combinations (count^freedom, freedom) of equally spaced settings."""
    axis = torch.linspace(-SPAN, SPAN, count, dtype=torch.float64, device="cpu")
    if not freedom:
        return axis.new_zeros(1, 0)
    return torch.cartesian_prod(*[axis] * freedom).reshape(-1, freedom)
