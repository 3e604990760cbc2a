"""Options of a layer with an energy: what stands for a default, and what goes with what."""

from __future__ import annotations

from typing import Any, Literal, get_args

from attenergy.attention.gradients.backends import Backend, check_backend
from attenergy.attention.modules.arguments import check_positive, check_whole
from attenergy.attention.solvers.catalogue import SOLVERS, check_solver, solver_name, trainable
from attenergy.energies import Energy
from attenergy.registry import ArgumentError, Reading

Read = Literal["auto", "weights", "state"]


def first_steps(steps: int | None, energy: Energy, solver: str) -> int:
    """The number of steps that a layer is made with."""
    default = SOLVERS[solver].default_steps or int(energy.spec.steps.default)
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
                f"own; got {steps}",
                topic="step-size",
            )
        if learned is not None and layer.read == "weights" and steps == 1:
            raise ArgumentError(
                "steps must be at least 2: of 1 there is no step_size to learn, got 1",
                topic="step-size",
            )
    return int(steps)


def checked_step_size(layer: Any, step_size: Any) -> float:
    """The step size of a layer.

    Raises:
        ValueError: it is no finite number above 0, or it is learned.
    """
    if layer.learned_step_size is not None:
        raise ArgumentError(
            f"step_size is learned, in `learned_step_size`, and cannot be set, got {step_size!r}",
            topic="step-size",
        )
    return check_positive("step_size", step_size)


def first_solver(given: Any, energy: Energy) -> str:
    """The solver that a layer is made with."""
    return solver_name(energy.spec.solver.default if given is None else given)


def checked_solver(layer: Any, solver: Any) -> str:
    """The solver of a layer.

    Raises:
        ValueError: it is unknown, does not go with the energy or with what the layer learns, or has
            no derivatives.
    """
    name = check_solver(solver, layer.energy)
    if not SOLVERS[name].trains:
        raise ArgumentError(
            f"solver '{name}' draws states and has no derivatives, so no layer is trained "
            f"through it; take one of {', '.join(trainable())}",
            topic="solver",
        )
    if layer.learned_step_size is not None:
        check_memory("learn_step_size", name)
    if layer.earlier is not None:
        check_memory("energy_per_step", name)
    return name


def check_memory(name: str, solver: str) -> None:
    """Check that what is learned of single steps reaches the end of all of them.

    Raises:
        ValueError: the solver goes on until states rest.
    """
    if SOLVERS[solver].rests:
        raise ArgumentError(
            f"{name} means nothing to solver '{solver}', which forgets how it came to rest",
            topic="solver",
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
    if not isinstance(read, str) or read not in get_args(Read):
        raise ArgumentError(f"read must be one of {', '.join(get_args(Read))}, got {read!r}")
    if read == "weights" and not energy.has_weights:
        raise ArgumentError(
            f"'{energy.spec.title}' defines no weights over patterns; read the state",
            topic="no-weights",
        )
    if read != "auto":
        return read  # type: ignore[return-value]
    wanted = energy.spec.read or "weights"
    return wanted if energy.has_weights else "state"
