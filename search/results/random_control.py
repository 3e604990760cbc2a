"""The random control of a search: did the sampler do better than chance?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from attenergy.registry import ArgumentError
from attenergy.search.results import formats
from attenergy.search.runs.config import RunRecord


def best_of(records: Iterable[RunRecord], metric: str) -> dict[str, tuple[int, float]]:
    """Trials and best validation score of the control and of the sampler, where both exist.

    Trials whose parameters were given (the defaults of each variant, enqueued ones, those of
    earlier studies) count for neither: whoever proposes, they would have been tried.
    """
    trials = list(records)
    best = {
        kind: (tried, max(scores))
        for kind in ("control", "sampler")
        for tried, scores in [_scores(trials, metric, kind)]
        if scores
    }
    return best if len(best) == 2 else {}


def expected_best(scores: Sequence[float], draws: int) -> float:
    """Mean of the best of `draws` of the n scores, drawn without replacement.

    sum_i x_(i) C(i - 1, k - 1)/C(n, k), x_(1) <= ... <= x_(n), k draws.

    Raises:
        ValueError: there are fewer scores than draws, or no draws.
    """
    n = len(scores)
    if not 1 <= draws <= n:
        raise ArgumentError(f"draws must be from 1 to the number of scores, {n}, got {draws}")
    # From the best down the weights are k/n, and each (i - k)/(i - 1) of the one before.
    terms, weight = list[float](), draws / n
    for i, x in enumerate(sorted(scores, reverse=True)):
        terms.append(weight * x)
        weight *= (n - i - draws) / (n - i - 1) if i + 1 < n else 0.0
    return math.fsum(terms)


def summary(records: Iterable[RunRecord], metric: str) -> str:
    """The same as one sentence; empty if there is nothing to compare.

    The best of many is better than the best of few by number alone. So it says as well what the
    best of as few of the sampler's trials is on average.
    """
    trials = list(records)
    best = best_of(trials, metric)
    if not best:
        return ""
    (few, control), (many, sampler) = best["control"], best["sampler"]
    drawn = len(_scores(trials, metric, "control")[1])
    scores = _scores(trials, metric, "sampler")[1]
    equal = ""
    if drawn < len(scores):
        equal = f" (the best of {drawn} of them: {expected_best(scores, drawn):.3f} on average)"
    taken, earlier = _scores(trials, metric, "earlier")
    first = f", of {taken} from earlier studies {max(earlier):.3f}" if earlier else ""
    return (
        f"best {metric} of {formats.counted(many, 'trial')} of the sampler {sampler:.3f}{equal}, "
        f"of {few} drawn at random {control:.3f}{first}"
    )


def _scores(records: Iterable[RunRecord], metric: str, kind: str) -> tuple[int, list[float]]:
    """How many trials one of the two proposed, and the scores of those that came to their end."""
    own = [r for r in records if r.purpose == "trial" and r.proposer == kind]
    return len(own), [r.metrics["valid"][metric] for r in own if r.status == "complete"]
