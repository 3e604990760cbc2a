"""Langevin dynamics: states that are drawn from p(xi) ~ exp(-E(xi; X)/T) by noisy descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attenergy.attention.gradients.gradient import gradient
from attenergy.attention.gradients.prepare import all_states
from attenergy.attention.modules.arguments import check_positive, check_whole
from attenergy.attention.solvers.base import Rest, Solver
from attenergy.attention.solvers.guarantee import Terms
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.step_sizes import StepSize
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Energy
from attenergy.energies.parameters import check_made
from attenergy.registry import ArgumentError, ParameterError


@dataclass(frozen=True)
class Chain:
    """Where chains are after their last step, and how they got there.

    Attributes:
        state: (..., L, D).
        acceptance: (..., L), or (...) for interacting states: the share of steps that were taken;
            1 without the Metropolis correction.
        trajectory: (steps, ..., L, D) after every step; None unless it was asked for.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0)
        >>> chain = langevin(energy, torch.zeros(100, 2), torch.eye(2), steps=5, step_size=0.1)
        >>> chain.state.shape, chain.acceptance.shape
        (torch.Size([100, 2]), torch.Size([100]))
    """

    state: Tensor
    acceptance: Tensor
    trajectory: Tensor | None = None


@torch.no_grad()
def langevin(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    *,
    steps: int,
    step_size: float,
    temperature: float | Tensor | None = None,
    metropolis: bool = False,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    trajectory: bool = False,
) -> Chain:
    r"""Take steps xi <- xi - eta grad E(xi) + sqrt(2 eta T) noise.

    Without correction the states are drawn from p ~ exp(-E/T) up to an error of order eta: for
    E = a/2 |xi|^2 the variance is T/(a (1 - a eta/2)). With `metropolis` every proposal xi' is
    taken with probability

        min(1, exp(-(E(xi') - E(xi))/T) q(xi | xi')/q(xi' | xi)),
        q(y | x) = N(y; x - eta grad E(x), 2 eta T I),

    and p is exact at any eta that lets proposals through. Every state is a chain of its own; states
    that interact are one chain together. A state that sees no pattern stays.

    Args:
        energy: an energy over real states, with a finite integral of exp(-E/T).
        xi: states (..., L, D), where the chains start.
        X: stored patterns (..., S, D).
        steps: number of steps, from 0.
        step_size: eta, above 0; not divided by the energy's quadratic part.
        temperature: T above 0; 1/beta if None, for an energy with a parameter beta.
        metropolis: whether to correct the error of the step size.
        mask: boolean (..., L, S), True = visible.
        generator: source of randomness.
        trajectory: whether to keep the states after every step.

    Raises:
        ValueError: the energy has another domain, or an argument does not fit.

    Source: Roberts and Tweedie 1996, doi:10.2307/3318418.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0)
        >>> chain = langevin(energy, torch.zeros(50, 2), torch.eye(2), steps=10, step_size=0.1)
        >>> chain.state.shape
        torch.Size([50, 2])
    """
    check_made(energy)
    Langevin().check(energy)
    steps = check_whole("steps", steps, 0)
    step_size = check_positive("step_size", step_size)
    warmth = temperature_of(energy, temperature)
    mask, _ = energy.check(xi, X, mask, None)
    xi = all_states(energy, xi, X, mask)
    walk = _Walk(energy, X, mask, step_size, warmth, generator)
    step = walk.corrected if metropolis else walk.plain
    taken = xi.new_zeros(xi.shape[: -2 if energy.states_interact else -1])
    states = []
    for _ in range(steps):
        xi, accepted = step(xi)
        taken = taken + accepted
        if trajectory:
            states.append(xi)
    shape = (0, *xi.shape)
    path = (torch.stack(states) if states else xi.new_zeros(shape)) if trajectory else None
    return Chain(xi, taken / max(steps, 1), path)


class Langevin(Solver):
    """The steps of `langevin`, without A and without derivatives."""

    summary = "draws instead of descending"
    options = ("temperature", "generator")
    trains = False
    one_step_size = True

    def check(self, energy: Energy) -> None:
        """Check that an energy has a density over free states.

        Raises:
            ValueError: its states are constrained, or it is none of all states together.
        """
        if energy.domain.constrained:
            raise ArgumentError(
                f"Langevin steps are for real states, '{energy.spec.title}' has "
                f"{energy.spec.domain}",
                topic="solver",
            )
        if not (energy.reads_patterns or energy.states_interact):
            raise ArgumentError(
                f"'{energy.spec.title}' has no density of all states", topic="solver"
            )

    def check_call(self, **given: Any) -> None:
        """Refuse what `langevin` has no use for."""
        for name, there in (("field", given["field"] is not None), ("trace", given["trace"])):
            if there:
                raise ArgumentError(f"solver 'langevin' takes no {name}", topic="solver")
        if given["backend"] != "auto":
            raise ArgumentError(
                f"solver 'langevin' takes no backend but 'auto', got '{given['backend']}'",
                topic="solver",
            )
        if isinstance(given["step_size"], Tensor):
            raise ArgumentError(
                "solver 'langevin' takes one number as step_size, got a tensor", topic="solver"
            )

    def no_guarantee(self, terms: Terms) -> str:
        """Noise goes up as well as down."""
        return "noise raises the energy as often as not"

    def run(
        self,
        problem: Problem,
        xi: Tensor,
        gammas: Sequence[StepSize],
        record: Record | None = None,
        *,
        steps: int,
        temperature: float | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Rest:
        """Take the steps; arguments as of `langevin`, the step size alone in `gammas`."""
        (step_size,) = gammas
        assert not isinstance(step_size, Tensor)  # by `check_call`
        chain = langevin(
            problem.energy, xi, problem.X, steps=steps, step_size=step_size, mask=problem.mask,
            temperature=temperature, generator=generator,
        )  # fmt: skip
        return Rest(chain.state)


def temperature_of(energy: Energy, temperature: float | Tensor | None) -> Tensor:
    """T as a tensor, 1/beta if None.

    Raises:
        ValueError: it is not above 0 and finite, or None for an energy without a parameter beta.
    """
    if temperature is None:
        beta = energy.values().get("beta")
        if beta is None:
            raise ArgumentError(
                f"'{energy.spec.title}' has no parameter beta: say which temperature",
                topic="solver",
            )
        return 1 / torch.as_tensor(beta)
    if not isinstance(temperature, Tensor):
        return torch.as_tensor(check_positive("temperature", temperature))
    if not bool((temperature > 0).all()):
        raise ParameterError(f"temperature must be above 0, got {temperature}")
    if not bool(temperature.isfinite().all()):
        raise ParameterError(f"temperature must be finite, got {temperature}")
    return temperature


@dataclass(frozen=True)
class _Walk:
    """One step of Langevin dynamics, with what all steps share."""

    energy: Energy
    X: Tensor
    mask: Tensor | None
    step_size: float
    temperature: Tensor
    generator: torch.Generator | None

    def slope(self, xi: Tensor) -> Tensor:
        return gradient(self.energy, xi, self.stored(xi), mask=self.mask)

    def value(self, xi: Tensor) -> Tensor:
        value: Tensor = self.energy(xi, self.stored(xi), mask=self.mask)
        return value

    def stored(self, xi: Tensor) -> Tensor:
        return self.X if self.energy.reads_patterns else xi

    def proposal(self, xi: Tensor, slope: Tensor) -> Tensor:
        noise = self.drawn(torch.randn, xi.shape, xi)
        new = xi - self.step_size * slope + (2 * self.step_size * self.temperature).sqrt() * noise
        return new if self.mask is None else torch.where(self.mask.any(-1, keepdim=True), new, xi)

    def drawn(self, source: Callable[..., Tensor], shape: torch.Size, like: Tensor) -> Tensor:
        return source(shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def plain(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        new = self.proposal(xi, self.slope(xi))
        return new, self.per_chain(torch.ones_like(new[..., 0])) > 0

    def corrected(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        slope = self.slope(xi)
        new = self.proposal(xi, slope)
        there = self.value(xi) - self.value(new)
        forth = self.per_chain(self.distance(new, xi, slope))
        back = self.per_chain(self.distance(xi, new, self.slope(new)))
        warmth = self.temperature  # (..., L|1, 1), while an energy has no axis D, or none of L, D
        for _ in range(2 if self.energy.states_interact else 1):
            warmth = warmth.squeeze(-1) if warmth.ndim else warmth
        log_ratio = there / warmth + (forth - back) / (4 * self.step_size * warmth)
        chance = self.drawn(torch.rand, log_ratio.shape, xi)
        accepted = torch.log(chance) < log_ratio
        shaped = accepted.reshape(*accepted.shape, *(1,) * (xi.ndim - accepted.ndim))
        return torch.where(shaped, new, xi), accepted

    def distance(self, new: Tensor, old: Tensor, slope: Tensor) -> Tensor:
        """|new - (old - eta grad E(old))|^2 for each state."""
        away = new - old + self.step_size * slope
        return (away * away).sum(-1)

    def per_chain(self, values: Tensor) -> Tensor:
        return values.sum(-1) if self.energy.states_interact else values
