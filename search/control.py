"""The random control of a search: did the sampler do better than chance?"""

from __future__ import annotations

from collections.abc import Iterable

from attenergy.search.config import RunRecord


def best_of(records: Iterable[RunRecord], metric: str) -> dict[str, tuple[int, float]]:
    """Trials and best validation score of the control and of the sampler, where both exist.

    Trials whose parameters were given (the defaults of each variant, enqueued ones) count for
    neither: whoever proposes, they would have been tried.
    """
    found: dict[str, tuple[int, float]] = {}
    trials = [record for record in records if record.purpose == "trial"]
    for kind in ("control", "sampler"):
        own = [record for record in trials if record.proposer == kind]
        scores = [r.metrics["valid"][metric] for r in own if r.status == "complete"]
        if scores:
            found[kind] = len(own), max(scores)
    return found if len(found) == 2 else {}


def summary(records: Iterable[RunRecord], metric: str) -> str:
    """The same as one sentence; empty if there is nothing to compare."""
    found = best_of(records, metric)
    if not found:
        return ""
    (few, control), (many, sampler) = found["control"], found["sampler"]
    return (
        f"best {metric} of the sampler's {many} trials {sampler:.3f}, "
        f"of {few} random ones {control:.3f}"
    )
