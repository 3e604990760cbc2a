"""Runs grouped by configuration and ordered by validation score: the rows of a leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.results import formats
from attenergy.search.results.sequential import anytime_p_values
from attenergy.search.results.statistics import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    paired_differences,
    within,
)
from attenergy.search.runs.config import RunConfig, RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task

#: Between which numbers a metric lies, where it has bounds.
_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(("accuracy", "macro_accuracy", "accuracy_per_feature"), (0.0, 1.0)),
    **dict.fromkeys(("exact", "solved"), (0.0, 1.0)),
    **dict.fromkeys(("r2", "scaled_accuracy"), (None, 1.0)),
}
_SHORT = {"learning_rate": "lr", "muon_learning_rate": "muon_lr", "steps": "train_steps"}


@dataclass(frozen=True)
class Row:
    """One configuration: its scores over seeds and what it cost (means over its runs)."""

    rank: int
    variant: str
    settings: dict[str, Any]
    final: bool
    baseline: bool
    scores: dict[str, Interval]  # column -> mean and interval over seeds
    values: dict[str, dict[int, float]]  # column -> seed -> score
    differences: dict[str, Interval]  # column -> score minus the baseline's, paired by seed
    #: column -> chance of so large a difference by luck, corrected for the rows of that column
    p_values: dict[str, float]
    middles: dict[str, Interval]  # column -> interquartile mean and its bootstrap interval
    seeds: tuple[int, ...]
    tried: int  # seeds started, the diverged and failed ones included
    cost: dict[str, float]
    config_hash: str
    keys: tuple[str, ...]
    #: costs that are beyond the limits of the search
    beyond: dict[str, float] = field(default_factory=dict)

    @property
    def seeds_shown(self) -> str:
        """`3`, or `2/3` where not every seed that was started gave a score."""
        done = len(self.seeds)
        return f"{done}" if done == self.tried else f"{done}/{self.tried}"


@dataclass(frozen=True)
class Failure:
    """A run that gave no score."""

    variant: str
    settings: dict[str, Any]
    seed: int
    status: str
    reason: str
    key: str


def columns_of(task: Task) -> dict[str, str]:
    """The columns of a leaderboard and the split of the task that each shows."""
    shown = [split for split in task.splits if split != "train"]
    return {formats.split(split): split for split in shown}


def column_of(task: Task, split: str) -> str | None:
    """The column of a leaderboard that shows a split of the task; None if there is none."""
    return next((column for column, other in columns_of(task).items() if other == split), None)


def rank(
    records: Sequence[RunRecord],
    metric: str,
    columns: dict[str, str],
    baseline: str,
    limits: CostLimits | None = None,
) -> tuple[Row, ...]:
    """Rows of finalists, then rows of trials, each by mean validation score, best first.

    Of both, those come last that are beyond `limits` by the means of their runs.

    A configuration repeated over seeds (`purpose` `final` or `compare`) is a finalist: its row is
    made of those runs only, because the trial by which it was chosen is biased upwards. Finalists
    carry their differences to one finalist of the baseline. Where it has several, that is the one
    with the best trials: the best of the rows themselves would have luck on its side, and equal
    variants would be called worse more often than p says. `columns` are those of `columns_of`.
    """
    varying = varying_in(records)
    rows = [_row(group, metric, columns, varying, baseline) for group in _groups(records)]
    known = [row for row in rows if row is not None]
    if limits:
        known = [replace(row, beyond=limits.beyond(row.cost)) for row in known]
    ordered = sorted(known, key=lambda row: (not row.final, bool(row.beyond), -_validation(row)))
    reference = reference_row(ordered, records, metric)
    compared = [
        replace(row, rank=place, differences=_differences(row, reference))
        for place, row in enumerate(ordered, start=1)
    ]
    p_values = {column: _p_values(compared, reference, column) for column in columns}
    return tuple(
        replace(
            row, p_values={c: p[f"{row.rank}"] for c, p in p_values.items() if f"{row.rank}" in p}
        )
        for row in compared
    )


def failures(records: Sequence[RunRecord]) -> tuple[Failure, ...]:
    """The runs that gave no score, with their reasons."""
    varying = varying_in(records)
    return tuple(_failure(r, varying) for r in records if r.status != "complete")


def varying_fields(configs: Iterable[RunConfig]) -> tuple[str, ...]:
    """Fields of model and training that differ between configurations, written `model.heads`."""
    seen: dict[str, set[str]] = {}
    for config in configs:
        for part, values in (("model", config.model), ("training", config.training)):
            for name, value in values:
                seen.setdefault(f"{part}.{name}", set()).add(repr(value))
    return tuple(name for name, values in seen.items() if len(values) > 1)


def short_settings(config: RunConfig, varying: Sequence[str]) -> dict[str, Any]:
    """The layer's own settings and whatever else tells this configuration from the others."""
    shared = {}
    for path in varying:
        part, name = path.split(".")
        shared[_SHORT.get(name, name)] = getattr(getattr(config, part), name)
    if config.pause is None:
        return {**config.settings, **shared}
    pause = formats.Pause(config.pause, config.training.steps)
    return {"pause": pause, **config.settings, **shared}  # first: a terminal cuts what is last


def varying_in(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """Fields that vary among the trials or among the finalists, but not only between the two."""
    finals = varying_fields(r.config for r in records if r.purpose != "trial")
    trials = varying_fields(r.config for r in records if r.purpose == "trial")
    return tuple(dict.fromkeys(finals + trials))


def mean_cost(records: Sequence[RunRecord]) -> dict[str, float]:
    """Every cost, as the mean of the runs that have it."""
    names = dict.fromkeys(name for record in records for name in record.cost)
    return {name: fmean(r.cost[name] for r in records if name in r.cost) for name in names}


def reference_row(rows: Sequence[Row], records: Sequence[RunRecord], metric: str) -> Row | None:
    """The finalist of the baseline whose trials scored best; without trials the first one."""
    candidates = [row for row in rows if row.final and row.baseline]
    if len(candidates) < 2:
        return next(iter(candidates), None)
    trials: dict[str, list[float]] = {}
    tuned: dict[str, str] = {}
    variants = {row.variant for row in candidates}
    for record in records:
        if record.config.variant not in variants:
            continue
        if record.purpose != "trial":
            tuned[record.config_hash] = _tuned(record.config)
        elif record.status == "complete" and metric in record.metrics.get("valid", {}):
            trials.setdefault(_tuned(record.config), []).append(record.metrics["valid"][metric])
    means = {name: fmean(scores) for name, scores in trials.items()}
    return max(candidates, key=lambda row: means.get(tuned[row.config_hash], float("-inf")))


def _tuned(config: RunConfig) -> str:
    """A hash of what a trial decides: the configuration but for the length of the training."""
    length = {"steps": 0, "warmup": 0, "evaluate_every": 1}
    training = config.training.model_copy(update=length)
    whole = {"training": training, "seconds": None, "pause": None}
    return config.model_copy(update=whole).config_hash()


def _groups(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    groups: dict[str, dict[bool, dict[int, RunRecord]]] = {}
    for record in records:
        kinds = groups.setdefault(record.config_hash, {})
        kinds.setdefault(record.purpose != "trial", {})[record.config.seed] = record
    return [list((kinds.get(True) or kinds[False]).values()) for kinds in groups.values()]


def _row(
    group: list[RunRecord],
    metric: str,
    columns: dict[str, str],
    varying: tuple[str, ...],
    baseline: str,
) -> Row | None:
    done = sorted((r for r in group if r.status == "complete"), key=lambda r: r.config.seed)
    if not done:
        return None
    config = done[0].config
    values = {column: _values(done, split, metric) for column, split in columns.items()}
    return Row(
        rank=0,
        variant=config.variant,
        settings=short_settings(config, varying),
        final=done[0].purpose != "trial",
        baseline=config.variant == baseline,
        scores={
            c: within(mean_interval(list(v.values())), *_BOUNDS.get(metric, (None, None)))
            for c, v in values.items()
            if v
        },
        values=values,
        differences={},
        p_values={},
        middles={
            c: bootstrap_interval(list(v.values()), middle=True) for c, v in values.items() if v
        },
        seeds=tuple(r.config.seed for r in done),
        tried=len(group),
        cost=mean_cost(done),
        config_hash=done[0].config_hash,
        keys=tuple(r.key for r in done),
    )


def _values(records: Sequence[RunRecord], split: str, metric: str) -> dict[int, float]:
    scored = {r.config.seed: r.metrics.get(split, {}).get(metric) for r in records}
    return {seed: value for seed, value in scored.items() if value is not None}


def _differences(row: Row, reference: Row | None) -> dict[str, Interval]:
    if reference is None or not row.final or row.config_hash == reference.config_hash:
        return {}
    paired = {c: paired_difference(reference.values[c], v) for c, v in row.values.items()}
    return {column: interval for column, interval in paired.items() if interval is not None}


def _p_values(rows: Sequence[Row], reference: Row | None, column: str) -> dict[str, float]:
    """Rank -> corrected p value of every row that has a difference in the column."""
    if reference is None:
        return {}
    return anytime_p_values(
        {
            f"{row.rank}": paired_differences(reference.values[column], row.values[column])
            for row in rows
            if column in row.differences
        }
    )


def _validation(row: Row) -> float:
    return row.scores["valid"].mean if "valid" in row.scores else float("-inf")


def _failure(record: RunRecord, varying: tuple[str, ...]) -> Failure:
    config = record.config
    return Failure(
        variant=config.variant,
        settings=short_settings(config, varying),
        seed=config.seed,
        status=record.status,
        reason=record.reason.splitlines()[-1] if record.reason else "no reason recorded",
        key=record.key,
    )
