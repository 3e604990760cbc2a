"""Who takes part in the finals: softmax, and the best of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attenergy.search.discovery.population.individual import (
    Arm,
    Individual,
    by_merit,
    standings,
)

Role = Literal["softmax", "registry", "evolved", "random"]
#: What the others are held against.
BASELINE = "softmax"


@dataclass(frozen=True)
class Finalist:
    """Who takes part, under the name of an entry, and as what; `individual` is None for softmax."""

    name: str
    role: Role
    individual: Individual | None = None


def choose_finalists(
    population: Sequence[Individual], rungs: Sequence[str], count: int
) -> tuple[Finalist, ...]:
    """Softmax, the registry's best, the best that evolution made, the best random one.

    Those of evolution have reached the highest rung that any of them stands on (`standings`) and
    differ in their behaviour: the best of each niche before the second of any. Those that stand
    there come before others that were only tried there.

    Args:
        population: all individuals.
        rungs: names, the cheapest first.
        count: finalists of evolution; none at all, not even softmax, if 0.
    """
    if not count:
        return ()
    ranked = [each for each in by_merit(population, rungs) if each.rung]

    def of(arm: Arm) -> list[Individual]:
        return [each for each in ranked if each.arm == arm]

    chosen = [*of("registry")[:1], *_evolved(of("evolved"), rungs, count), *of("random")[:1]]
    return (
        Finalist(BASELINE, "softmax"),
        *(Finalist(each.name, each.arm, each) for each in chosen),
    )


def _evolved(ranked: Sequence[Individual], rungs: Sequence[str], count: int) -> list[Individual]:
    stands = standings(ranked, rungs)
    top = max((place for place, _ in stands.values()), default=-1)
    there = [each for each in ranked if stands[each.number][0] == top]
    chosen = _different(there, count)
    others = [each for each in ranked if each not in there and each.rung == rungs[top]]
    others.sort(key=lambda each: (-each.scores[each.rung], each.number))
    return [*chosen, *others[: count - len(chosen)]]


def _different(ranked: Sequence[Individual], count: int) -> list[Individual]:
    """The best of the best niches, then others; the best first."""
    best_of_niche: dict[tuple[int, ...], int] = {}
    for each in ranked:
        best_of_niche.setdefault(each.fingerprint.niche, each.number)
    others = (each.number for each in ranked)
    numbers = list(dict.fromkeys([*best_of_niche.values(), *others]))[:count]
    return [each for each in ranked if each.number in numbers]
