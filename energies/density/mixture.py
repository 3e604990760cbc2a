"""Energies whose density p(xi) ~ exp(-beta E(xi; X)) is a mixture with known constants.

    Gaussian       E = r/2 |xi|^2 - (w/a) lse(a X xi + b) + const,  beta = a/w
                   p = sum_n pi_n N(xi; w x_n/r, I/(beta r)),  pi = softmax(b + a w |x|^2/(2 r))
    Epanechnikov   E = -(1/beta) log sum_n relu(1 - beta/2 |x_n - xi|^2) + const
                   p = mean_n of the density ~ 1 - beta/2 |x_n - xi|^2 in its ball

The formula's derivative is looked at, not the entry's name: whatever is equal by algebra is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.formula import FormulaEnergy
from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    XI,
    Call,
    Expr,
    Number,
    call,
    compile_tree,
    score_form,
    simplify,
    substitute,
)
from attenergy.energies.language.algebra import is_positive, split_factors
from attenergy.energies.language.simplify import product
from attenergy.energies.parameters import check_made
from attenergy.registry import ArgumentError, ShapeError

Kind = Literal["gaussian", "epanechnikov"]
#: How the weights depend on the means: as exp(precision |mean|^2/2), not at all, or otherwise.
Weighting = Literal["length", "equal", "other"]


@dataclass(frozen=True)
class Mixture:
    """A density over states.

    Attributes:
        kind: `gaussian`, or `epanechnikov` with density ~ 1 - precision/2 |xi - mean|^2 where that
            is positive.
        log_weights: (N,), normalised.
        means: (N, D).
        precision: a number above 0, of each component.
        beta: the inverse temperature at which exp(-beta E) is this mixture.
        scale: a number with means = scale * X.
        weighting: how the weights depend on the means.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=4.0)
        >>> density = mixture(energy, torch.eye(2))
        >>> density.kind, density.means
        ('gaussian', tensor([[1., 0.],
                [0., 1.]]))
    """

    kind: Kind
    log_weights: Tensor
    means: Tensor
    precision: Tensor
    beta: Tensor
    scale: Tensor
    weighting: Weighting

    def log_density(self, states: Tensor) -> Tensor:
        """Logarithm of the density at states (..., D), (...); -infinity outside every ball."""
        dim = self.means.shape[1]
        away = states.unsqueeze(-2) - self.means
        square = self.precision * (away * away).sum(-1)
        if self.kind == "gaussian":
            log_part = -0.5 * square - 0.5 * dim * torch.log(2 * math.pi / self.precision)
        else:
            log_part = torch.log(torch.relu(1 - 0.5 * square)) - _log_ball(dim, self.precision)
        density: Tensor = torch.logsumexp(self.log_weights + log_part, -1)
        return density


def mixture(energy: Energy, X: Tensor) -> Mixture:
    """The mixture that exp(-beta E(xi; X)) is.

    Args:
        energy: a formula without heads.
        X: stored patterns (N, D).

    Raises:
        ValueError: no closed form is known for this energy, or the patterns do not fit.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=4.0)
        >>> mixture(energy, torch.eye(2)).means
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_made(energy)
    if X.ndim != 2 or X.shape[-1] != energy.dim:
        raise ShapeError(f"patterns must be (N, D) with D = {energy.dim}, got {tuple(X.shape)}")
    single = energy.num_heads is None and not energy.domain.constrained
    if single and isinstance(energy, FormulaEnergy):
        known = _gaussian(energy, X) or _epanechnikov(energy, X)
        if known is not None:
            return known
    raise ArgumentError(
        f"no closed form is known for the partition function of '{energy.spec.title}'; "
        "there is one for formulas without heads, over real states, that equal "
        "0.5*r*|xi|^2 - lse(a*X@xi + b)/a (log-sum-exp, Gaussian kernels: Gaussian mixtures) or "
        "-log(sum_n(relu(1 - 0.5*beta*sqdist(X, xi))))/beta (log-sum-relu); use langevin for "
        "others",
        topic="density",
    )


def _gaussian(energy: FormulaEnergy, X: Tensor) -> Mixture | None:
    form = score_form(energy.tree)
    if form is None:
        return None
    number, factors = split_factors(form.weights)
    peaks = [f for f in factors if isinstance(f, Call) and f.function == "softmax"]
    rest = [f for f in factors if f not in peaks]
    attention = replace(form, weights=peaks[0]).attention if len(peaks) == 1 else None
    factor = product([Number(number), *rest])
    fixed = [form.radial, factor]
    if attention is None or any(t.axes or not t.names.isdisjoint("sq") for t in fixed):
        return None
    slope, bias = attention
    if not all(map(is_positive, (slope, factor, form.radial))):
        return None
    stretch = slope * factor / (2.0 * form.radial)
    tree = simplify(bias + stretch * call("sumsq", PATTERNS))
    a, w, r, log_weights = (_value(energy, part, X) for part in (slope, factor, form.radial, tree))
    bare = simplify(bias)
    weighting: Weighting = "other"
    if not _without_field(tree).axes:
        weighting = "equal"
    elif not _without_field(bare).axes:
        weighting = "length"
    log_weights = torch.log_softmax(log_weights.expand(len(X)), -1)
    return Mixture("gaussian", log_weights, X * w / r, a * r / w, a / w, w / r, weighting)


def _epanechnikov(energy: FormulaEnergy, X: Tensor) -> Mixture | None:
    """Compare with log-sum-relu for every beta that the formula could mean."""
    tree = simplify(energy.tree)
    for beta in _scalars(tree):
        inside = 1.0 - 0.5 * beta * call("sqdist", PATTERNS, XI)
        for total in (call("sum_n", call("relu", z)) for z in (inside, inside + FIELD)):
            rest = simplify(tree + call("log", total) / beta)
            if "xi" not in rest.names:
                value = _value(energy, beta, X)
                equal = X.new_full((len(X),), -math.log(len(X)))
                return Mixture(
                    "epanechnikov", equal, X, value, value, torch.ones_like(value), "equal"
                )
    return None


def _scalars(expr: Expr) -> list[Expr]:
    """Sizes of all numbers in a tree, their inverses, and its positive symbols, once."""
    if isinstance(expr, Number):
        size = abs(expr.value)
        return [Number(size), Number(1 / size)] if size else []
    if not isinstance(expr, Call):
        return [expr] if is_positive(expr) and not expr.axes else []
    return list(dict.fromkeys(s for a in expr.args for s in _scalars(a)))


def _without_field(expr: Expr) -> Expr:
    return simplify(substitute(expr, {"h": 0.0 * FIELD}))


def _value(energy: FormulaEnergy, expr: Expr, X: Tensor) -> Tensor:
    """The value of a tree that does not read xi: a number, or (N,) for a vector."""
    expr = simplify(expr)
    values = {"X": X, "h": X.new_zeros(1, len(X)), **energy.values()}
    value = torch.as_tensor(
        compile_tree(expr, masked=False)(values), dtype=X.dtype, device=X.device
    )
    return value.reshape(len(X)) if expr.axes else value.reshape(())


def _log_ball(dim: int, precision: Tensor) -> Tensor:
    """Logarithm of int relu(1 - precision/2 |u|^2) du = V_D R^D 2/(D + 2), R^2 = 2/precision."""
    volume = 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
    return volume + 0.5 * dim * torch.log(2 / precision) + math.log(2 / (dim + 2))
