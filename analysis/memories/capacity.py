"""How many patterns a memory holds: the share recalled against the number stored."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from attenergy.analysis.memories.capacity_result import Capacity, Count
from attenergy.analysis.result import Progress
from attenergy.attention import AssociativeMemory
from attenergy.attention.memory.moves import Mode
from attenergy.attention.memory.noise import Damage, Noise, noise_of
from attenergy.attention.memory.retrieval_bound import guaranteed, has_bound
from attenergy.attention.memory.trials import draw_trials
from attenergy.attention.modules.arguments import check_finite, check_size, check_whole, is_whole
from attenergy.attention.solvers.step_sizes import default_step_size
from attenergy.energies import Energy, EnergyLike
from attenergy.registry import AnalysisError, load_registry

#: How many numbers of patterns are tried if none are named.
POINTS = 8


@dataclass(frozen=True)
class KnownCapacity:
    """A capacity that theory knows, for random patterns of +-1.

    Attributes:
        count: as a function of the width D and the energy's parameters.
        about: what it says.
        source: who says it.
    """

    count: Callable[[int, dict[str, float]], float]
    about: str
    source: str


def _polynomial(dim: int, values: dict[str, float]) -> float:
    power = round(values["power"])
    odd = math.prod(range(2 * power - 3, 0, -2))
    return float(dim ** (power - 1) / (2 * odd * math.log(dim)))


_NO_ERRORS = KnownCapacity(
    _polynomial, "D^(n-1) / (2 (2n-3)!! ln D), without errors", "Krotov and Hopfield 2016"
)
#: Entry of the registry -> what is known.
KNOWN: dict[str, KnownCapacity] = {
    "classical_hopfield": KnownCapacity(
        lambda dim, _: 0.138 * dim,
        "0.138 D, with a few errors",
        "Amit, Gutfreund and Sompolinsky 1985",
    ),
    "polynomial": _NO_ERRORS,
    "pure_polynomial": _NO_ERRORS,
    "exponential": KnownCapacity(
        lambda dim, _: 2.0 ** (dim / 2), "2^(D/2)", "Demircigil et al. 2017"
    ),
}


def capacity(
    memory: AssociativeMemory | EnergyLike,
    patterns: Tensor,
    noise: Noise | Damage | str,
    *,
    counts: Sequence[int] | None = None,
    seeds: int | Sequence[int] = 5,
    within: float = 0.5,
    tries: int = 128,
    steps: int = 100,
    mode: Mode | None = None,
    progress: Progress | None = None,
) -> Capacity:
    """Share of damaged patterns that a memory recalls, for several numbers of patterns stored.

    For every number n and every seed, n of the patterns are drawn without replacement and stored,
    `tries` damaged copies of them are recalled, and those are counted that end within a share of
    the way to the nearest other pattern.

        >>> signs = torch.sign(torch.randn(40, 64))
        >>> result = capacity("classical_hopfield", signs, "flips(0.05)", counts=[2, 20], seeds=2)
        >>> [count.stored for count in result.counts]
        [2, 20]
        >>> [path.name for path in result.save("capacity")][:2]
        ['capacity.json', 'capacity.md']

    Args:
        memory: a memory, whose energy is taken (what it stores does not count), or whatever names
            an energy.
        patterns: yours, (N, D).
        noise: what to expect; see `AssociativeMemory.suggest_beta`.
        counts: numbers of patterns from 2 to N; 8 of them, evenly on a logarithmic scale, if None.
        seeds: how many draws of patterns for each number, or the seeds of the draws.
        within: how near is recalled, up to 1/2.
        tries: damaged copies for each draw.
        steps: as in `AssociativeMemory.recall`.
        mode: as there.
        progress: is called with what is done.

    Raises:
        TypeError: `memory` is neither.
        ValueError: an argument does not fit, or all patterns are the same.
    """
    draws = _seeds(seeds)
    check_size("tries", tries)
    if not 0 < check_finite("within", within) <= 0.5:
        raise AnalysisError(f"within must be above 0 and at most 0.5, got {within!r}")
    if not isinstance(memory, AssociativeMemory):
        memory = AssociativeMemory(memory)
    damage = noise_of(noise)
    whole = copy.copy(memory).clear().store(patterns)
    energy, stored = whole.energy_module, whole.patterns
    numbers = _counts(counts, len(stored))
    if bool((stored == stored[0]).all()):
        raise AnalysisError("all patterns are the same and cannot be told apart")
    measured = []
    for done, number in enumerate(numbers):
        if progress is not None:
            progress("capacity", done, len(numbers))
        shares, certain = [], []
        for seed in draws:
            chosen = _subset(stored, number, seed)
            part = copy.copy(memory).clear().store(chosen)
            trials = draw_trials(energy, chosen, damage, tries=tries, within=within, seed=seed)
            ends = part.recall(trials.states, steps=steps, mode=mode).state
            shares.append(float(trials.recalled(ends).double().mean()))
            if mode in (None, "continuous") and has_bound(energy, default_step_size(energy)):
                certain.append(float(guaranteed(energy, chosen, trials).double().mean()))
        measured.append(Count(number, tuple(shares), fmean(certain) if certain else None))
    if progress is not None:
        progress("capacity", len(numbers), len(numbers))
    return Capacity(
        energy.spec.title, stored.shape[1], str(damage), tuple(measured), _known(energy, stored)
    )


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, (list, tuple, range)) and seeds:
        return [check_whole("seeds", seed, 0) for seed in seeds]
    if not is_whole(seeds):
        raise AnalysisError(f"seeds must be a number of draws or a list of seeds, got {seeds!r}")
    return list(range(check_size("seeds", seeds)))


def _counts(counts: Sequence[int] | None, most: int) -> list[int]:
    if most < 2:
        raise AnalysisError(f"patterns must be at least 2, got {most}")
    if counts is None:
        return sorted({round(2 * (most / 2) ** (k / (POINTS - 1))) for k in range(POINTS)})
    if not isinstance(counts, (list, tuple, range)) or not counts:
        raise AnalysisError(f"counts must list numbers of patterns, got {counts!r}")
    for count in counts:
        if check_whole("counts", count, 2) > most:
            raise AnalysisError(f"counts must not exceed the {most} patterns given, got {count}")
    return sorted(set(counts))


def _subset(patterns: Tensor, number: int, seed: int) -> Tensor:
    """A draw; with the same seed, that of a larger number contains that of a smaller one."""
    order = torch.randperm(len(patterns), generator=torch.Generator().manual_seed(seed))
    return patterns[order[:number].to(patterns.device)]


def _known(energy: Energy, patterns: Tensor) -> tuple[float, str] | None:
    """What theory knows of a built-in entry, for patterns of +-1."""
    entries = load_registry(plugins=False).energies
    for name, known in KNOWN.items():
        same = energy.spec.formula is not None and energy.spec.formula == entries[name].formula
        if (
            same
            and energy.spec.domain == entries[name].domain
            and bool((patterns.abs() == 1).all())
        ):
            values = {n: v for n, v in energy.values().items() if isinstance(v, float)}
            return known.count(patterns.shape[1], values), f"{known.about}, {known.source}"
    return None
