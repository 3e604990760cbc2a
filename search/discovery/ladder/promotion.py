"""Who goes on to the next rung: asynchronous successive halving, and a few whatever their score."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable

from attenergy.search.discovery.ladder.rungs import Ladder, Rung
from attenergy.search.discovery.population.individual import Individual

#: Share of the individuals of a rung that go on by their score.
TOP = 1 / 3
#: Share that goes on whatever the score, drawn beforehand: with them a rung's prediction is
#: measured without the bias of having chosen by it.
AT_RANDOM = 0.1
#: Scores that are equal to so many digits are a tie: what is left is the luck of one seed, or the
#: ceiling of the task, which many reach.
_DIGITS = 2


def next_rung(
    ladder: Ladder,
    individual: Individual,
    population: Iterable[Individual],
    *,
    seed: int = 0,
    unused: Collection[str] = (),
) -> Rung | None:
    """The rung that an individual takes next; None if it goes no further.

    It goes on if fewer than a third of those that have a score on its last rung are better, itself
    counted: nobody waits for others, so the first ones of a rung have few rivals. Of scores that
    are equal to two digits lots decide, drawn from `seed`, the numbers and the rung: where many
    reach the ceiling of a task, later ones go on as often as earlier ones. Entries of the registry
    go on whatever their score, and so does one in ten of the others, drawn from `seed`, its number
    and the rung. Without a score (minus infinity) nobody goes on.

    Args:
        ladder: the rungs.
        individual: with its scores so far.
        population: those that it is compared with, itself included or not.
        seed: of those that go on at random.
        unused: names of rungs that do not predict (`unused_rungs`): they are left out, and who has
            come no further than to one goes on. The last rung is never left out.

    Example:
        >>> from attenergy.search.discovery.filters.fingerprint import fingerprint_of
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> ladder = Ladder.of(["raven-small"], attenergy.load_registry(plugins=False))
        >>> energy = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
        >>> one = Individual(3, "evolved", energy, fingerprint_of(energy))
        >>> next_rung(ladder, one, []).name
        'denoising'
    """
    last = ladder.rungs[-1]
    places = [n for n, rung in enumerate(ladder.rungs) if rung.name in individual.scores]
    above = ladder.rungs[max(places, default=-1) + 1 :]
    ahead = [rung for rung in above if rung.name not in unused or rung == last]
    if not ahead:
        return None
    if not places:
        return ahead[0]
    rung = ladder.rungs[max(places)].name
    if not math.isfinite(individual.scores[rung]):
        return None
    free = individual.arm == "registry" or rung in unused
    free = free or goes_on_at_random(individual.number, rung, seed)
    return ahead[0] if free or _is_top(individual, rung, population, seed) else None


def goes_on_at_random(number: int, rung: str, seed: int = 0) -> bool:
    """Whether the individual of a number goes on from a rung whatever its score there."""
    return _lot(f"{seed} {number} {rung}") < AT_RANDOM


def bar_of(rung: str, population: Iterable[Individual]) -> float | None:
    """The score on a rung that a third of the population reaches; None without any.

    Example:
        >>> bar_of("denoising", []) is None
        True
    """
    scores = sorted((p.scores[rung] for p in population if rung in p.scores), reverse=True)
    return scores[math.ceil(TOP * len(scores)) - 1] if scores else None


def _is_top(individual: Individual, rung: str, population: Iterable[Individual], seed: int) -> bool:
    def rank(number: int, score: float) -> tuple[float, float]:
        return -round(score, _DIGITS), _lot(f"{seed} {number} {rung} tie")

    scores = {p.number: p.scores[rung] for p in population if rung in p.scores}
    scores[individual.number] = individual.scores[rung]
    own = rank(individual.number, individual.scores[rung])
    better = sum(rank(number, score) < own for number, score in scores.items())
    return better < TOP * len(scores)


def _lot(text: str) -> float:
    """A number from 0 to 1 that the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
