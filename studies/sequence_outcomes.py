"""Outcomes of claims on recall and the MAD tasks, from records of the study."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import compared
import numpy as np
from outcomes import Outcome, Records, Verdict

from attenergy.search.runs.config import RunRecord

#: Accuracy of the transformer in the table of Yang et al. 2024 (arXiv:2406.06484).
MAD = {
    "copying": 0.996,
    "recall": 0.941,
    "noisy-recall": 0.868,
    "memorisation": 0.852,
    "compression": 0.516,
    "fuzzy-recall": 0.298,
}
#: From which accuracy on a task is at its ceiling.
_SOLVED = 0.995
#: Between the best and the worst seed; from which on it is training that decides.
_APART = 0.4


def recall_by_state(records: Records) -> Outcome | None:
    """Accuracy at the longest lists against the width of the head, each at its best rate.

    The rate is that of the best mean on `valid`. Where some seeds solve the task and others do not,
    the order of means says how training went, and the verdict is open.
    """
    runs: dict[int, dict[float, list[RunRecord]]] = {width: {} for width in compared.STATES}
    for record in records.get("recall-state", ()):
        width, rate = record.config.model.head_dim, record.config.training.muon_learning_rate
        if record.status == "complete" and record.config.variant == "linear" and width:
            runs[width].setdefault(rate, []).append(record)
    if not all(by_rate.keys() >= set(compared.RATES) for by_rate in runs.values()):
        return None
    best = [
        max(by_rate.values(), key=lambda r: fmean(_of(r, "valid"))) for by_rate in runs.values()
    ]
    scores = [_of(chosen, "128x32") for chosen in best]
    order = spearman(compared.STATES, [fmean(values) for values in scores])
    apart = [w for w, v in zip(compared.STATES, scores, strict=True) if max(v) - min(v) > _APART]
    verdict: Verdict = "reproduced" if order > 0.9 else "undecided" if apart else "not reproduced"
    failed = f"; seeds lie far apart at {', '.join(f'{w}²' for w in apart)}" if apart else ""
    return Outcome(
        ", ".join(
            f"{w}²: {fmean(v):.2f} ({max(v):.2f})"
            for w, v in zip(compared.STATES, scores, strict=True)
        ),
        f"{min(map(len, best))} seeds each",
        verdict,
        f"32 pairs, trained up to 16; mean (best seed) at the best of {len(compared.RATES)} rates "
        f"on valid; rank correlation of means {order:.2f}{failed}",
    )


def _of(records: Sequence[RunRecord], split: str) -> list[float]:
    return [record.metrics[split]["accuracy"] for record in records]


def mad_order(records: Records) -> Outcome | None:
    """The order of the six tasks by the accuracy of softmax attention.

    Tasks at their ceiling have one rank; with most of them there no order is to be seen.
    """
    scores = {
        name: [
            record.metrics["test"]["macro_accuracy"]
            for record in records.get(f"mad-{name}", ())
            if record.status == "complete" and record.config.variant == "softmax"
        ]
        for name in MAD
    }
    if not all(scores.values()):
        return None
    means = [fmean(values) for values in scores.values()]
    solved = sum(mean >= _SOLVED for mean in means)
    order = spearman(list(MAD.values()), [min(mean, _SOLVED) for mean in means])
    verdict: Verdict = "reproduced" if order > 0.8 else "not reproduced"
    if solved > len(MAD) / 2:
        verdict = "undecided"
    return Outcome(
        ", ".join(f"{name} {mean:.2f}" for name, mean in zip(MAD, means, strict=True)),
        f"{min(map(len, scores.values()))} seeds each",
        verdict,
        f"small sizes, {solved} of {len(MAD)} tasks at their ceiling; rank correlation with the "
        f"published order {order:.2f}",
    )


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The rank correlation; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) - 1) / 2 for v in values]
