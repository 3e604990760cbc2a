"""A study of any size whose runs were never made: records and database as a search leaves them."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.objectives import find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs import provenance
from attenergy.search.runs.config import Proposer, RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RECORDS
from attenergy.search.study.attributes import CONTROL, HASH, RUN
from attenergy.search.study.run import at_study
from attenergy.search.study.trial_queue import TrialQueue
from attenergy.tasks import make_task

VARIANTS = ("softmax", "lse", "linear", "rbm", "hyla", "zero_sink")
VERSIONS, MACHINE = provenance.versions(), provenance.machine()


def synthetic(config: RunConfig) -> RunRecord:
    """The record of a run that was never made."""
    draw, training = random.Random(config.run_key()), config.training
    beta = config.settings.get("beta", 1.0)
    off = abs(math.log(beta)) if isinstance(beta, float) and beta > 0 else 0.0
    score = 0.5 - 0.1 * abs(math.log10(training.learning_rate / 3e-3)) - 0.05 * off
    score = min(max(score + draw.gauss(0, 0.02), 0.0), 1.0)
    rules = {f"accuracy_rule_{number}": score for number in range(8)}
    metrics = {
        split: {
            "accuracy": share * score,
            "accuracy_per_feature": score,
            "loss": 2 - score,
            **rules,
        }
        for split, share in (("valid", 1.0), ("test", 0.98), ("ood", 0.7))
    }
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        metrics=metrics,
        curve=[
            {"step": training.steps * k // 4, "loss": 2 - score, "accuracy": score * k / 4}
            for k in range(1, 5)
        ],
        cost={"parameters": 68456.0, "training_flops": 1e12, "ms_per_step": 20.0, "seconds": 32.0},
        versions=VERSIONS,
        machine=MACHINE,
        started=provenance.now(),
    )


class Drawn:
    """A trial whose parameters are drawn at random, and remembered with their ranges."""

    def __init__(self, draw: random.Random) -> None:
        self._draw, self.params = draw, dict[str, tuple[float, BaseDistribution]]()

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of them."""
        value = self._draw.choice(list(choices))
        return self._remember(name, value, CategoricalDistribution(choices))

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        """A number, uniform in its logarithm if asked for."""
        form = FloatDistribution(low, high, **options)
        ends = (math.log(low), math.log(high)) if form.log else (low, high)
        value = self._draw.uniform(*ends)
        value = min(max(math.exp(value) if form.log else value, low), high)
        return float(self._remember(name, value, form))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        """A whole number."""
        form = IntDistribution(low, high, **options)
        return int(self._remember(name, self._draw.randint(low, high), form))

    def _remember(self, name: str, value: Any, form: BaseDistribution) -> Any:
        self.params[name] = (form.to_internal_repr(value), form)
        return value


def plan_of(folder: Path, trials: int) -> SearchPlan:
    """A search of so many trials."""
    return SearchPlan(
        study="size",
        folder=str(folder),
        task="raven-small",
        variants=VARIANTS,
        trials=trials,
        finalists=0,
        workers=0,
    )


@contextmanager
def open_queue(folder: Path, trials: int, *, resume: bool) -> Iterator[TrialQueue]:
    """The queue of a search that is to have so many trials in all."""
    registry, plan = load_registry(plugins=False), plan_of(folder, trials)
    space = Space(registry, plan)
    objectives = find_objectives(make_task(space.task), ())
    equal = EqualTraining(plan.fairness, space.reference(), plan.seconds)
    with at_study(plan, space, objectives, Listener(), resume=resume) as (context, study):
        yield TrialQueue(context, study, equal, lambda _: None)


def fill(folder: Path, trials: int) -> None:
    """Write a study as a search would have left it after so many trials."""
    made = len(VARIANTS) + 4
    with open_queue(folder, made, resume=False) as queue:
        space = queue.context.space
        while (job := queue.take()) is not None:
            queue.end(job, synthetic(job.config))
    write_atomically(folder / "plan.json", plan_of(folder, trials).model_dump_json())
    draw, rows = random.Random(0), _Rows()
    with (folder / RECORDS).open("a") as lines:
        for number in range(made, trials):
            trial = Drawn(draw)
            config = space.suggest(trial)  # type: ignore[arg-type]
            proposer: Proposer = "control" if number % 5 == 0 else "sampler"
            record = synthetic(config).model_copy(update={"proposer": proposer})
            lines.write(record.model_dump_json(by_alias=True) + "\n")
            rows.add(number, trial, record)
    with closing(sqlite3.connect(folder / "study.db")) as base:
        rows.write(base)


class _Rows:
    """What Optuna's database holds of trials that are complete."""

    def __init__(self) -> None:
        self._trials, self._params = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
        self._values, self._attributes = list[tuple[Any, ...]](), list[tuple[Any, ...]]()

    def add(self, number: int, trial: Drawn, record: RunRecord) -> None:
        """Add a trial."""
        key, now = number + 1, "2026-01-01 00:00:00.000000"
        self._trials.append((key, number, now, now))
        for name, (value, form) in trial.params.items():
            self._params.append((key, name, value, distribution_to_json(form)))
        self._values.append((key, record.metrics["valid"]["accuracy"]))
        attributes = {RUN: record.key, HASH: record.config_hash}
        attributes |= {CONTROL: True} if record.proposer == "control" else {}
        for name, text in attributes.items():
            self._attributes.append((key, name, json.dumps(text)))

    def write(self, base: sqlite3.Connection) -> None:
        """Write all of them into the only study of a database."""
        study = "(SELECT study_id FROM studies)"
        for into, values, rows in (
            (
                "trials (trial_id, number, datetime_start, datetime_complete, study_id, state)",
                f"?, ?, ?, ?, {study}, 'COMPLETE'",
                self._trials,
            ),
            (
                "trial_params (trial_id, param_name, param_value, distribution_json)",
                "?, ?, ?, ?",
                self._params,
            ),
            (
                "trial_values (trial_id, objective, value, value_type)",
                "?, 0, ?, 'FINITE'",
                self._values,
            ),
            ("trial_user_attributes (trial_id, key, value_json)", "?, ?, ?", self._attributes),
        ):
            base.executemany(f"INSERT INTO {into} VALUES ({values})", rows)
        base.commit()
