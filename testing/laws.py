"""The laws of an energy, each a function from an entry to a figure.

A law raises `LawBroken` or returns `(figure, limit, note)`; it passes if figure <= limit. Where it
does not apply it returns the reason as text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from attenergy.analysis import curl
from attenergy.attention import gradient, relax
from attenergy.attention.gradients.backends import Backend
from attenergy.energies import Energy
from attenergy.energies.functions import deletes
from attenergy.registry import EnergySpec, UnknownName
from attenergy.testing.boundedness import bounded
from attenergy.testing.cases import (
    PATTERNS,
    STATES,
    Case,
    build,
    cases,
    draw,
    random_case,
    settings_of,
)
from attenergy.testing.cross_talk import no_cross_talk
from attenergy.testing.known_answers import KNOWN_ANSWERS
from attenergy.testing.laws_descent import descent
from attenergy.testing.laws_export import exports
from attenergy.testing.masking import masking_equals_deleting
from attenergy.testing.results import LawBroken
from attenergy.testing.steps import EXACT, distance, grads, quick, two_steps

Outcome = tuple[float, float, str] | str  # figure, limit, note; or why the law does not apply
Law = Callable[[EnergySpec], Outcome]


def energy_is_the_truth(spec: EnergySpec) -> Outcome:
    """1: every fast gradient equals autograd's, in value, first and second derivatives."""
    worst = 0.0
    names: set[str] = set()
    for case in cases(spec):
        _check_field(case)
        names |= set(quick(case.energy)[1:])
        worst = max(worst, _apart(case, quick(case.energy)[1:]))
    if not case.energy.has_closed_form:  # where traces are used; the last case has mask and field
        names.add("traced")
        shown = case.with_(mask=None) if deletes(case.energy) else case
        worst = max(worst, _apart(shown, ["traced"]))
    return worst, EXACT, f"largest difference of {', '.join(sorted(names))} from torch.func.grad"


def _check_field(case: Case) -> None:
    if case.field is not None and torch.equal(case.value(), case.with_(field=None).value()):
        raise LawBroken(
            "a field changes nothing; a class that reads none says `reads_field = False`"
        )


def _apart(case: Case, names: Sequence[Backend]) -> float:
    want = _derivatives(case, "eager") if names else []
    results = [_derivatives(case, backend) for backend in names]
    return max(
        (distance(a, b) for got in results for a, b in zip(got, want, strict=True)), default=0.0
    )


def _derivatives(case: Case, backend: Backend) -> list[Tensor]:
    """The gradient, then its derivatives, then theirs, contracted with fixed random tensors."""
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    inputs = [xi, X, *(p for p in case.energy.parameters() if p.requires_grad)]
    results = gradient(case.energy, xi, X, mask=case.mask, field=case.field, backend=backend)
    first = grads(results, inputs, 11, create_graph=True)
    second = grads(torch.cat([f.flatten() for f in first]), inputs, 12)
    return [results, *first, *second]


def known_answers(spec: EnergySpec) -> Outcome:
    """3: the answers that the entry names."""
    if not spec.known_answers:
        return "the entry names no known answers"
    worst, limit = 0.0, 0.0
    for name in spec.known_answers:
        if name not in KNOWN_ANSWERS:
            raise LawBroken(str(UnknownName("known answer", name, KNOWN_ANSWERS)))
        error, tolerance = KNOWN_ANSWERS[name](spec)
        if not error <= tolerance:
            return error, tolerance, f"{name} is off"
        worst, limit = max(worst, error), max(limit, tolerance)
    return worst, limit, ", ".join(spec.known_answers)


def trains(spec: EnergySpec) -> Outcome:
    """6: right derivatives of first and second order, also at xi = 0; all of torch's modes."""
    count = 0
    for settings in settings_of(spec):
        energy = build(spec, **settings)
        case = random_case(energy)
        _check_derivatives(case)
        _check_modes(energy, case, compiled=not settings)
        count += 1
    _check_derivatives(random_case(build(spec, heads=None)))
    modes = "xi = 0, bfloat16, no_grad, inference_mode, vmap, copies, compile(fullgraph)"
    plural = "s" * (count > 1)
    return 0.0, 0.0, f"gradcheck, gradgradcheck, {modes}; {count} setting{plural}, also no heads"


def _check_derivatives(case: Case) -> None:
    energy, X = case.energy, case.X[:1, ..., :3, :].clone().requires_grad_()
    xi = case.xi[:1, ..., :2, :].clone().requires_grad_()
    backend = _differentiable(energy)

    def step(state: Tensor, patterns: Tensor) -> Tensor:
        return relax(energy, state, patterns, backend=backend).state

    # gradcheck raises with the two Jacobians where they differ.
    torch.autograd.gradcheck(step, (xi, X), fast_mode=True)
    torch.autograd.gradgradcheck(step, (xi, X), fast_mode=True, atol=1e-4)
    zero = torch.zeros_like(xi).requires_grad_()
    if energy.smooth and not energy.domain.constrained:
        torch.autograd.gradcheck(step, (zero, X), fast_mode=True)
        torch.autograd.gradgradcheck(step, (zero, X), fast_mode=True, atol=1e-4)
    first = torch.autograd.grad(
        step(zero, X).sum(), (zero, X), create_graph=True, materialize_grads=True
    )
    size = torch.cat([(g * g).flatten() for g in first]).sum()
    second = torch.autograd.grad(size, (zero, X), materialize_grads=True)
    if not all(torch.isfinite(g).all() for g in (*first, *second)):
        raise LawBroken("derivatives at xi = 0 are not finite")


def _differentiable(energy: Energy) -> Backend:
    """The fastest backend that torch's checks of derivatives take, at any size."""
    return "scores" if energy.has_closed_form else "eager"


def _check_modes(energy: Energy, case: Case, *, compiled: bool) -> None:
    want = two_steps(case)
    with torch.no_grad():
        _same(two_steps(case), want, "no_grad")
    with torch.inference_mode():
        _same(two_steps(case), want, "inference_mode")
    twin = copy.deepcopy(energy)
    twin.load_state_dict(energy.state_dict())
    _same(two_steps(Case(twin, case.xi, case.X)), want, "deepcopy and state_dict")
    mapped = torch.vmap(lambda xi, X: relax(energy, xi, X, steps=2).state)(case.xi, case.X)
    _same(mapped, want, "vmap")
    if compiled:  # once per entry: settings share their code, and compiling takes most of the time
        torch.compiler.reset()
        # One step, as those of a loop are unrolled; with derivatives, which the next would take.
        fast = torch.compile(
            lambda xi, X: relax(energy, xi, X).state, fullgraph=True, backend="aot_eager"
        )
        moving = case.xi.clone().requires_grad_()
        _same(fast(moving, case.X), relax(energy, case.xi, case.X).state, "torch.compile")
    low = copy.deepcopy(energy).to(torch.bfloat16)
    out = two_steps(Case(low, case.xi.bfloat16(), case.X.bfloat16()))
    value = low(case.xi.bfloat16(), case.X.bfloat16())
    if value.dtype != torch.bfloat16:
        raise LawBroken(f"the energy of bfloat16 is {value.dtype}")
    if not torch.isfinite(out).all():
        raise LawBroken("not finite in bfloat16")


def _same(got: Tensor, want: Tensor, where: str) -> None:
    if not torch.allclose(got, want, rtol=1e-9, atol=1e-11):
        raise LawBroken(f"another result under {where}")


def is_a_gradient(spec: EnergySpec) -> Outcome:
    """7: the update has no curl."""
    worst = 0.0
    for energy in (build(spec, heads=None), *(build(spec, **s) for s in settings_of(spec))):
        heads = () if energy.num_heads is None else (2,)
        if not (energy.reads_patterns or energy.states_interact):
            return "a game: every state descends an energy of its own, there is no joint one"
        X = draw(21, 1, *heads, PATTERNS, energy.dim)
        update = partial(gradient, energy, X=X, backend=_differentiable(energy))
        for seed in range(3):
            worst = max(worst, curl(update, 0.5 * draw(22 + seed, 1, *heads, STATES, energy.dim)))
    return worst, 1e-10, "curl |J - J'|/|J| of the update"


LAWS: dict[str, Law] = {
    "1 the energy is the truth": energy_is_the_truth,
    "2 masking equals deleting": masking_equals_deleting,
    "3 known answers": known_answers,
    "4 descent": descent,
    "5 no cross-talk": no_cross_talk,
    "6 it trains": trains,
    "7 it is a gradient": is_a_gradient,
    "8 it exports": exports,
    "9 it is bounded": bounded,
}
