"""`relax`: the one place where states take steps down an energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, TypedDict, Unpack, get_args

import torch
from torch import Tensor

from attenergy.attention.gradients.gradient import Backend, check_backend
from attenergy.attention.modules.arguments import check_tensor, check_whole
from attenergy.attention.solvers.coordinate_descent import check_sites, sequential
from attenergy.attention.solvers.descent import descent
from attenergy.attention.solvers.fixed_point import ImplicitGradient, Rest, check_rest, fixed_point
from attenergy.attention.solvers.guarantee import Promise
from attenergy.attention.solvers.langevin import langevin
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.attention.solvers.semi_implicit import check_quadratic_form, implicit
from attenergy.attention.solvers.step_sizes import StepSize, default_step_size, step_sizes
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy
from attenergy.registry import ArgumentError, UnknownName

__all__ = [
    "MOST_STEPS",
    "TRAINABLE",
    "Relaxation",
    "Solver",
    "SolverOptions",
    "check_solver",
    "default_step_size",
    "relax",
    "take_steps",
]

Solver = Literal["descent", "sequential", "implicit", "langevin", "fixed_point"]

#: The solvers that gradients flow through.
TRAINABLE: tuple[Solver, ...] = ("descent", "sequential", "implicit", "fixed_point")


class SolverOptions(TypedDict, total=False):
    """What some solvers know besides the arguments of all; None is the default of each.

    Attributes:
        damping: share of the old state kept in every step, in [0, 1).
        momentum: share of the last step taken again, in [0, 1).
        tolerance: when a sample has come to rest; 1e-6 if None.
        temperature: T of the noise; 1/beta if None, for an energy with a parameter beta.
        generator: source of the noise.
    """

    damping: float | None
    momentum: float | None
    tolerance: float | None
    temperature: float | None
    generator: torch.Generator | None


#: Most steps of `fixed_point`, if nobody says otherwise.
MOST_STEPS = 100

_SHARES, _NOISE = ("damping", "momentum"), ("temperature", "generator")
_OPTIONS: dict[Solver, tuple[str, ...]] = {
    "descent": _SHARES,
    "sequential": (),
    "implicit": _SHARES,
    "langevin": _NOISE,
    "fixed_point": ("tolerance",),
}


@dataclass(frozen=True)
class Relaxation:
    """Where states came to rest, and how.

    Attributes:
        state: (..., L, D) after the last step.
        energies: (steps + 1, ..., L), or (steps + 1, ...) for interacting states, before the first
            and after every step; None without `trace`, as all of the next three.
        residuals: (steps, ..., L), length of each state's preconditioned gradient before the step.
        states: (steps + 1, ..., L, D) before the first and after every step.
        entropies: (steps + 1, ..., L), in nats, of each state's weights over patterns (of their
            shares of the sum of sizes, where they are no distribution); None also if the energy
            has no weights.
        converged: of `fixed_point`: whether each sample came to rest, shaped like the energy.
        steps_taken: of `fixed_point`: whole numbers, the step that found the sample at rest
            included. The traces end with the slowest sample; those that rest stay where they are.
        gradient: of `fixed_point`: how the backward pass went, filled by it; None without one.
        promise: the terms under which steps were taken.
    """

    state: Tensor
    energies: Tensor | None = None
    residuals: Tensor | None = None
    states: Tensor | None = None
    entropies: Tensor | None = None
    converged: Tensor | None = None
    steps_taken: Tensor | None = None
    gradient: ImplicitGradient | None = None
    promise: Promise | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def guarantee(self) -> bool:
        """Whether theory promises that no step raised the energy (law of descent)."""
        return not self.objection

    @property
    def objection(self) -> str:
        """Why theory promises nothing; empty if it does."""
        return "nothing is known of the steps" if self.promise is None else self.promise.objection()


def relax(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    steps: int | None = None,
    step_size: StepSize | Sequence[StepSize] | None = None,
    solver: Solver = "descent",
    backend: Backend = "auto",
    trace: bool = False,
    **options: Unpack[SolverOptions],
) -> Relaxation:
    r"""Take steps xi <- retract(xi, gamma/A grad_xi E(xi; X, h)), `steps` times.

    A is the energy's quadratic part (1 if it declares none), gamma the step size, and
    retract(xi, d) = xi - d in free space (`attenergy.energies.domains` for the others). If
    E = 1/2 xi'A xi - v(xi) with v convex, no step with gamma in (0, 2) raises E, at any beta; on
    the sphere no step of any size does, if -E is convex. Other step sizes are taken as they are;
    `Relaxation.guarantee` and `objection` say what holds. States are projected to the domain before
    the first step. A state that sees no pattern does not move.

    Solvers:
        descent      all sites at once. `damping` mixes the old state into every new one, which
                     voids no promise; `momentum` (heavy ball) voids it.
        sequential   one site after the other, each seeing what the ones before it did: the states
                     in turn if they interact, else the components of every state. One step is one
                     sweep. It descends where moving all at once need not: spins coupled in pairs,
                     whatever the sign of the couplings.
        implicit     a quadratic term that couples states is solved for: xi - gamma M^-1 grad E with
                     E = 1/2 tr xi'M xi - v(xi). `damping` and `momentum` as above.
        fixed_point  steps until each sample rests, to `tolerance`; derivatives at the fixed point,
                     by the implicit function theorem.
        langevin     draws instead of descending: xi - gamma grad E + sqrt(2 gamma T) noise, without
                     A and without derivatives.

    Args:
        energy: what is descended.
        xi: states (..., L, D).
        X: stored patterns (..., S, D).
        mask: boolean (..., L, S), True = visible.
        field: (..., L, S).
        steps: number of steps, from 0, and for `fixed_point` the most; 1 if None, or 100 for
            `fixed_point`.
        step_size: gamma, a number or a tensor broadcastable to (..., L, 1), or a sequence of
            `steps` of those, one for each step; the entry's default if None.
        solver: as above; each has a page in `attenergy.attention.solvers`.
        backend: how the gradient is computed (`attenergy.attention.gradients.gradient`).
        trace: whether to record states, energies, residuals and entropies.
        **options: as `SolverOptions`, where they go with the solver.

    Raises:
        ValueError: a shape, number or name does not fit, or an argument or the energy does not go
            with the solver.

    Source: the concave-convex procedure (Yuille and Rangarajan 2003) gives gamma = 1.
    """
    check_solver(solver, energy)
    given = _checked_options(solver, options)
    if steps is None:
        steps = MOST_STEPS if solver == "fixed_point" else 1
    check_whole("steps", steps, 0)
    for name, tensor in (("xi", xi), ("X", X)):
        check_tensor(name, tensor)
    check_backend(energy, backend)
    if solver == "langevin":
        gammas = _gammas(energy, step_size, steps, solver)
        size = _noisy_step_size(gammas[0], field, trace, backend)
        chain = langevin(energy, xi, X, steps=steps, step_size=size, mask=mask, **given)
        return Relaxation(chain.state, promise=Promise(energy, solver, gammas))
    problem, xi = pose(energy, xi, X, mask, field, backend)
    xi = problem.kept(xi, energy.project(xi))
    return take_steps(problem, xi, steps, step_size, solver=solver, trace=trace, **given)


def take_steps(
    problem: Problem,
    xi: Tensor,
    steps: int,
    step_size: StepSize | Sequence[StepSize] | None,
    *,
    solver: Solver,
    trace: bool,
    **given: Any,
) -> Relaxation:
    """What `relax` does with checked arguments, for layers, which check theirs when they are made.

    Args:
        problem: from `pose`, as are the states.
        xi: states (..., L, D), in the energy's domain already.
        steps: with `step_size` and `trace` as for `relax`.
        step_size: see there.
        solver: any but `langevin`.
        trace: see there.
        **given: options of the solver.

    Raises:
        ValueError: a step size does not fit.
    """
    gammas = _gammas(problem.energy, step_size, steps, solver)
    record = Record(problem, xi) if trace else None
    if solver == "fixed_point":
        rest = fixed_point(problem, xi, gammas[0], record, steps=steps, **given)
    else:
        rest = Rest(_STEPPING[solver](problem, xi, gammas, record, **given))
    return Relaxation(
        rest.state,
        energies=None if record is None else record.energies(),
        residuals=None if record is None else record.residuals(),
        states=None if record is None else record.states(),
        entropies=None if record is None else record.entropies(),
        converged=rest.converged,
        steps_taken=rest.steps_taken,
        gradient=rest.gradient,
        promise=Promise(problem.energy, solver, gammas, momentum=bool(given.get("momentum"))),
    )


_STEPPING: dict[Solver, Callable[..., Tensor]] = {
    "descent": descent,
    "sequential": sequential,
    "implicit": implicit,
}


def check_solver(solver: str, energy: Energy | None = None) -> None:
    """Check the name of a solver, and that it goes with an energy if one is given.

    Raises:
        ValueError: it is unknown (names the nearest and all known ones), or the energy has not
            what it needs.
    """
    if solver not in get_args(Solver):
        raise UnknownName("solver", str(solver), get_args(Solver))
    check = _NEEDS.get(solver)
    if energy is not None and check is not None:
        check(energy)


_NEEDS: dict[str, Callable[[Energy], None]] = {
    "sequential": check_sites,
    "implicit": check_quadratic_form,
    "fixed_point": check_rest,
}


def _checked_options(solver: Solver, options: SolverOptions) -> dict[str, Any]:
    """The options that are given, all of them the solver's."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in options:
        owners = [f"'{owner}'" for owner, names in _OPTIONS.items() if name in names]
        if not owners:
            known = [*signature(relax).parameters, *SolverOptions.__annotations__]
            raise UnknownName("argument", name, [n for n in known if n != "options"])
        if name in given and name not in _OPTIONS[solver]:
            group = next(names for names in _OPTIONS.values() if name in names)
            verb = "is" if len(group) == 1 else "are"
            raise ArgumentError(
                f"{' and '.join(group)} {verb} for {' and '.join(owners)}, the solver is '{solver}'"
            )
    return given


def _gammas(
    energy: Energy,
    step_size: StepSize | Sequence[StepSize] | None,
    steps: int,
    solver: Solver,
) -> tuple[StepSize, ...]:
    """The step size of every step, or the one that a solver takes."""
    if solver not in ("langevin", "fixed_point"):
        return step_sizes(energy, step_size, steps)
    if step_size is not None and not isinstance(step_size, (int, float, Tensor)):
        raise ArgumentError(f"solver '{solver}' takes one step_size for all steps, got a sequence")
    return step_sizes(energy, step_size, 1)


def _noisy_step_size(gamma: StepSize, field: Tensor | None, trace: bool, backend: Backend) -> float:
    """The step size of `langevin`; refuses what that solver does not take."""
    for name, given in (("field", field is not None), ("trace", trace)):
        if given:
            raise ArgumentError(f"solver 'langevin' takes no {name}")
    if backend != "auto":
        raise ArgumentError(f"solver 'langevin' takes no backend but 'auto', got '{backend}'")
    if isinstance(gamma, Tensor):
        raise ArgumentError("solver 'langevin' takes one number as step_size, got a tensor")
    return gamma
