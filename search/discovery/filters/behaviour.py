"""What an energy does, in three coarse numbers: the niche that it lives in.

    sharpness    how few patterns decide the update: 1 - (effective number - 1)/(N - 1)
    forgetting   share of the update (squared) that only shrinks the state, along -xi
    hollowness   share of directions in which the energy bends down, between its attractors

Each is cut into a few bins. They are read off where the energy is most like a sharp softmax
(the first reference of `gauge`), so that names and scales of parameters do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.search.discovery.filters.evaluate import energy_of, update_of
from attenergy.search.discovery.filters.families import FormulaFamily
from attenergy.search.discovery.filters.probes import Probes, probes

#: Upper ends of the bins, but for the last.
SHARPNESS = (0.2, 0.45, 0.7)
FORGETTING = (0.05, 0.35, 0.65)
HOLLOWNESS = (0.05, 0.35)


def niche_of(family: FormulaFamily, setting: Tensor) -> tuple[int, ...]:
    """Bins of sharpness, forgetting and hollowness at one setting (freedom,).

    Example:
        >>> from attenergy.search.discovery.filters.behaviour import niche_of
        >>> from attenergy.search.discovery.filters.families import FormulaFamily
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> family = FormulaFamily.of(Candidate.from_formula("0.5*|xi|^2 - lse(8*X @ xi)").tree)
        >>> niche_of(family, torch.zeros(0, dtype=torch.float64))
        (3, 0, 1)
    """
    numbers = behaviour_of(family, setting)
    bins = (SHARPNESS, FORGETTING, HOLLOWNESS)
    return tuple(sum(n > edge for edge in edges) for n, edges in zip(numbers, bins, strict=True))


def behaviour_of(family: FormulaFamily, setting: Tensor) -> tuple[float, float, float]:
    """Sharpness, forgetting and hollowness, each between 0 and 1."""
    at, settings = probes(), setting.reshape(1, -1)
    whole = family.updates(settings, at)[0]
    without = _without_each(family, settings, at)
    change = torch.linalg.vector_norm(whole - without, dim=-1)  # (N, B, L)
    shares = change / change.sum(0).clamp_min(1e-30)
    effective = 1.0 / shares.square().sum(0).clamp_min(1e-30)
    count = len(shares)
    sharp = 1.0 - (effective.clamp(1.0, count) - 1.0) / (count - 1.0)
    pull = (-(whole * at.xi).sum() / at.xi.square().sum() / len(at.X)).clamp_min(0.0)
    shrinking = pull.square() * at.xi.square().sum() * len(at.X)
    forgetting = shrinking / whole.square().sum().clamp_min(1e-30)
    return float(sharp.mean()), float(forgetting), _hollowness(family, settings, at)


def _without_each(family: FormulaFamily, settings: Tensor, at: Probes) -> Tensor:
    """The updates (N, B, L, D) when one pattern at a time is hidden."""
    count = at.X.shape[-2]
    mask = ~torch.eye(count, dtype=torch.bool, device="cpu").reshape(count, 1, 1, count)
    shape = (count, len(at.X), *at.xi.shape[1:])
    values = family.values(settings, at.xi.expand(shape), at.X)
    return update_of(family.tree, values, mask.expand(*shape[:-1], count))[1]


def _hollowness(family: FormulaFamily, settings: Tensor, at: Probes) -> float:
    """The share of negative eigenvalues of the energy's second derivative."""
    shape = (1, len(at.X), *at.xi.shape[1:])
    xi = at.xi.expand(shape).clone().requires_grad_()
    with torch.enable_grad():
        energy = energy_of(family.tree, family.values(settings, xi, at.X))
        (slope,) = torch.autograd.grad(energy.sum(), xi, create_graph=True)
        if not slope.requires_grad:
            return 0.0
        rows = [
            torch.autograd.grad(part.sum(), xi, retain_graph=True, materialize_grads=True)[0]
            for part in slope.unbind(-1)
        ]
    hessian = torch.stack(rows, -1).nan_to_num(0.0, 0.0, 0.0)
    values = torch.linalg.eigvalsh(0.5 * (hessian + hessian.mT))
    return float((values < -1e-6 * values.abs().amax().clamp_min(1e-30)).double().mean())
