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
from attenergy.attention.update import Backend, backends
from attenergy.energies import Energy
from attenergy.registry import EnergySpec, UnknownName
from attenergy.testing.cases import (
    BATCH,
    PATTERNS,
    STATES,
    Case,
    build,
    cases,
    draw,
    random_case,
    settings_of,
)
from attenergy.testing.descent import descent
from attenergy.testing.export_law import exports
from attenergy.testing.known_answers import KNOWN_ANSWERS
from attenergy.testing.results import LawBroken
from attenergy.testing.token_laws import hidden_states, moved_states, take

Outcome = tuple[float, float, str] | str  # figure, limit, note; or why the law does not apply
Law = Callable[[EnergySpec], Outcome]

_EXACT = 1e-10


def energy_is_the_truth(spec: EnergySpec) -> Outcome:
    """1: every fast gradient equals autograd's, in value, first and second derivatives."""
    worst = 0.0
    names: set[str] = set()
    for case in cases(spec):
        names |= set(_quick(case.energy)[1:])
        worst = max(worst, _apart(case, _quick(case.energy)[1:]))
    if not case.energy.has_weights:  # where traces are used; the last case has mask and field
        names.add("traced")
        worst = max(worst, _apart(case, ["traced"]))
    return worst, _EXACT, f"largest difference of {', '.join(sorted(names))} from torch.func.grad"


def _quick(energy: Energy) -> list[Backend]:
    """All backends but `traced`, which takes half a second for each kind of input."""
    return [backend for backend in backends(energy) if backend != "traced"]


def _apart(case: Case, names: Sequence[Backend]) -> float:
    want = _derivatives(case, "eager") if names else []
    found = [_derivatives(case, backend) for backend in names]
    return max(
        (_distance(a, b) for got in found for a, b in zip(got, want, strict=True)), default=0.0
    )


def _derivatives(case: Case, backend: Backend) -> list[Tensor]:
    """The gradient, then its derivatives, then theirs, contracted with fixed random tensors."""
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    inputs = [xi, X, *(p for p in case.energy.parameters() if p.requires_grad)]
    found = gradient(case.energy, xi, X, mask=case.mask, field=case.field, backend=backend)
    first = _grads(found, inputs, 11, create_graph=True)
    second = _grads(torch.cat([f.flatten() for f in first]), inputs, 12)
    return [found, *first, *second]


def _grads(of: Tensor, inputs: list[Tensor], seed: int, create_graph: bool = False) -> list[Tensor]:
    total = (of * draw(seed, *of.shape)).sum()
    if not total.requires_grad:  # the derivatives of a quadratic energy are constant
        return [torch.zeros_like(i) for i in inputs]
    found = torch.autograd.grad(total, inputs, create_graph=create_graph, materialize_grads=True)
    return list(found)


def _distance(a: Tensor, b: Tensor) -> float:
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise LawBroken("a value or a derivative is not finite")
    scale = 1.0 + float(b.detach().abs().max())
    return float((a - b).detach().abs().max()) / scale


def masking_equals_deleting(spec: EnergySpec) -> Outcome:
    """2: hidden patterns have no influence at all; a state that sees nothing stays."""
    worst = 0.0
    hidden = torch.tensor([False, True, False, False, True])
    for case in cases(spec):
        if case.mask is not None:
            continue
        if not case.energy.reads_patterns:
            worst = max(worst, *(_distance(a, b) for a, b in hidden_states(case, _step)))
            _check_empty_row(case.with_(mask=torch.ones(BATCH, 1, STATES, STATES).bool()))
            continue
        masked = case.with_(mask=~hidden.expand(BATCH, 1, STATES, PATTERNS))
        spoiled = masked.with_(X=torch.where(hidden[:, None], 100.0 * case.X + 7.0, case.X))
        pairs = [(masked, spoiled)]
        if not case.energy.patterns_interact:
            field = None if case.field is None else case.field[..., ~hidden]
            pairs.append((masked, case.with_(X=case.X[..., ~hidden, :], field=field)))
        for left, right in pairs:
            worst = max(worst, _distance(left.value(), right.value()))
            worst = max(worst, _distance(_step(left), _step(right)))
        _check_empty_row(masked)
    return worst, _EXACT, "hidden patterns against deleted or changed ones"


def _step(case: Case, backend: Backend = "auto") -> Tensor:
    return relax(
        case.energy, case.xi, case.X, mask=case.mask, field=case.field, steps=2, backend=backend
    ).state


def _check_empty_row(case: Case) -> None:
    assert case.mask is not None
    mask = case.mask.clone()
    mask[:, :, 1] = False
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    value = case.with_(mask=mask).value()
    if not (
        torch.isfinite(value).all() and (case.energy.states_interact or not value[..., 1].any())
    ):
        raise LawBroken("a state that sees no pattern has an energy other than 0")
    for backend in _quick(case.energy):
        state = _step(case.with_(mask=mask, xi=xi, X=X), backend)
        if not torch.equal(state[:, :, 1], xi[:, :, 1]):
            raise LawBroken(f"a state that sees no pattern moved ({backend})")
        found = torch.autograd.grad(state.square().sum(), (xi, X), materialize_grads=True)
        if not all(torch.isfinite(g).all() for g in found):
            raise LawBroken(
                f"an empty row of the mask gives gradients that are not finite ({backend})"
            )


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


def no_cross_talk(spec: EnergySpec) -> Outcome:
    """5: samples are independent and the order of patterns does not matter."""
    worst = 0.0
    swap, shuffle = torch.tensor([1, 0]), torch.tensor([3, 0, 4, 2, 1])
    for case in cases(spec):
        out = _step(case)
        for samples in (swap, swap[1:]):  # exchanged, and the first one without the other
            moved = {n: take(getattr(case, n), 0, samples) for n in ("xi", "X", "mask", "field")}
            worst = max(worst, _distance(_step(case.with_(**moved)), out[samples]))
            worst = max(worst, _distance(case.with_(**moved).value(), case.value()[samples]))
        if not case.energy.reads_patterns:
            worst = max(worst, *(_distance(a, b) for a, b in moved_states(case, _step)), 0.0)
            continue
        if not case.energy.patterns_interact:
            moved = {n: take(getattr(case, n), -1, shuffle) for n in ("mask", "field")}
            other = case.with_(X=case.X[:, :, shuffle], **moved)
            worst = max(worst, _distance(_step(other), out))
        if not case.energy.states_interact:
            kept = torch.arange(STATES - 1)
            fewer = {n: take(getattr(case, n), -2, kept) for n in ("xi", "mask", "field")}
            worst = max(worst, _distance(_step(case.with_(**fewer)), out[:, :, kept]))
            worst = max(worst, _distance(case.with_(**fewer).value(), case.value()[..., kept]))
    return worst, _EXACT, "samples, patterns and states exchanged or left out"


def trains(spec: EnergySpec) -> Outcome:
    """6: right derivatives of first and second order, also at xi = 0; all of torch's modes."""
    count = 0
    for settings in settings_of(spec):
        energy = build(spec, **settings)
        case = random_case(energy)
        _check_derivatives(case)
        _check_modes(energy, case, compiled=not settings)
        count += 1
    modes = "xi = 0, bfloat16, no_grad, inference_mode, vmap, copies, compile(fullgraph)"
    plural = "s" * (count > 1)
    return 0.0, 0.0, f"gradcheck, gradgradcheck, {modes}; {count} setting{plural}"


def _check_derivatives(case: Case) -> None:
    energy, X = case.energy, case.X[:1, :, :3].clone().requires_grad_()
    xi = case.xi[:1, :, :2].clone().requires_grad_()
    backend = _differentiable(energy)

    def step(state: Tensor, patterns: Tensor) -> Tensor:
        return relax(energy, state, patterns, backend=backend).state

    # gradcheck raises with the two Jacobians where they differ.
    torch.autograd.gradcheck(step, (xi, X), fast_mode=True)
    torch.autograd.gradgradcheck(step, (xi, X), fast_mode=True, atol=1e-4)
    zero = torch.zeros_like(xi).requires_grad_()
    if energy.smooth and energy.spec.domain == "real":
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
    return "scores" if energy.has_weights else "eager"


def _check_modes(energy: Energy, case: Case, *, compiled: bool) -> None:
    want = _step(case)
    with torch.no_grad():
        _same(_step(case), want, "no_grad")
    with torch.inference_mode():
        _same(_step(case), want, "inference_mode")
    twin = copy.deepcopy(energy)
    twin.load_state_dict(energy.state_dict())
    _same(_step(Case(twin, case.xi, case.X)), want, "deepcopy and state_dict")
    mapped = torch.vmap(lambda xi, X: relax(energy, xi, X, steps=2).state)(case.xi, case.X)
    _same(mapped, want, "vmap")
    if compiled:  # once per entry: settings share their code, and compiling takes most of the time
        torch.compiler.reset()
        fast = torch.compile(
            lambda xi, X: relax(energy, xi, X, steps=2).state, fullgraph=True, backend="aot_eager"
        )
        _same(fast(case.xi, case.X), want, "torch.compile")
    low = copy.deepcopy(energy).to(torch.bfloat16)
    out = _step(Case(low, case.xi.bfloat16(), case.X.bfloat16()))
    if not torch.isfinite(out).all():
        raise LawBroken("not finite in bfloat16")


def _same(got: Tensor, want: Tensor, where: str) -> None:
    if not torch.allclose(got, want, rtol=1e-9, atol=1e-11):
        raise LawBroken(f"another result under {where}")


def is_a_gradient(spec: EnergySpec) -> Outcome:
    """7: the update has no curl."""
    worst = 0.0
    for settings in settings_of(spec):
        energy = build(spec, **settings)
        if not (energy.reads_patterns or energy.states_interact):
            return "a game: every state descends an energy of its own, there is no joint one"
        X = draw(21, 1, 2, PATTERNS, energy.dim)
        update = partial(gradient, energy, X=X, backend=_differentiable(energy))
        for seed in range(3):
            worst = max(worst, curl(update, 0.5 * draw(22 + seed, 1, 2, STATES, energy.dim)))
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
}
