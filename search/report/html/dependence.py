"""The score against each quantity that was searched: every trial, and what the quantity does.

score = mu + sum_j f_j(x_j), fitted by backfitting: f_j smooths what the other terms leave.

x_1 is the variant, the others are the numbers that all trials at hand have; each f_j has mean
zero. The partial dependence on x_j of such a model, the mean of its predictions with x_j set to a
value and all else as it was, is mu + f_j. So a beta that was tried with good learning rates alone
is not taken for a good beta. Terms do not interact in it, and few trials tell little.

Source: Hastie and Tibshirani 1986, Generalized additive models; Friedman 2001, section 8.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attenergy.analysis.drawing import Picture, colour, drawing, legend, reference_lines
from attenergy.search.report.html.study_view import View, thinned
from attenergy.search.results import formats
from attenergy.search.results.ranking import short_settings, varying_in
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Trials from which on there is a curve; fewer are shown as dots, and those of a few not at all.
FEWEST = 8
_DOTS = 5
_MOST_PICTURES = 9
_FIRST = ("beta", "steps", "step_size")  # of an energy: what is searched for its own sake
_FEW_VALUES = 6  # up to so many different values each has a mean; more are smoothed
_SMOOTH = 0.2  # of the axis: the standard deviation of the kernel
_ROUNDS, _GRID = 12, 60
#: What axes are called; a layer's steps update its states, those of training its weights.
_WORDS = {
    "steps": "update steps",
    "step_size": "step size",
    "train_steps": "training steps",
    "lr": "learning rate",
    "muon_lr": "learning rate of Muon",
    "weight_decay": "weight decay",
}
_LOG = 5.0  # ratio of the ends of an axis from which on it is logarithmic
_VARIANT = "variant"


def draw(view: View) -> list[Picture]:
    """One picture for each number that differs between trials, beta and steps first."""
    trials = thinned(view.trials)
    varying = varying_in(trials)
    rows = [{_VARIANT: r.config.variant, **short_settings(r.config, varying)} for r in trials]
    return [_picture(view, trials, rows, name) for name in quantities(rows)[:_MOST_PICTURES]]


def quantities(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers that enough trials have and that differ, those of energies first."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if _is_number(value):
                values.setdefault(name, []).append(value)
    known = [n for n, each in values.items() if len(set(each)) > 1 and len(each) >= _DOTS]

    def order(name: str) -> tuple[int, int]:
        return (_FIRST.index(name) if name in _FIRST else len(_FIRST), -len(values[name]))

    return sorted(known, key=order)


def partial_dependence(
    rows: Sequence[Mapping[str, Any]], scores: Sequence[float], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Values of a quantity, and mu + f(value) there; both empty for too few rows.

    Args:
        rows: one for each trial; all have the quantity.
        scores: theirs.
        name: of the quantity.
    """
    numbers = [n for n in rows[0] if all(_is_number(row.get(n)) for row in rows)] if rows else []
    if len(rows) < FEWEST or name not in numbers:
        return np.empty(0), np.empty(0)
    axes = {n: _axis([row[n] for row in rows]) for n in numbers}
    y = np.array(scores, dtype=np.float64)
    variants = np.unique([str(row.get(_VARIANT)) for row in rows], return_inverse=True)[1]
    terms: dict[str, np.ndarray] = {n: np.zeros(len(y)) for n in (_VARIANT, *numbers)}
    for _ in range(_ROUNDS):
        for term in terms:
            left = y - y.mean() - sum(f for n, f in terms.items() if n != term)
            f = _means(variants, left) if term == _VARIANT else _smooth(axes[term], left)
            terms[term] = f - f.mean()
    x = axes[name]
    left = y - y.mean() - sum(f for n, f in terms.items() if n != name)
    few = np.unique(x)
    grid = few if len(few) <= _FEW_VALUES else np.linspace(x.min(), x.max(), _GRID)
    curve = _smooth(x, left, grid)
    shift = y.mean() - _smooth(x, left).mean()
    return _back(grid, [row[name] for row in rows]), curve + shift


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_log(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > _LOG * min(values)


def _axis(values: Sequence[float]) -> np.ndarray:
    data = np.array(values, dtype=np.float64)
    return np.log(data) if _is_log(values) else data


def _back(grid: np.ndarray, values: Sequence[float]) -> np.ndarray:
    return np.exp(grid) if _is_log(values) else grid


def _means(groups: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean of each group, at each of its members."""
    totals = np.bincount(groups, weights=y) / np.maximum(np.bincount(groups), 1)
    means: np.ndarray = totals[groups]
    return means


def _smooth(x: np.ndarray, y: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
    """Means where there are few values; else a line through the neighbours, weighed by distance."""
    places = x if at is None else at
    values, groups = np.unique(x, return_inverse=True)
    if len(values) == 1:
        return np.full(len(places), y.mean())
    if len(values) <= _FEW_VALUES:
        means = np.bincount(groups, weights=y) / np.bincount(groups)
        near: np.ndarray = np.interp(places, values, means)
        return near
    width = _SMOOTH * (values[-1] - values[0])
    distance = x[None, :] - places[:, None]
    weights = np.exp(-0.5 * (distance / width) ** 2)
    total = weights.sum(axis=1)
    first = (weights * distance).sum(axis=1) / total
    second = (weights * distance**2).sum(axis=1) / total
    mean, slanted = (weights @ y) / total, ((weights * distance) @ y) / total
    spread = second - first**2 + 1e-3 * width**2  # a ridge: few neighbours give no slope
    line: np.ndarray = mean - first * (slanted - first * mean) / spread
    return line


def _picture(
    view: View, trials: Sequence[RunRecord], rows: Sequence[Mapping[str, Any]], name: str
) -> Picture:
    known = [(r, row) for r, row in zip(trials, rows, strict=True) if _is_number(row.get(name))]
    scores = [r.metrics["valid"][view.metric] for r, _ in known]
    values = [row[name] for _, row in known]
    shown = _WORDS.get(name, name)
    with drawing() as (figure, axes):
        tips = _draw_dots(axes, view, known, name)
        x, y = partial_dependence([row for _, row in known], scores, name)
        if len(x):
            marker = "o" if len(x) <= _FEW_VALUES else ""
            axes.plot(x, y, color=colour("ink"), linewidth=2, marker=marker, zorder=4)
        if _is_log(values):
            axes.set_xscale("log")
        _ticks(axes, values)
        axes.set(xlabel=shown, ylabel=f"{view.metric} (valid)", ylim=view.limits(scores))
        reference_lines(axes, **view.references)
        legend(axes)
    about = f"{len(known)} trials, each a dot."
    if len(x):
        about += (
            " The line is the partial dependence on it: the variant and the other numbers are "
            "accounted for."
        )
    file = f"by-{name.replace('_', '-')}"
    return Picture(file, f"Score against {shown}", about + view.about_axis, figure, tips=tips)


def _draw_dots(
    axes: Axes, view: View, known: Sequence[tuple[RunRecord, Mapping[str, Any]]], name: str
) -> dict[str, list[str]]:
    tips: dict[str, list[str]] = {}
    leaders = [row.variant for row in view.leaders]
    groups: dict[str, list[tuple[float, float]]] = {}
    for record, row in known:
        point = (row[name], record.metrics["valid"][view.metric])
        groups.setdefault(record.config.variant, []).append(point)
    for number, (variant, points) in enumerate(groups.items()):
        look = view.looks[variant]
        x, y = zip(*points, strict=True)
        axes.scatter(
            x, y, s=24, marker=look.marker, color=look.colour, alpha=0.7, linewidths=0, zorder=3,
            label=variant if variant in leaders else None, gid=f"dots-{number}",
        )  # fmt: skip
        tips[f"dots-{number}"] = [
            f"{variant}, {name} {formats.number(float(a))}: {b:.3f}" for a, b in points
        ]
    return tips


def _ticks(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
    distinct = sorted(set(values))
    if len(distinct) <= _FEW_VALUES and all(isinstance(value, int) for value in distinct):
        axes.xaxis.set_major_locator(FixedLocator(distinct))
    elif _is_log(values):
        low, high = math.log10(distinct[0]), math.log10(distinct[-1])
        steps = (1, 2, 5) if high - low < 2.5 else (1,)
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [tick for tick in ticks if distinct[0] <= tick <= distinct[-1]]
        axes.xaxis.set_major_locator(
            FixedLocator(inside or distinct[:: max(1, len(distinct) // 4)])
        )
