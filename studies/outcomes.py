"""How an outcome of a claim is read: from records of the study, or from results of a script."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
import raven
import trained_models
from numpy.polynomial import Polynomial

from attenergy.search.results.statistics import mean_interval, paired_difference
from attenergy.search.runs.config import RunRecord

CURVES = raven.HERE.parent / "benchmarks" / "results"
Verdict = Literal["reproduced", "not reproduced", "undecided"]
Records = Mapping[str, Sequence[RunRecord]]
_NORMAL = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Outcome:
    """What was seen: the figure, its 95 % interval or how many were tried, and what follows."""

    ours: str
    interval: str
    verdict: Verdict
    note: str = ""


def _curve(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CURVES / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _crossing(x: Sequence[float], y: Sequence[float], level: float) -> float:
    """Where a falling curve first crosses a level, by linear interpolation."""
    for (a, high), (b, low) in zip(
        zip(x, y, strict=True), zip(x[1:], y[1:], strict=True), strict=False
    ):
        if high >= level > low:
            return a + (b - a) * (high - level) / (high - low)
    return math.nan


def hopfield_knee(_: Records) -> Outcome:
    """The load at which the overlap falls below .967, its value at the transition."""
    rows = _curve("capacity")["classical"]
    loads = [row["alpha"] for row in rows]
    ends = [
        _crossing(loads, [row["overlap"] + z * row["error"] for row in rows], 0.967)
        for z in (-_NORMAL, 0.0, _NORMAL)
    ]
    low, middle, high = ends
    verdict: Verdict = "reproduced" if low <= 0.138 <= high else "not reproduced"
    note = "500 spins; the fewer, the softer the fall"
    return Outcome(f"{middle:.3f}", f"{low:.3f} to {high:.3f}", verdict, note)


def polynomial_capacity(_: Records) -> Outcome:
    """The number of patterns, in units of K_th, of which half are stable, for each degree."""
    by_degree: dict[int, list[dict[str, float]]] = {}
    for row in _curve("capacity")["dense"]:
        by_degree.setdefault(int(row["degree"]), []).append(row)
    halves = {
        degree: _crossing([r["ratio"] for r in rows], [r["stable"] for r in rows], 0.5)
        for degree, rows in by_degree.items()
    }
    most = {d: max(r["patterns"] for r in rows if r["ratio"] == 1) for d, rows in by_degree.items()}
    shown = ", ".join(f"degree {d}: {half:.2f}" for d, half in halves.items())
    spread = max(halves.values()) / min(halves.values())
    growth = ", ".join(f"{number:g}" for number in most.values())
    return Outcome(
        shown,
        "",
        "reproduced" if spread < 2 else "not reproduced",
        f"half of the patterns are lost at nearly one multiple of K_th, while K_th is {growth}",
    )


def exponential_capacity(_: Records) -> Outcome:
    """Of the patterns tried among 200,000, how many are stable; the bound is exact."""
    row = _curve("capacity")["exponential"]
    low = 0.025 ** (1 / row["tested"]) if row["stable"] == 1 else 0.0  # Clopper-Pearson
    verdict: Verdict = "reproduced" if row["stable"] == 1 else "not reproduced"
    ours = f"{row['stable']:.3f} of {row['tested']} tried among {row['patterns']:,}"
    return Outcome(ours, f"{low:.3f} to 1", verdict, "64 spins")


def sparse_retrieval(_: Records) -> Outcome:
    """How often five steps end exactly at the stored pattern, at beta 1 and noise .5."""
    data = _curve("retrieval")
    place = data["betas"].index(1.0)
    exact = {
        c["weights"]: c["exact_after_five"][place] for c in data["curves"] if c["noise"] == 0.5
    }
    half = _NORMAL * math.sqrt(0.25 / data["queries"])
    ahead = min(exact["sparsemax"], exact["entmax 1.5"]) - exact["softmax"] > 2 * half
    return Outcome(
        ", ".join(f"{name} {share:.3f}" for name, share in exact.items()),
        f"at most ± {half:.3f}",
        "reproduced" if ahead else "not reproduced",
        f"{data['queries']} queries, {data['patterns']} patterns, float32",
    )


def new_memories(_: Records) -> Outcome:
    """New minima beside the stored ones where (nearly) all stored patterns are minima."""
    best = {
        curve["dim"]: max(
            (new for new, share in zip(curve["new"], curve["kept"], strict=True) if share >= 0.98),
            default=0.0,
        )
        for curve in _curve("lsr")["curves"]
    }
    return Outcome(
        ", ".join(f"D = {dim}: {new:.2f}" for dim, new in best.items()),
        "means over 50 draws",
        "reproduced" if any(new > 0.5 for new in best.values()) else "not reproduced",
        "new minima per draw at a beta that leaves 98 % of the stored patterns minima",
    )


def tap(_: Records) -> Outcome:
    """The error of magnetisations, naive mean field against TAP, at every temperature."""
    data = _curve("tap")
    ratios = [
        t / n for t, n in zip(data["error"]["tap"], data["error"]["ising_mean_field"], strict=True)
    ]
    verdict: Verdict = "reproduced" if max(ratios) < 1 else "not reproduced"
    shown = ", ".join(
        f"{ratio:.2f} at beta {beta:g}" for ratio, beta in zip(ratios, data["beta"], strict=True)
    )
    note = f"{data['spins']} spins, exact sums"
    return Outcome(f"error times {shown}", f"means over {data['draws']} draws", verdict, note)


def random_features(_: Records) -> Outcome:
    """The exponent of the error in the number of features, by least squares in logarithms."""
    rows = _curve("random_features")["rows"]
    x = np.log([row["features"] for row in rows])
    y = np.log([row["error"] for row in rows])
    slope = float(Polynomial.fit(x, y, 1).convert().coef[1])
    spread = np.asarray([row["standard_error"] / row["error"] for row in rows])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    half = _NORMAL * float(np.sqrt((weights**2 * spread**2).sum()))
    verdict: Verdict = "reproduced" if abs(slope + 0.5) <= half else "not reproduced"
    return Outcome(f"{slope:.2f}", f"{slope - half:.2f} to {slope + half:.2f}", verdict)


def _scores(records: Sequence[RunRecord], split: str, metric: str) -> dict[str, dict[int, float]]:
    """Variant -> seed -> score of complete runs."""
    result: dict[str, dict[int, float]] = {}
    for record in records:
        if record.status == "complete" and record.config.pause is None:
            runs = result.setdefault(record.config.variant, {})
            runs[record.config.seed] = record.metrics[split][metric]
    return result


def _above_zero(low: float, high: float) -> Verdict:
    """Reproduced if the whole interval is above 0, not if all of it is below."""
    if low > 0:
        return "reproduced"
    return "not reproduced" if high < 0 else "undecided"


def difference(
    part: str, one: str, other: str, *, split: str, metric: str = "accuracy", note: str = ""
) -> Callable[[Records], Outcome | None]:
    """A claim that `one` is ahead of `other`: reproduced if the whole interval is above 0."""

    def read(records: Records) -> Outcome | None:
        scores = _scores(records.get(part, ()), split, metric)
        if one not in scores or other not in scores:
            return None
        apart = paired_difference(scores[other], scores[one])
        if apart is None:
            return None
        shown = f"{apart.mean:+.3f}"
        if apart.low is None or apart.high is None:
            return Outcome(shown, "one seed", "undecided", note)
        verdict = _above_zero(apart.low, apart.high)
        seeds = len(scores[one].keys() & scores[other].keys())
        interval = f"{apart.low:+.3f} to {apart.high:+.3f} ({seeds} seeds)"
        return Outcome(shown, interval, verdict, note)

    return read


def equal(
    part: str, one: str, other: str, *, split: str, margin: float
) -> Callable[[Records], Outcome | None]:
    """A claim that two are equal: reproduced if the whole interval lies within the margin."""
    ahead = difference(part, one, other, split=split)

    def read(records: Records) -> Outcome | None:
        outcome = ahead(records)
        if outcome is None or outcome.interval == "one seed":
            return outcome
        scores = _scores(records[part], split, "accuracy")
        apart = paired_difference(scores[other], scores[one])
        assert apart is not None
        assert apart.low is not None
        assert apart.high is not None
        inside = -margin < apart.low and apart.high < margin
        outside = apart.low > margin or apart.high < -margin
        verdict: Verdict = "not reproduced" if outside else "undecided"
        note = f"equal: within {margin:g}"
        return Outcome(outcome.ours, outcome.interval, "reproduced" if inside else verdict, note)

    return read


def _over_seeds(values: Sequence[float], note: str) -> Outcome | None:
    """A figure that is to be above 0, by its interval over seeds."""
    if not values:
        return None
    interval = mean_interval(values)
    shown = f"{interval.mean:+.3f}"
    if interval.low is None or interval.high is None:
        return Outcome(shown, "one seed", "undecided", note)
    verdict = _above_zero(interval.low, interval.high)
    span = f"{interval.low:+.3f} to {interval.high:+.3f} ({len(values)} seeds)"
    return Outcome(shown, span, verdict, note)


def rule_in_codes(variant: str) -> Callable[[Records], Outcome | None]:
    """How far the last block's decoder of the rule is above the best of its controls."""

    def read(_: Records) -> Outcome | None:
        last = [
            [layer for layer in line["rule"] if layer["layer"].startswith("blocks.")][-1]
            for line in trained_models.lines()
            if line["variant"] == variant
        ]
        controls = ("permuted", "scrambled", "majority")
        ahead = [layer["held_out"] - max(layer[name] for name in controls) for layer in last]
        shown = ", ".join(f"{layer['held_out']:.3f}" for layer in last)
        return _over_seeds(
            ahead, f"balanced accuracy {shown} on held-out rules, minus the best of three controls"
        )

    return read


def attention_can_go(_: Records) -> Outcome | None:
    """Accuracy without attention layers minus accuracy without as many MLPs, over all counts."""
    without = [line["without"] for line in trained_models.lines() if line["variant"] == "softmax"]
    ahead = [
        fmean(one - two for one, two in zip(each["attention"], each["mlp"], strict=True))
        for each in without
    ]
    first = "; ".join(
        f"{each['whole']:.2f}, {each['attention'][0]:.2f}, {each['mlp'][0]:.2f}" for each in without
    )
    note = "softmax, four blocks; accuracy whole, without one attention layer, without one MLP"
    return _over_seeds(ahead, f"{note}: {first}")
