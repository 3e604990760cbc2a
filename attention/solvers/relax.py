"""`relax`: the one place where states take steps down an energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypedDict

import torch
from torch import Tensor

from attenergy.attention.gradients.backends import Backend, check_backend
from attenergy.attention.modules.arguments import check_flag, check_tensor, check_whole
from attenergy.attention.solvers.base import ImplicitGradient, Rest
from attenergy.attention.solvers.catalogue import SOLVERS, check_solver, solver_name
from attenergy.attention.solvers.guarantee import Terms
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.attention.solvers.step_sizes import (
    StepSize,
    check_above_zero,
    check_sizes_fit,
    is_one,
    step_sizes,
)
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy, EnergyLike, source_of
from attenergy.energies.sources import setting_names
from attenergy.registry import ArgumentError, ArgumentTypeError, RegistryLike, UnknownName


class SolverOptions(TypedDict, total=False):
    """What the toolkit's solvers know besides the arguments of all; None is the default of each.

    To read: what is accepted is what a solver names as its `options`.

    Attributes:
        damping: share of the old state in every new one, in [0, 1).
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
        steps_taken: of `fixed_point`: whole numbers, the step that moved nothing included.
            The traces end with the slowest sample; those that rest stay where they are.
        gradient: of `fixed_point`: how the backward pass went, filled by it; None without one.
        terms: the terms under which steps were taken.
        solver: name of the solver that took them.

    Example:
        >>> path = attenergy.relax("lse", torch.randn(3, 8), torch.randn(5, 8), steps=4, trace=True)
        >>> path.state.shape, path.energies.shape
        (torch.Size([3, 8]), torch.Size([5, 3]))
        >>> bool((path.energies.diff(dim=0) < 1e-5).all())
        True
    """

    state: Tensor
    energies: Tensor | None = None
    residuals: Tensor | None = None
    states: Tensor | None = None
    entropies: Tensor | None = None
    converged: Tensor | None = None
    steps_taken: Tensor | None = None
    gradient: ImplicitGradient | None = None
    terms: Terms | None = dataclasses.field(default=None, compare=False, repr=False)
    solver: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def guarantee(self) -> bool:
        """Whether theory guarantees that no step raised the energy (law of descent)."""
        return not self.no_guarantee

    @property
    def no_guarantee(self) -> str:
        """Why theory guarantees nothing; empty if it does."""
        if self.terms is None:
            return "nothing is known of the steps"
        return SOLVERS[self.solver].no_guarantee(self.terms)

    objection = no_guarantee  # earlier name


def relax(  # noqa: PLR0913 - every choice of a relaxation, each by keyword
    energy: EnergyLike,
    xi: Tensor,
    X: Tensor,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    steps: int | None = None,
    step_size: StepSize | Sequence[StepSize] | None = None,
    solver: str = "descent",
    backend: Backend = "auto",
    trace: bool = False,
    registry: RegistryLike | None = None,
    **options: Any,
) -> Relaxation:
    r"""Take steps xi <- retract(xi, gamma/A grad_xi E(xi; X, h)), `steps` times.

    A is the energy's quadratic part (1 if it declares none), gamma the step size, and
    retract(xi, d) = xi - d in free space (`attenergy.energies.domains` for the others). If
    E = 1/2 xi'A xi - v(xi) with v convex, no step with gamma in (0, 2) raises E, at any beta; on
    the sphere no step of any size does, if -E is convex. Other step sizes are taken as they are;
    `Relaxation.guarantee` and `no_guarantee` say what holds. States are projected to the domain
    before the first step. A state that sees no pattern does not move.

    Solvers (`attenergy.attention.solvers.catalogue.SOLVERS`; each has a page there):
        descent            all sites at once. `damping` mixes the old state into every new one,
                           which voids no guarantee; `momentum` (heavy ball) voids it.
        coordinate_descent one site after the other, each seeing what the ones before it did: the
                           states in turn if they interact, else the components of every state. One
                           step is one sweep. It descends where moving all at once need not: spins
                           coupled in pairs, whatever the sign of the couplings.
        semi_implicit      a quadratic term that couples states is solved for:
                           xi - gamma M^-1 grad E with E = 1/2 tr xi'M xi - v(xi). `damping`
                           and `momentum` as above.
        fixed_point        steps until each sample rests, to `tolerance`; derivatives at the fixed
                           point, by the implicit function theorem.
        langevin           draws instead of descending: xi - gamma grad E + sqrt(2 gamma T) noise,
                           without A and without derivatives.

    Args:
        energy: what is descended: an energy, or whatever names one (`attenergy.make_energy`), which
            is then made without heads, as wide as the states are.
        xi: states (..., L, D).
        X: stored patterns (..., S, D).
        mask: boolean (..., L, S), True = visible.
        field: (..., L, S).
        steps: number of steps, from 0, and for `fixed_point` the most; 1 if None, or 100 for
            `fixed_point`.
        step_size: gamma, a number or a tensor broadcastable to (..., L, 1), or a sequence of
            `steps` of those, one for each step; the entry's default if None.
        solver: as above.
        backend: how the gradient is computed (`attenergy.attention.gradients.gradient`).
        trace: whether to record states, energies, residuals and entropies.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        **options: as `SolverOptions`, where they go with the solver; and for an energy that is made
            here its parameters, choices and options. A name that both have is refused: whoever
            means the energy's makes it first (`attenergy.make_energy`).

    Raises:
        ValueError: a shape, number or name does not fit, or an argument or the energy does not go
            with the solver.

    Source: the concave-convex procedure (Yuille and Rangarajan 2003) gives gamma = 1.

    Example:
        >>> X = torch.eye(3)
        >>> path = attenergy.relax("lse", X + 0.2, X, beta=20.0, steps=3)
        >>> path.state.round(decimals=2)
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    if not isinstance(energy, Energy):
        energy, options = _made(energy, xi, solver, registry, options)
    solver = check_solver(solver, energy)
    method = SOLVERS[solver]
    given = _checked_options(solver, options)
    if steps is None:
        steps = method.default_steps or 1
    steps = check_whole("steps", steps, 0)
    trace = check_flag("trace", trace)
    for name, tensor in (("xi", xi), ("X", X)):
        check_tensor(name, tensor)
    check_above_zero(step_size)
    check_backend(energy, backend)
    method.check_call(field=field, trace=trace, backend=backend, step_size=step_size)
    problem, xi = pose(energy, xi, X, mask, field, backend)
    xi = problem.where_occupied(xi, energy.project(xi))
    return take_steps(problem, xi, steps, step_size, solver=solver, trace=trace, **given)


def _made(
    energy: Any,
    xi: Any,
    solver: str,
    registry: RegistryLike | None,
    options: dict[str, Any],
) -> tuple[Energy, dict[str, Any]]:
    """The energy that something names, for these states, and the options that are the solver's.

    Raises:
        ValueError: a name that an option of the solver and a setting of the energy have.
    """
    check_tensor("xi", xi)
    known = [name for method in SOLVERS.values() for name in method.options]
    ours = {name: value for name, value in options.items() if name in known}
    dim = xi.shape[-1] if xi.ndim else 0
    if any(value is not None for value in ours.values()):
        taken, settings = SOLVERS[solver_name(solver)].options, setting_names(energy, registry)
        for name, value in list(ours.items()):
            if value is None or name not in settings:
                continue
            if name in taken:
                raise ArgumentError(
                    f"'{name}' is an option of solver '{solver}' and a setting of the energy too; "
                    f"for the energy's, make it first: make_energy(..., dim={dim}, "
                    f"{name}={value!r}), and what relax is given is the solver's",
                    topic="solver",
                )
            del ours[name]
    theirs = {name: value for name, value in options.items() if name not in ours}
    source = source_of(energy, theirs, registry=registry, others=known, taker=relax)
    made = source.make(dim).to(xi.device)
    made = made.to(xi.dtype) if xi.is_floating_point() else made
    return made.requires_grad_(False), ours


def take_steps(
    problem: Problem,
    xi: Tensor,
    steps: int,
    step_size: StepSize | Sequence[StepSize] | None,
    *,
    solver: str,
    trace: bool,
    **given: Any,
) -> Relaxation:
    """What `relax` does with checked arguments, for layers, which check theirs when they are made.

    Args:
        problem: from `pose`, as are the states.
        xi: states (..., L, D), in the energy's domain already.
        steps: with `step_size` and `trace` as for `relax`.
        step_size: see there.
        solver: a name in `SOLVERS` that goes with the energy.
        trace: see there.
        **given: options of the solver.

    Raises:
        ValueError: a step size does not fit.
    """
    method = SOLVERS[solver]
    if not method.one_step_size:
        gammas = step_sizes(problem.energy, step_size, steps)
    elif step_size is None or is_one(step_size):
        gammas = step_sizes(problem.energy, step_size, 1)
    else:
        raise ArgumentError(
            f"solver '{solver}' takes one step_size for all steps, got a sequence", topic="solver"
        )
    check_sizes_fit(gammas, xi)
    record = Record(problem, xi) if trace else None
    rest = method.run(problem, xi, gammas, record, steps=steps, **given)
    if solver in SOLVERS.owners:
        _check_rest(solver, rest, xi)
    return Relaxation(
        rest.state,
        energies=None if record is None else record.energies(),
        residuals=None if record is None else record.residuals(),
        states=None if record is None else record.states(),
        entropies=None if record is None else record.entropies(),
        converged=rest.converged,
        steps_taken=rest.steps_taken,
        gradient=rest.gradient,
        terms=Terms(problem.energy, gammas, momentum=bool(given.get("momentum"))),
        solver=solver,
    )


def _check_rest(solver: str, rest: Any, xi: Tensor) -> None:
    """Check what a user's own solver returns.

    Raises:
        ArgumentTypeError: it is no `Rest` with states like those before the steps.
    """
    state = rest.state if isinstance(rest, Rest) else rest
    if not isinstance(rest, Rest) or not isinstance(state, Tensor) or state.shape != xi.shape:
        got = type(rest).__name__
        if isinstance(state, Tensor):
            got += f" with a state {tuple(state.shape)}" if state is not rest else ""
        raise ArgumentTypeError(
            f"solver '{solver}' must return Rest(state) with a state {tuple(xi.shape)}, got {got}",
            topic="solver",
        )


def _checked_options(solver: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are given, all of them the solver's."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in options:
        owners = [owner for owner, method in SOLVERS.items() if name in method.options]
        if not owners:
            known = [n for n in signature(relax).parameters if n != "options"]
            known += [n for method in SOLVERS.values() for n in method.options]
            raise UnknownName("argument", name, dict.fromkeys(known))
        if name in given and solver not in owners:
            group = SOLVERS[owners[0]].options
            verb = "is" if len(group) == 1 else "are"
            names = " and ".join(f"'{owner}'" for owner in owners)
            raise ArgumentError(
                f"{' and '.join(group)} {verb} for {names}, the solver is '{solver}'",
                topic="solver",
            )
    return given
