"""What a score depends on: importance of a search's quantities, shares of a comparison's spread.

Computed from the records alone, so a study whose database is gone or elsewhere has them too.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from attenergy.analysis.drawing import Picture, colour, drawing
from attenergy.search.report.html.study_view import View, thinned
from attenergy.search.results.ranking import Row, varying_in
from attenergy.search.runs.config import RunRecord

#: Trials below which an importance is noise.
FEWEST = 12
# What counts as the best. The tenth that Optuna takes is two of 20 trials: a variant that decided
# the score alone came first in 23 % of such studies; with the better half it did in 82 %.
_BEST, _BEST_TRIALS = 0.25, 10
_MOST_TRIALS = 1000  # more say no more, and take long
_PERMUTATIONS = 40


def draw(view: View) -> list[Picture]:
    """Bars for the quantities of the search, and for the two variants that were tried most.

    Beside each bar stands what luck alone gives: the importance that one in twenty permutations of
    the scores exceeds. A picture in which no quantity is above it is left out.
    """
    pictures = []
    trials = thinned(view.trials, most=_MOST_TRIALS)
    tried = Counter(record.config.variant for record in trials)
    groups = [("importance", "Importance of the quantities", trials, False)]
    for number, (variant, _) in enumerate(tried.most_common(2)):
        own = [record for record in trials if record.config.variant == variant]
        groups.append((f"importance-{number}", f"Importance within {variant}", own, True))
    for name, title, records, own_settings in groups:
        values = importances(records, view.metric, own=own_settings)
        if not values:
            continue
        luck = by_permutation(records, view.metric, own=own_settings)
        if any(value > luck[quantity] for quantity, value in values.items()):
            about = (
                f"How much each quantity decides whether one of {len(records)} trials is among "
                f"the best {_best_of(len(records)):.0%} (PED-ANOVA, Watanabe et al. 2023). The "
                "mark is what luck alone exceeds in one of twenty cases; pale bars are below it."
            )
            pictures.append(_bars(name, title, about, values, luck))
    shares = spread(view.finals)
    if shares and not view.trials:
        about = (
            "Shares of the variance of the validation score over all variants and seeds (two-way "
            "analysis of variance): what the choice of variant explains, and what luck does. The "
            "mark is what luck alone gives the variants on average."
        )
        luck = {"variant": by_luck(view.finals)}
        pictures.append(_bars("spread", "Where the spread comes from", about, shares, luck))
    return pictures


def importances(
    records: Sequence[RunRecord], metric: str, *, own: bool = False
) -> dict[str, float]:
    """Quantity -> importance, largest first; empty for too few trials or a single quantity.

    Args:
        records: trials with a score.
        metric: the metric whose validation value is explained.
        own: take the layer's own settings in; only for trials of one variant.
    """
    rows, scores = _table(records, metric, own=own)
    return _ped_anova(rows, [scores])[0] if rows else {}


def by_permutation(
    records: Sequence[RunRecord], metric: str, *, own: bool = False, seed: int = 0
) -> dict[str, float]:
    """Quantity -> the importance that one in twenty permutations of the scores exceeds.

    Args:
        records: as of `importances`.
        metric: as of `importances`.
        own: as of `importances`.
        seed: of the permutations.
    """
    rows, scores = _table(records, metric, own=own)
    if not rows:
        return {}
    random = np.random.default_rng(seed)
    draws = _ped_anova(rows, [random.permutation(scores).tolist() for _ in range(_PERMUTATIONS)])
    return {n: sorted(draw[n] for draw in draws)[-_PERMUTATIONS // 20 - 1] for n in draws[0]}


def missing(view: View) -> str:
    """Why there are no bars."""
    if len(view.trials) < FEWEST:
        return f"Importances need {FEWEST} trials with a score and two quantities that vary."
    return "No quantity decides which trials are best more than luck alone would."


def _table(
    records: Sequence[RunRecord], metric: str, *, own: bool
) -> tuple[list[dict[str, Any]], list[float]]:
    """What varies, and the scores; empty for too few trials or a single quantity."""
    if len(records) < FEWEST:
        return [], []
    varying = varying_in(records)
    rows = [_quantities(record, varying, own=own) for record in records]
    names = [n for n in rows[0] if all(n in row for row in rows)]
    names = [n for n in names if len({repr(row[n]) for row in rows}) > 1]
    scores = [record.metrics["valid"][metric] for record in records]
    if len(names) < 2 or len(set(scores)) < 2:
        return [], []
    return [{n: row[n] for n in names} for row in rows], scores


def spread(rows: Sequence[Row]) -> dict[str, float]:
    """Shares of the variance of score_(v, s) due to variant v, seed s, and the two together.

    sum (m_v - m)^2, sum (m_s - m)^2 and the rest, over sum (score - m)^2, with the means m over
    the seeds that all rows have. Empty for fewer than two rows or seeds, or equal scores.
    """
    scored = [row.values["valid"] for row in rows if "valid" in row.values]
    seeds = sorted(set.intersection(*(set(v) for v in scored))) if scored else []
    if len(scored) < 2 or len(seeds) < 2:
        return {}
    table = np.array([[values[seed] for seed in seeds] for values in scored])
    total = float(((table - table.mean()) ** 2).sum())
    if total == 0:
        return {}
    by_variant = len(seeds) * float(((table.mean(axis=1) - table.mean()) ** 2).sum()) / total
    by_seed = len(scored) * float(((table.mean(axis=0) - table.mean()) ** 2).sum()) / total
    rest = max(0.0, 1 - by_variant - by_seed)
    return {"variant": by_variant, "seed": by_seed, "both together": rest}


def by_luck(rows: Sequence[Row]) -> float:
    """Expected share of the variants in `spread` if all are equal: (V - 1)/(V S - 1).

    V variants, S seeds; for scores that are independent, of one distribution.
    """
    scored = [row.values["valid"] for row in rows if "valid" in row.values]
    seeds = len(set.intersection(*(set(values) for values in scored)))
    return (len(scored) - 1) / (len(scored) * seeds - 1)


def _best_of(trials: int) -> float:
    """The share of the trials that counts as the best: a quarter, or ten, but at most half."""
    return min(0.5, max(_BEST, _BEST_TRIALS / trials))


def _quantities(record: RunRecord, varying: Iterable[str], *, own: bool) -> dict[str, Any]:
    config = record.config
    values: dict[str, Any] = dict(config.settings) if own else {"variant": config.variant}
    for path in varying:
        part, name = path.split(".")
        values[name] = getattr(getattr(config, part), name)
    return values


def _ped_anova(
    rows: Sequence[dict[str, Any]], scores: Sequence[Sequence[float]]
) -> list[dict[str, float]]:
    """The importances, largest first, for each of several lists of scores of the same trials."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    forms = {name: _distribution([row[name] for row in rows]) for name in rows[0]}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes")
            study = optuna.create_study(direction="maximize")
            for row in rows:
                params = {n: row[n] if row[n] is not None else "none" for n in row}
                study.add_trial(optuna.create_trial(params=params, distributions=forms, value=0.0))
            evaluator = PedAnovaImportanceEvaluator(target_quantile=_best_of(len(rows)))
            shares = [
                get_param_importances(
                    # With a target of its own the evaluator takes the lowest for the best.
                    study,
                    evaluator=evaluator,
                    target=partial(_negated, each),
                )
                for each in scores
            ]
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [{name: float(value) for name, value in each.items()} for each in shares]


def _negated(scores: Sequence[float], trial: Any) -> float:
    return -float(scores[trial.number])


def _distribution(values: Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return IntDistribution(min(values), max(values))
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        low, high = min(values), max(values)
        return FloatDistribution(low, high, log=low > 0 and high / low > 10)
    shown = dict.fromkeys("none" if v is None else v for v in values)
    return CategoricalDistribution(list(shown))


def _bars(
    name: str, title: str, about: str, values: dict[str, float], luck: dict[str, float]
) -> Picture:
    shown = dict(sorted(values.items(), key=lambda item: item[1])[-10:])
    with drawing(height=0.9 + 0.42 * len(shown)) as (figure, axes):
        bars = axes.barh(list(shown), list(shown.values()), color=colour("series-1"), height=0.62)
        for place, (quantity, bar) in enumerate(zip(shown, bars, strict=True)):
            level = luck.get(quantity)
            if level is not None:
                axes.vlines(level, place - 0.4, place + 0.4, color=colour("ink"), linewidth=1.6)
                bar.set_alpha(1.0 if shown[quantity] > level else 0.3)
        axes.bar_label(bars, fmt="%.2f", padding=4, color=colour("soft"), fontsize=9)
        axes.set(xlim=(0, 1.12 * max(*shown.values(), *luck.values())))
        axes.tick_params(axis="y", length=0, labelcolor=colour("ink"))
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
    return Picture(name, title, about, figure)
