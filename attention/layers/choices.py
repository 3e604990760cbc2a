"""Options of a layer with an energy: what stands for a default, and what goes with what."""

from __future__ import annotations

from typing import Any, Literal, get_args

from attenergy.attention.gradients.gradient import Backend, check_backend
from attenergy.attention.modules.arguments import check_positive, check_whole
from attenergy.attention.solvers.relax import MOST_STEPS, TRAINABLE, Solver, check_solver
from attenergy.energies import Energy, check_entry
from attenergy.registry import ArgumentError, EnergySpec, Reading, Registry, given_registry

Read = Literal["auto", "weights", "state"]


def entry_of(energy: Any, registry: Registry | None) -> Any:
    """The entry of that name, an energy's or, for `make_energy` to refuse, a mixer's name.

    Raises:
        TypeError: it is neither a name nor an entry.
    """
    if not isinstance(energy, str):
        check_entry("energy", energy)
        return energy
    entry = given_registry(registry).layer(energy)
    return entry if isinstance(entry, EnergySpec) else energy


def first_steps(steps: int | None, energy: Energy, solver: Solver) -> int:
    """The number of steps that a layer is made with."""
    default = MOST_STEPS if solver == "fixed_point" else int(energy.spec.steps.default)
    return default if steps is None else steps


def checked_steps(layer: Any, steps: Any) -> int:
    """The number of steps of a layer.

    Raises:
        ValueError: it is no whole number from 1, or something was made for another number.
    """
    check_whole("steps", steps, 1)
    made = layer.__dict__.get("_steps", steps)
    learned = layer.learned_step_size
    if steps != made:
        if layer.earlier is not None or (learned is not None and learned.per_step):
            raise ArgumentError(
                f"steps are fixed at {made}, as every step has an energy or a step size of its "
                f"own; got {steps}"
            )
        if learned is not None and layer.read == "weights" and steps == 1:
            raise ArgumentError(
                "steps must be at least 2: of 1 there is no step_size to learn, got 1"
            )
    return int(steps)


def checked_step_size(layer: Any, step_size: Any) -> float:
    """The step size of a layer.

    Raises:
        ValueError: it is no finite number above 0, or it is learned.
    """
    if layer.learned_step_size is not None:
        raise ArgumentError(
            f"step_size is learned, in `learned_step_size`, and cannot be set, got {step_size!r}"
        )
    return check_positive("step_size", step_size)


def first_solver(given: Any, energy: Energy) -> Any:
    """The solver that a layer is made with."""
    return energy.spec.solver.default if given is None else given


def checked_solver(layer: Any, solver: Any) -> Solver:
    """The solver of a layer.

    Raises:
        ValueError: it is unknown, does not go with the energy or with what the layer learns, or has
            no derivatives.
    """
    check_solver(str(solver), layer.energy)
    if solver not in TRAINABLE:
        raise ArgumentError(
            f"solver '{solver}' draws states and has no derivatives, so no layer is trained "
            f"through it; take one of {', '.join(TRAINABLE)}"
        )
    if layer.learned_step_size is not None:
        check_memory("learn_step_size", solver)
    if layer.earlier is not None:
        check_memory("energy_per_step", solver)
    return solver  # type: ignore[no-any-return]


def check_memory(name: str, solver: Solver) -> None:
    """Check that what is learned of single steps reaches the end of all of them.

    Raises:
        ValueError: the solver is `fixed_point`.
    """
    if solver == "fixed_point":
        raise ArgumentError(
            f"{name} means nothing to solver 'fixed_point', which forgets how it came to rest"
        )


def checked_backend(layer: Any, backend: Any) -> Backend:
    """The backend of a layer.

    Raises:
        ValueError: it is unknown, or the energy does not have it.
    """
    check_backend(layer.energy, backend)
    return backend  # type: ignore[no-any-return]


def reading(energy: Energy, read: Any) -> Reading:
    """How a layer is read.

    Raises:
        ValueError: an unknown way, or by weights where there are none.
    """
    if read not in get_args(Read):
        raise ArgumentError(f"read must be one of {', '.join(get_args(Read))}, got {read!r}")
    if read == "weights" and not energy.has_weights:
        raise ArgumentError(
            f"'{energy.spec.title}' defines no weights over patterns; read the state"
        )
    if read != "auto":
        return read  # type: ignore[no-any-return]
    wanted = energy.spec.read or "weights"
    return wanted if energy.has_weights else "state"
