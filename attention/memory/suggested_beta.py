"""Which beta recalls a memory's patterns: bounds from their separation, then trials with noise."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.memory.noise import Noise
from attenergy.attention.memory.retrieval_bound import guaranteed, has_bound, outscored
from attenergy.attention.memory.trials import Trials, draw_trials
from attenergy.attention.modules.arguments import check_finite, check_size
from attenergy.energies import Energy
from attenergy.registry import RecallError

#: Powers of ten, in units of 1/gap^2, between which beta is looked for, and steps of the search.
LOWEST, HIGHEST, PER_DECADE = -3.0, 5.0, 2
#: The search ends when the limits of beta differ by this factor.
PRECISION = 1.05

#: From a beta and damaged states (n, D) to what the memory recalls.
RecallAt = Callable[[float, Tensor], Tensor]


@dataclass(frozen=True)
class SuggestedBeta:
    """The smallest beta that recalls a share of the patterns; `float` gives the number.

    Attributes:
        beta: the suggestion.
        recalled: share that it recalls, of damaged copies that the search did not see.
        error: standard error of that share.
        target: the share that was aimed at.
        best: largest share that any beta reached in the search.
        curve: (beta, share recalled) of every trial, by beta.
        guaranteed: beta from which theory guarantees the target for these copies, for softmax
            weights over the patterns; None for other energies and where no beta does.
        gap: median distance of a pattern to the nearest other one.
        noise: the damage, as text.
        tries: how many damaged copies.
        notes: what stands in the way, in sentences.
    """

    beta: float
    recalled: float
    error: float
    target: float
    best: float
    curve: tuple[tuple[float, float], ...]
    guaranteed: float | None
    gap: float
    noise: str
    tries: int
    notes: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.beta

    @property
    def sentence(self) -> str:
        """The finding in words."""
        return (
            f"beta = {self.beta:.3g} recalls {self.recalled:.2f} +- {self.error:.2f} of the "
            f"patterns under {self.noise} (aim {self.target:g}, most at any beta {self.best:.2f})"
        )

    def __str__(self) -> str:
        theory = (
            []
            if self.guaranteed is None
            else [f"theory guarantees as much from beta = {self.guaranteed:.3g}"]
        )
        return "; ".join([self.sentence, *theory, *self.notes])


def sharpened(energy: Energy, beta: float) -> Energy:
    """A copy of an energy with another beta, the same for all heads.

    Raises:
        ValueError: the energy has none, or it is not above 0.
    """
    check_beta(energy)
    sharp = copy.deepcopy(energy)
    beta = check_finite("beta", beta)
    sharp.parameters_.assign("beta", beta)
    if "beta" in sharp.parameters_.fixed:  # a number that is compiled in
        sharp.settings["beta"] = beta
        sharp.setup()
    return sharp


def check_beta(energy: Energy) -> None:
    """Refuse an energy that has no beta.

    Raises:
        ValueError: naming the parameters that it has.
    """
    declared = energy.spec.parameters.get("beta")
    if declared is None or declared.shape:
        names = ", ".join(energy.spec.parameters) or "none"
        raise RecallError(
            f"'{energy.spec.title}' has no beta, a number that sharpens it (its parameters: "
            f"{names}); what it recalls depends on the patterns alone, see "
            "attenergy.analysis.capacity"
        )


def suggest(
    energy: Energy,
    patterns: Tensor,
    recall_at: RecallAt,
    noise: Noise,
    *,
    target: float,
    within: float,
    tries: int,
    seed: int,
    step_size: float,
) -> SuggestedBeta:
    """The search behind `AssociativeMemory.suggest_beta`, which says what is returned and raised.

    Args:
        energy: with any beta.
        patterns: (N, D).
        recall_at: what a memory of the patterns recalls, with a beta, from states.
        noise: the damage.
        target: share to be recalled.
        within: see `Trials`.
        tries: damaged copies for every beta.
        seed: of the copies.
        step_size: gamma of the memory's steps, for the theory.
    """
    for name, share, most in (("target", target, 1.0), ("within", within, 0.5)):
        if not 0 < check_finite(name, share) <= most:
            raise RecallError(f"{name} must be above 0 and at most {most:g}, got {share!r}")
    check_size("tries", tries)
    check_beta(energy)
    trials = draw_trials(energy, patterns, noise, tries=tries, within=within, seed=seed)
    gap = float(trials.gaps.median())
    if not math.isfinite(gap):
        raise RecallError(
            "all stored patterns are the same and cannot be told apart: no beta matters"
        )
    search = _Search(recall_at, trials)
    beta, goal = search.smallest(gap, target)
    best = max(search.shares.values())
    notes = _notes(energy, patterns, trials, best >= target)
    if not best:
        raise RecallError("; ".join([f"no beta recalls anything under {noise}", *notes]))
    own = float(torch.as_tensor(energy.values()["beta"]).detach())
    if search(min(search.shares)) >= goal:  # as where copies stay where the noise put them
        beta = own if search(own) >= goal else beta
        which = "it stays as it is" if beta == own else "this is the lowest"
        notes.insert(0, f"beta makes no difference down to the lowest tried: {which}")
    theory = _guarantee(energy, patterns, trials, goal, gap, step_size)
    fresh = draw_trials(energy, patterns, noise, tries=tries, within=within, seed=seed + 1)
    share = _share(fresh, recall_at(beta, fresh.states))
    return SuggestedBeta(
        beta, share, math.sqrt(share * (1 - share) / tries), target, best,
        tuple(sorted(search.shares.items())), theory, gap, str(noise), tries, tuple(notes),
    )  # fmt: skip


def _share(trials: Trials, ends: Tensor) -> float:
    return float(trials.recalled(ends).double().mean())


class _Search:
    """Share recalled as a function of beta, each computed once."""

    def __init__(self, recall_at: RecallAt, trials: Trials) -> None:
        self.shares: dict[float, float] = {}
        self._recall_at, self._trials = recall_at, trials

    def __call__(self, beta: float) -> float:
        if beta not in self.shares:
            ends = self._recall_at(beta, self._trials.states)
            self.shares[beta] = _share(self._trials, ends)
        return self.shares[beta]

    def smallest(self, gap: float, target: float) -> tuple[float, float]:
        """The smallest beta that reaches the goal, and the goal.

        That is the target or, where no beta reaches it, the most less its standard error.
        """
        steps = range(round(PER_DECADE * (HIGHEST - LOWEST)) + 1)
        grid = [10 ** (LOWEST + k / PER_DECADE) / gap**2 for k in steps]
        best = max(map(self, grid))
        error = math.sqrt(best * (1 - best) / len(self._trials))
        goal = target if best >= target else best - error
        first = next(i for i, beta in enumerate(grid) if self(beta) >= goal)
        high = grid[first]
        low = grid[max(first - 1, 0)]
        return _bisected(lambda beta: self(beta) >= goal, low, high), goal


def _bisected(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest beta between a low one, not enough, and a high one that is, to `PRECISION`."""
    while high > PRECISION * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _guarantee(
    energy: Energy, patterns: Tensor, trials: Trials, goal: float, gap: float, step_size: float
) -> float | None:
    if not has_bound(energy, step_size):
        return None

    def enough(beta: float) -> bool:
        certain = guaranteed(sharpened(energy, beta), patterns, trials)
        return float(certain.double().mean()) >= goal

    low, high = (10**power / gap**2 for power in (LOWEST, HIGHEST))
    return _bisected(enough, low, high) if enough(high) else None


def _notes(energy: Energy, patterns: Tensor, trials: Trials, reached: bool) -> list[str]:
    """What stands in the way of recall, whatever beta is."""
    notes = []
    twins = float(trials.twins.double().mean())
    if twins:
        notes.append(
            f"{twins:.0%} of the patterns tried are stored more than once; such copies cannot be "
            "told apart and count as one pattern"
        )
    if reached or not energy.is_attention:
        return notes
    clean = float(outscored(energy, patterns, trials, trials.targets).double().mean())
    noisy = float(outscored(energy, patterns, trials, trials.states).double().mean())
    if clean:
        notes.append(
            f"{clean:.0%} of the patterns score lower with themselves than with another pattern, "
            "so no beta recalls them: subtract the mean of the patterns and give them one length, "
            "or use the energy 'l2_lse'"
        )
    if noisy > clean:
        notes.append(
            f"{noisy:.0%} of the damaged patterns score highest with another pattern: the noise is "
            "too strong for them, whatever beta is"
        )
    return notes
