"""Laws 1, 2, 4, 5 and 6 in milliseconds, on the probes.

Most of them hold by construction: the compiler injects masks and derives. A formula that no person
would write may still break them, and then it must not be trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attenergy.energies.language import Number, parse, score_form
from attenergy.search.discovery.filters.evaluate import Evaluation, energy_of, update_of
from attenergy.search.discovery.filters.probes import DIM, probes
from attenergy.search.discovery.filters.subject import Subject
from attenergy.search.discovery.formulas import SYMBOLS, quadratic_part

_EXACT = 1e-8
#: Step sizes below 2, and how many steps of each are taken.
_GAMMAS, _STEPS = (0.25, 1.0, 1.5, 1.99), 4
_RISE = 1e-9


def keeps_laws(subject: Subject) -> str:
    """The reason why not, or nothing; says whether the entry may promise descent."""
    return (
        _normal_form(subject)
        or _masks(subject)
        or _derivative(subject)
        or _at_zero(subject)
        or _descent(subject)
    )


def _start(subject: Subject) -> dict[str, Tensor | float]:
    """What the symbols are at the first setting, for all probes: xi (1, B, L, D)."""
    at = probes()
    xi = at.xi.expand(1, len(at.X), *at.xi.shape[1:])
    return subject.family.values(subject.first, xi, at.X)


def _normal_form(subject: Subject) -> str:
    """Law 1: the normal form that is compiled has the value of the formula."""
    values = _start(subject)
    written, compiled = energy_of(subject.candidate.tree, values), energy_of(subject.tree, values)
    return "" if _equal(compiled, written) else "its normal form has another value"


def _masks(subject: Subject) -> str:
    """Laws 2 and 5: what is hidden does not act, and the order of patterns does not matter."""
    values, at = _start(subject), probes()
    states = values["xi"]
    assert isinstance(states, Tensor)
    seen = torch.arange(at.X.shape[-2], device="cpu") % 3 != 1
    other = 1e4 * at.X + 7.0  # far away, and equal to a state
    other[:, 1] = at.xi[0, 0]
    spoilt = torch.where(seen[:, None], at.X, other)
    X, xi = spoilt.requires_grad_(), states.clone().requires_grad_()
    with torch.enable_grad():
        masked = energy_of(
            subject.tree,
            {**values, "X": X, "xi": xi},
            seen.expand(*states.shape[:-1], len(seen)),
        )
        slope, at_patterns = torch.autograd.grad(masked.sum(), (xi, X), materialize_grads=True)
    if at_patterns[..., ~seen, :].any():
        return "a hidden pattern has a derivative that is not 0"
    others = {**values, "X": at.X[..., seen, :].flip(-2), "h": at.X.new_zeros(1, int(seen.sum()))}
    energy, update = update_of(subject.tree, others)
    if not (_equal(masked.detach(), energy) and _equal(-slope, update)):
        return "hiding patterns is not the same as deleting them, or their order matters"
    return ""


def _derivative(subject: Subject) -> str:
    """Law 1: the derivative that is written, where there is one, is autograd's."""
    form = score_form(subject.tree)
    if form is None:
        return ""
    values = _start(subject)
    xi, X = values["xi"], values["X"]
    assert isinstance(xi, Tensor)
    assert isinstance(X, Tensor)
    scores = xi @ X.mT
    inputs = {**values, "s": scores, "q": xi.square().sum(-1, keepdim=True)}
    weights, radial = Evaluation(inputs).emit(form.weights), Evaluation(inputs).emit(form.radial)
    update = (weights + torch.zeros_like(scores)) @ X - radial * xi
    if not _equal(update, update_of(subject.tree, values)[1]):
        return "the derivative that the language writes is not autograd's"
    return ""


def _at_zero(subject: Subject) -> str:
    """Law 6: derivatives of the update and of its derivatives are finite at xi = 0."""
    values = _start(subject)
    states, patterns = values["xi"], values["X"]
    assert isinstance(states, Tensor)
    assert isinstance(patterns, Tensor)
    xi, X = torch.zeros_like(states).requires_grad_(), patterns.clone().requires_grad_()
    along = torch.linspace(0.5, 1.5, DIM, dtype=xi.dtype, device="cpu")
    with torch.enable_grad():
        energy = energy_of(subject.tree, {**values, "xi": xi, "X": X})
        results = torch.autograd.grad(energy.sum(), (xi,), create_graph=True)
        for _ in range(2):
            total = torch.cat([(part * along).flatten() for part in results]).sum()
            if not total.requires_grad:
                return ""
            results = torch.autograd.grad(total, (xi, X), create_graph=True, materialize_grads=True)
            if not all(torch.isfinite(part).all() for part in results):
                return "derivatives at xi = 0 are not finite"
    return ""


def _descent(subject: Subject) -> str:
    """Law 4: with the quadratic part that the entry will declare, no step raises the energy."""
    bound = quadratic_part(subject.candidate.tree)
    if bound is None:
        return ""
    at = probes()
    count = len(_GAMMAS)
    xi = at.xi.expand(len(subject.settings), len(at.X), *at.xi.shape[1:]).repeat(1, 1, count, 1)
    gammas = torch.tensor(_GAMMAS, dtype=xi.dtype, device="cpu")
    gammas = gammas.repeat_interleave(at.xi.shape[-2])[:, None]
    values = subject.family.values(subject.settings, xi, at.X)
    scale = _value(bound, values)
    before = torch.full_like(xi[..., 0], torch.inf)
    for _ in range(_STEPS):
        energy, update = update_of(subject.tree, {**values, "xi": xi})
        if ((energy - before) > _RISE * (1.0 + before.abs())).any():
            return f"a step raises the energy, though its quadratic part is {bound}"
        xi, before = xi + gammas / scale * update, energy
    subject.descends = True
    return ""


def _value(bound: float | str, values: Mapping[str, Tensor | float]) -> Any:
    """The quadratic part at the settings: a number, or (P, 1, 1, 1)."""
    tree = parse(str(bound), {**SYMBOLS, "D": Number(float(DIM))})
    return Evaluation(values).emit(tree)


def _equal(a: Tensor, b: Tensor) -> bool:
    scale = 1.0 + float(b.abs().max())
    return bool(((a - b).abs() <= _EXACT * scale).all())
