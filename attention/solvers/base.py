"""What a solver is: one class that says how states take steps, what it needs and what holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from attenergy.attention.solvers.guarantee import Terms
from attenergy.energies import Energy


@dataclass
class ImplicitGradient:
    """How the backward pass went; filled when it has run.

    Attributes:
        solved: (..., L), or (...) for interacting states: whether the sample had come to rest and
            its system with the Hessian was solved. The others got the derivative of one step.
        iterations: of conjugate gradients, whole numbers, shaped like `solved`.
    """

    solved: Tensor | None = None
    iterations: Tensor | None = None


class Rest(NamedTuple):
    """Where states came to rest; one number for each sample, (..., L), or (...) if they interact.

    Only the state is there if nothing tells whether they came to rest.

    Attributes:
        state: (..., L, D).
        converged: boolean, whether the last step moved the sample by no more than the tolerance.
        steps_taken: whole numbers, that step included.
        gradient: about the backward pass; None if there will be none.
    """

    state: Tensor
    converged: Tensor | None = None
    steps_taken: Tensor | None = None
    gradient: ImplicitGradient | None = None


class Solver:
    """One way of taking steps; sub-classes say which, and stand in `SOLVERS` under a name.

    Everything that depends on the solver asks this object: `relax`, layers, the search and the
    command line know of no solver by name.

    Attributes:
        summary: what it does, in half a sentence.
        earlier_names: under which it was known and is still accepted.
        options: names of its arguments besides those of all solvers.
        trains: whether gradients flow through it, so that a layer may have it.
        rests: it goes on until states rest, so the result depends on no number or size of steps.
        default_steps: number of steps if nobody says; the entry's own if None.
        one_step_size: whether all steps have the same size.
        one_by_one: whether a step moves one site after the other, at the cost of a gradient each.
        run: the steps, `(problem, xi, gammas, record, *, steps, **options) -> Rest`, with xi in
            the energy's domain, a step size for every step (one alone if `one_step_size`), and
            `record` a `Record` or None.

    Example:
        >>> sorted(SOLVERS)[:3]
        ['coordinate_descent', 'descent', 'fixed_point']
        >>> isinstance(SOLVERS["descent"], Solver)
        True
    """

    summary: ClassVar[str]
    earlier_names: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = True
    rests: ClassVar[bool] = False
    default_steps: ClassVar[int | None] = None
    one_step_size: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = False
    run: Callable[..., Rest]

    def check(self, energy: Energy) -> None:
        """Check that the energy has what the solver needs.

        Raises:
            ValueError: it has not; the sentence says what is missing, and which solver takes it.
        """

    def check_call(self, **given: Any) -> None:
        """Check arguments of `relax` that other solvers take: field, trace, backend, step_size.

        Raises:
            ValueError: one of them means nothing to this solver.
        """

    def no_guarantee(self, terms: Terms) -> str:
        """Why nothing guarantees that no step raised the energy; empty if theory does."""
        return (
            terms.energy_descends()
            or terms.free_of_momentum()
            or ("" if self.one_by_one else terms.energy_descends_at_once())
            or terms.step_sizes_are_safe()
        )
