"""Markov chains whose states are drawn from p(xi) ~ exp(-E(xi; X)/T), one for each kind of domain.

    langevin    real              noisy steps down the gradient, corrected; `langevin`
    glauber     spin              one component after the other from its own conditional, exactly
    metropolis  sphere,           xi' = retraction of xi + size * noise, taken with probability
                layer_norm, real  min(1, exp((E(xi) - E(xi'))/T)); equally likely in both directions
    exact       real              no chain: mixtures (`attenergy.energies.density`) are drawn anew

Every state is a chain of its own; states that interact are one chain together. A state that sees no
pattern stays. Mean-field energies of magnetisations and of the simplex are of means, not of states,
and have no sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attenergy.attention.gradients.prepare import all_states
from attenergy.attention.solvers.langevin import Chain, langevin, temperature_of
from attenergy.energies import Energy
from attenergy.energies.density.mixture import mixture
from attenergy.energies.density.partition import sample
from attenergy.energies.parameters import check_made
from attenergy.registry import ArgumentError, UnknownName


@dataclass(frozen=True)
class Target:
    """What is drawn from: p(xi) ~ exp(-E(xi; X)/T).

    Attributes:
        energy: E.
        X: stored patterns (..., S, D); None if the energy reads none.
        mask: boolean (..., L, S), True = visible, or None.
        temperature: T above 0, a number or a tensor that broadcasts to (..., L, D); 1/beta if None,
            for an energy with a parameter beta.
    """

    energy: Energy
    X: Tensor | None = None
    mask: Tensor | None = None
    temperature: float | Tensor | None = None

    def stored(self, xi: Tensor) -> Tensor:
        """The patterns, or the states where the energy reads no others."""
        return xi if self.X is None or not self.energy.reads_patterns else self.X

    def value(self, xi: Tensor) -> Tensor:
        """E, (..., L), or (...) for interacting states."""
        value: Tensor = self.energy(xi, self.stored(xi), mask=self.mask)
        return value

    def inverse_temperature(self) -> Tensor:
        """1/T, broadcastable to `value`; it has a derivative by beta."""
        inverse: Tensor = 1.0 / temperature_of(self.energy, self.temperature)
        for _ in range(2 if self.energy.states_interact else 1):  # no axis D, and none of L
            inverse = inverse.squeeze(-1) if inverse.ndim else inverse
        return inverse

    def occupied(self, xi: Tensor) -> Tensor:
        """Which chains see a pattern at all, broadcastable to `value`."""
        if self.mask is None:
            return xi.new_ones((), dtype=torch.bool)
        seen = self.mask.any(-1)
        return seen.any(-1) if self.energy.states_interact else seen


class Sampler:
    """One kind of chain.

    Attributes:
        domains: where its states live.
        default_step_size: used if none is given; None for a chain that has none.
    """

    domains: ClassVar[tuple[str, ...]] = ()
    default_step_size: ClassVar[float | None] = None

    def run(
        self,
        target: Target,
        xi: Tensor,
        steps: int,
        step_size: float,
        generator: torch.Generator | None,
    ) -> Chain:
        """Take the steps from states (..., L, D) of the domain."""
        raise NotImplementedError


class LangevinSampler(Sampler):
    """`langevin` with the correction; its step size is divided by the quadratic part."""

    domains = ("real",)
    default_step_size = 0.5

    def run(
        self,
        target: Target,
        xi: Tensor,
        steps: int,
        step_size: float,
        generator: torch.Generator | None,
    ) -> Chain:
        """See `Sampler.run`."""
        energy = target.energy
        quadratic = energy.quadratic() if energy.spec.quadratic != "radial" else None
        scale = 1.0 if quadratic is None else float(torch.as_tensor(quadratic).detach().max())
        return langevin(
            energy, xi, target.stored(xi), steps=steps, step_size=step_size / scale,
            temperature=target.temperature, metropolis=True, mask=target.mask, generator=generator,
        )  # fmt: skip


class Glauber(Sampler):
    """A step is a sweep: every component is turned with probability 1/(1 + exp(change of E/T))."""

    domains = ("spin",)

    def run(
        self,
        target: Target,
        xi: Tensor,
        steps: int,
        step_size: float,
        generator: torch.Generator | None,
    ) -> Chain:
        """See `Sampler.run`; the acceptance is the share of components that were turned."""
        together = target.energy.states_interact
        sites = xi.shape[-1] * (xi.shape[-2] if together else 1)
        inverse, value = target.inverse_temperature(), target.value(xi)
        turned = torch.zeros_like(value)
        for index in range(steps * sites):
            site = index % sites
            new = xi.clone(memory_format=torch.contiguous_format)
            part = new.flatten(-2)[..., site] if together else new[..., site]
            part.neg_()
            changed = target.value(new)
            chance = torch.sigmoid(inverse * (value - changed))
            taken = _uniform(chance, generator) < chance
            taken = taken & target.occupied(xi)
            xi = torch.where(_beside(taken, xi), new, xi)
            value = torch.where(taken, changed, value)
            turned = turned + taken
        return Chain(xi, turned / max(steps * sites, 1))


class Metropolis(Sampler):
    """Random steps of a given size, taken or not by the change of E."""

    domains = ("sphere", "layer_norm", "real")
    default_step_size = 0.5

    def run(
        self,
        target: Target,
        xi: Tensor,
        steps: int,
        step_size: float,
        generator: torch.Generator | None,
    ) -> Chain:
        """See `Sampler.run`; the step size is the deviation of the noise on each component."""
        inverse, value = target.inverse_temperature(), target.value(xi)
        accepted = torch.zeros_like(value)
        for _ in range(steps):
            noise = torch.randn(xi.shape, generator=generator, dtype=xi.dtype, device=xi.device)
            new = target.energy.project(xi + step_size * noise)
            changed = target.value(new)
            taken = torch.log(_uniform(value, generator)) < inverse * (value - changed)
            taken = taken & target.occupied(xi)
            xi = torch.where(_beside(taken, xi), new, xi)
            value = torch.where(taken, changed, value)
            accepted = accepted + taken
        return Chain(xi, accepted / max(steps, 1))


class Exact(Sampler):
    """Independent draws from a mixture, at the energy's own temperature."""

    domains = ("real",)

    def run(
        self,
        target: Target,
        xi: Tensor,
        steps: int,
        step_size: float,
        generator: torch.Generator | None,
    ) -> Chain:
        """See `Sampler.run`; where the states were does not count.

        Raises:
            ValueError: the energy is no mixture of patterns (N, D), or there is a mask or a
                temperature of one's own.
        """
        if target.mask is not None or target.temperature is not None:
            raise ArgumentError(
                "sampler 'exact' takes no mask and no temperature: take 'langevin'", topic="density"
            )
        X = target.stored(xi)
        mixture(target.energy, X)
        count = xi[..., 0].numel()
        drawn = sample(target.energy, X, count, generator=generator) if count else xi
        return Chain(drawn.reshape(xi.shape), xi.new_ones(xi.shape[:-1]))


#: Samplers by name; of those that fit a domain the first is the default.
SAMPLERS: dict[str, Sampler] = {
    "langevin": LangevinSampler(),
    "glauber": Glauber(),
    "metropolis": Metropolis(),
    "exact": Exact(),
}


def sampler_for(energy: Energy, name: str | None = None) -> Sampler:
    """The sampler of that name, or the first that fits the energy's domain.

    Raises:
        TypeError: the energy is not made.
        ValueError: there is none of that name, or none that fits.
    """
    check_made(energy)
    spec = energy.spec
    if not (energy.reads_patterns or energy.states_interact):
        raise ArgumentError(
            f"'{spec.title}' has no density of all states: every state has an energy of its own",
            topic="density",
        )
    fitting = [n for n, sampler in SAMPLERS.items() if spec.domain in sampler.domains]
    if name is not None and name not in SAMPLERS:
        raise UnknownName("sampler", name, SAMPLERS)
    if name is not None and name not in fitting:
        known = f"; those that are: {', '.join(fitting)}" if fitting else ""
        raise ArgumentError(
            f"sampler '{name}' is not for the domain '{spec.domain}'{known}", topic="density"
        )
    if not fitting:
        raise ArgumentError(
            f"no sampler is for the domain '{spec.domain}' of '{spec.title}'; there are some for "
            "real, spin, sphere and layer_norm",
            topic="density",
        )
    return SAMPLERS[fitting[0] if name is None else name]


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _beside(values: Tensor, xi: Tensor) -> Tensor:
    """Values of chains with axes of length 1 up to those of the states."""
    return values.reshape(*values.shape, *(1,) * (xi.ndim - values.ndim))


def every_state(target: Target, xi: Tensor) -> Tensor:
    """The states with every batch axis of patterns, mask and heads."""
    mask, _ = target.energy.check(xi, target.stored(xi), target.mask, None)
    return all_states(target.energy, xi, target.stored(xi), mask)
