"""`AssociativeMemory`: store patterns, recall them from noisy ones; no projections, no training."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any, Self, get_args

import torch
from torch import Tensor

from attenergy.attention.memory.moves import Mode, Order, binary, continuous
from attenergy.attention.memory.noise import Damage, Noise, noise_of
from attenergy.attention.memory.recall import Recall, joined, settle
from attenergy.attention.memory.spin_updates import BLOCK
from attenergy.attention.memory.suggested_beta import SuggestedBeta, sharpened, suggest
from attenergy.attention.modules.arguments import (
    check_from_zero,
    check_positive,
    check_size,
    check_tensor,
    check_whole,
)
from attenergy.attention.solvers.step_sizes import default_step_size
from attenergy.energies import Energy, EnergyLike, EnergySource, source_of
from attenergy.registry import RecallError, RegistryLike, nearest

__all__ = ["AssociativeMemory", "Mode", "Order"]


class AssociativeMemory:
    """Patterns at the bottom of an energy, recalled by going down from a noisy state.

        >>> patterns = torch.nn.functional.normalize(torch.randn(100, 64), dim=-1)
        >>> memory = AssociativeMemory("lse", beta=50.0).store(patterns)
        >>> recalled = memory.recall(patterns + 0.05 * torch.randn(100, 64), steps=3)
        >>> torch.allclose(recalled.state, patterns, atol=1e-3)
        True

    Nothing is projected and nothing is learned: states and patterns are compared as they are.
    Binary patterns (all entries +-1) are recalled by turning spins, with any energy:

        >>> signs = torch.sign(torch.randn(20, 100))
        >>> memory = AssociativeMemory("polynomial", power=3).store(signs)
        >>> damaged = torch.cat([-signs[:, :10], signs[:, 10:]], dim=1)
        >>> torch.equal(memory.recall(damaged, mode="sequential").state, signs)
        True

    Args:
        energy: whatever names one; see `attenergy.make_energy`. One that is made has no heads.
        dim: width D of the patterns; that of the first patterns stored if None.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        **settings: parameters, choices and options of the energy, such as `beta`.

    Raises:
        TypeError: `energy` is none of these.
        ValueError: an unknown name, an energy that stores no patterns, or a setting that does not
            fit.
    """

    def __init__(
        self,
        /,
        energy: EnergyLike,
        *,
        dim: int | None = None,
        registry: RegistryLike | None = None,
        **settings: Any,
    ) -> None:
        if dim is not None:
            check_size("dim", dim)
        source = source_of(energy, settings, registry=registry, taker=type(self))
        self._make = partial(_made, source)
        if source.made is not None and source.made.num_heads is not None:
            raise RecallError(f"a memory has no heads, the energy has {source.made.num_heads}")
        if source.made is None:
            with torch.random.fork_rng(devices=[]):  # what does not fit shows with any width
                self._make(4)
        self._patterns: Tensor | None = None
        if dim is None and source.made is not None:
            dim = source.made.dim
        self._energy = None if dim is None else self._make(dim)

    def __len__(self) -> int:
        """How many patterns are stored."""
        return 0 if self._patterns is None else len(self._patterns)

    def __repr__(self) -> str:
        return f"AssociativeMemory({self._energy!r}, patterns={len(self)})"

    @property
    def patterns(self) -> Tensor:
        """The stored patterns (N, D).

        Raises:
            ValueError: there are none.
        """
        if self._patterns is None:
            raise RecallError("the memory is empty: store(patterns) comes before anything else")
        return self._patterns

    def store(self, patterns: Tensor) -> Self:
        """Add patterns (N, D) to those that are stored; returns the memory itself.

        Raises:
            ValueError: no matrix of finite floating-point numbers, or not as wide as the others.
        """
        check_tensor("patterns", patterns)
        if patterns.ndim != 2 or not patterns.is_floating_point() or not len(patterns):
            raise RecallError(
                "patterns must be floating point (N, D) with N at least 1, "
                f"got {tuple(patterns.shape)} of {patterns.dtype}"
            )
        if not patterns.isfinite().all():
            raise RecallError("patterns must be finite numbers, got infinity or nan")
        if self._energy is None:
            self._energy = self._make(patterns.shape[1])
        if patterns.shape[1] != self._energy.dim:
            raise RecallError(
                f"patterns must be {self._energy.dim} wide as the memory, got {patterns.shape[1]}"
            )
        new = patterns.detach().clone()
        old = self._patterns
        self._patterns = new if old is None else torch.cat([old, new.to(old)])
        return self

    def clear(self) -> Self:
        """Forget all patterns; returns the memory itself."""
        self._patterns = None
        return self

    @torch.no_grad()
    def energy(self, states: Tensor) -> Tensor:
        """E(states; patterns), one number for every state (..., D), or one for all that interact.

        Raises:
            ValueError: the memory is empty, or the states do not fit.
        """
        energy, X = self._stored()
        samples, shape = self._samples(states)
        blocks = torch.split(samples, self._at_once(samples))
        return torch.cat([energy(block, X) for block in blocks]).reshape(shape)

    @torch.no_grad()
    def recall(
        self,
        states: Tensor,
        *,
        steps: int = 100,
        mode: Mode | None = None,
        step_size: float | None = None,
        tolerance: float = 1e-6,
        order: Order = "random",
        seed: int = 0,
        trace: bool = False,
    ) -> Recall:
        """Go down the energy from the given states, each until it rests.

        `continuous` takes the steps of `relax`; a sample stops when a step moves it by no more than
        `tolerance` times the larger of its length and sqrt(D). `parallel` and `sequential` turn the
        components of binary states where that lowers the energy, all at once or one by one (a step
        is a sweep over all of them), until nothing changes; their states are the signs of what is
        given (0 counts as +1). Sequential updates always come to rest; parallel ones may end in a
        cycle of two states, which `cycling` tells.

        A sample that has stopped does not change again, and no sample depends on another.
        Gradients do not flow through; for those use `relax`.

        Args:
            states: (..., D), where to start; (..., L, D) if states interact.
            steps: most steps or sweeps.
            mode: `continuous`, `parallel` or `sequential`; if None, `sequential` for an energy of
                spins and `continuous` for the others.
            step_size: gamma of continuous steps; the entry's default if None.
            tolerance: when a continuous sample rests, from 0.
            order: of sequential updates: `random`, drawn anew for every sweep, or `fixed`.
            seed: of the random order.
            trace: whether to record energies and residuals.

        Raises:
            ValueError: the memory is empty, a name or number is not allowed, or the patterns are
                not binary in a mode that needs it.
        """
        mode = self._checked_mode(mode, step_size)
        if order not in get_args(Order):
            raise RecallError(f"order must be one of {get_args(Order)}, got {order!r}")
        check_whole("steps", steps, 0)
        seed = check_whole("seed", seed, 0)
        check_from_zero("tolerance", tolerance)
        if step_size is not None:
            check_positive("step_size", step_size)
        energy, X = self._stored()
        samples, shape = self._samples(states)
        if mode == "continuous":
            first, step = continuous(energy, X, step_size, trace)
        else:
            tolerance = 0.0
            first, step = binary(energy, X, mode, order, seed)
        blocks = torch.split(samples, self._at_once(samples))
        parts = [settle(first(b), step, steps, tolerance=tolerance, trace=trace) for b in blocks]
        return joined(parts, states.shape, shape)

    def with_beta(self, beta: float) -> AssociativeMemory:
        """A memory of the same patterns with another beta; this one stays as it is.

        Raises:
            ValueError: the memory is empty, its energy has no beta, or beta is not above 0.
        """
        energy, _ = self._stored()
        other = copy.copy(self)
        other._energy = sharpened(energy, beta)
        return other

    def suggest_beta(
        self,
        noise: Noise | Damage | str,
        *,
        target: float = 0.99,
        within: float = 0.5,
        tries: int = 256,
        steps: int = 100,
        mode: Mode | None = None,
        seed: int = 0,
    ) -> SuggestedBeta:
        """The smallest beta by which the stored patterns are recalled from damaged copies.

            >>> patterns = torch.nn.functional.normalize(torch.randn(100, 64), dim=-1)
            >>> memory = AssociativeMemory("lse").store(patterns)
            >>> suggestion = memory.suggest_beta("masked(0.25)")
            >>> memory = memory.with_beta(suggestion.beta)

        Small, since a sharper memory passes less of a gradient on to its states. Looked for from
        1e-3 to 1e5 over the squared gap between patterns, first in steps of sqrt(10), then by
        halving, to 5 %. For softmax weights (`lse`, `l2_lse`), theory adds the beta from which
        recall is certain; see `attenergy.attention.memory.retrieval_bound`.

        Args:
            noise: what to expect: `gaussian(sigma)`, `masked(fraction)` or `flips(fraction)`, as
                text or from `attenergy.attention.memory`; or a function of patterns (n, D) and a
                `torch.Generator`.
            target: share to recall, up to 1; where no beta reaches it, the most that one does.
            within: a copy is recalled if it ends within this share, up to 1/2, of the way from its
                pattern to the nearest other one.
            tries: damaged copies for every beta.
            steps: as in `recall`.
            mode: as in `recall`.
            seed: of the copies.

        Raises:
            ValueError: the memory is empty, its energy has no beta, an argument does not fit, all
                patterns are the same, or nothing is recalled at any beta.
        """
        energy, X = self._stored()
        seed = check_whole("seed", seed, 0)

        def recall_at(beta: float, states: Tensor) -> Tensor:
            return self.with_beta(beta).recall(states, steps=steps, mode=mode).state

        return suggest(
            energy, X, recall_at, noise_of(noise), target=target, within=within, tries=tries,
            seed=seed, step_size=default_step_size(energy),
        )  # fmt: skip

    @property
    def energy_module(self) -> Energy:
        """The energy itself, whose values `energy` gives.

        Raises:
            ValueError: the memory was made without a width and has stored nothing yet.
        """
        if self._energy is None:
            raise RecallError("the width is not known yet: store(patterns), or make it with dim")
        return self._energy

    def _stored(self) -> tuple[Energy, Tensor]:
        X = self.patterns
        return self.energy_module, X

    def _checked_mode(self, mode: Mode | None, step_size: float | None) -> Mode:
        energy, X = self._stored()
        domain = energy.domain
        if mode is None:
            mode = "sequential" if domain.discrete else "continuous"
        if mode not in get_args(Mode):
            hint = nearest(mode, get_args(Mode))
            raise RecallError(
                f"no mode {mode!r}{f' ({hint})' if hint else ''}; known: {get_args(Mode)}"
            )
        if mode == "continuous":
            if domain.discrete:
                raise RecallError("spins have no continuous steps; modes: parallel, sequential")
            return mode
        if not domain.signs:
            raise RecallError(
                f"states on the {energy.spec.domain} are not binary; mode: continuous"
            )
        if step_size is not None:
            raise RecallError(f"step_size belongs to mode 'continuous', the mode is '{mode}'")
        if not (X.abs() == 1).all():
            raise RecallError(f"mode '{mode}' needs binary patterns, all entries +1 or -1")
        return mode

    def _samples(self, states: Tensor) -> tuple[Tensor, torch.Size]:
        """States as (n, D) or (n, L, D), and the shape that n stands for."""
        energy, X = self._stored()
        check_tensor("states", states)
        axes = 2 if energy.states_interact else 1
        if states.ndim < axes or states.shape[-1] != energy.dim or not states.is_floating_point():
            wanted = "(..., L, D)" if axes == 2 else "(..., D)"
            raise RecallError(
                f"states must be floating point {wanted} with D = {energy.dim}, "
                f"got {tuple(states.shape)} of {states.dtype}"
            )
        shape = states.shape[:-axes]
        return states.to(X).reshape(shape.numel(), *states.shape[-axes:]), shape

    def _at_once(self, samples: Tensor) -> int:
        """How many samples are worked on at once, so that memory is flat in their number."""
        scores = math.prod(samples.shape[1:-1]) * len(self)
        return max(1, 4 * BLOCK // max(scores, 1))


def _made(source: EnergySource, dim: int) -> Energy:
    energy = source.make(dim)
    if not energy.reads_patterns:
        raise RecallError(f"'{energy.spec.title}' reads no stored patterns")
    return energy
