"""The driver of a search: it alone holds the study, asks it for trials and tells it results.

Nothing that has finished is lost or run twice, wherever the driver is killed: a record is on the
disk before the study hears of it, and a trial counts if and only if its run is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from attenergy.registry import Registry
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.errors import StudyBusy, StudyExists, StudyMismatch
from attenergy.search.events import Listener
from attenergy.search.executors import Executor, make_executor, run_all
from attenergy.search.locks import exclusive
from attenergy.search.migration import ENQUEUED, changes, fingerprint, migrate
from attenergy.search.plan import SearchPlan
from attenergy.search.records import RunStore, write_atomically
from attenergy.search.space import Space, with_steps
from attenergy.search.storage import (
    READY,
    create,
    generation,
    latest,
    make_sampler,
    open_storage,
)
from attenergy.tasks import make_task

__all__ = ["StudyBusy", "StudyExists", "StudyMismatch", "run_search"]

#: Seeds of finalists begin here, far above those of trials.
FRESH_SEEDS = 1000

# User attributes of trials and of the study.
_RUN = "run"  # key of the trial's run
_HASH = "config_hash"
_REASON = "reason"
_DEFAULT = "default_of"  # the variant whose defaults a trial was given
_RETRIED = "retry_of"  # number of the interrupted trial that a trial repeats
_IDENTITY = "identity"


def run_search(
    plan: SearchPlan, registry: Registry, listener: Listener, *, resume: bool = False
) -> list[RunRecord]:
    """Run the trials of a plan, then the winners and the baseline over several seeds.

    The objective is the task's metric on the valid split at the end of training. The first trials
    are the baseline and then every other variant on its own terms; the sampler proposes the rest.
    A configuration that it repeats is run with another seed. Diverged and failed runs count as
    trials without a value. The winners are the configurations with the best mean; they and the
    best configuration of the baseline are trained again with fresh seeds, so that no score of a
    finalist has taken part in its choice.

    Args:
        plan: what to do, and the folder that receives `study.db`, `records.jsonl`, `plan.json`
            and `weights/`.
        registry: variants, task and space.
        listener: is told what happens.
        resume: go on with an existing study; `plan.trials` is the total. If the registry has
            grown since, the study moves to a new generation with the wider space.

    Returns:
        Every record of the study's folder, in the order in which the runs finished.

    Raises:
        StudyExists: the study exists and `resume` is False.
        StudyMismatch: it exists but fits another plan or registry.
        StudyBusy: another process is running it.
        ValueError: the plan names something unknown or impossible.
    """
    space = Space(registry, plan)
    metric = make_task(space.task).metric
    folder = Path(plan.folder)
    with exclusive(folder, plan.study), open_storage(plan) as storage:
        store = RunStore(folder)
        study = _open(_Setup(plan, space, storage, store, listener, metric), resume)
        write_atomically(folder / "plan.json", plan.model_dump_json(indent=2) + "\n")
        with make_executor(plan.workers, folder) as executor:
            driver = _Driver(plan, space, metric, study, store, executor, listener)
            driver.run_trials()
            driver.run_finalists()
        return store.all()


@dataclass(frozen=True)
class _Setup:
    plan: SearchPlan
    space: Space
    storage: RDBStorage
    store: RunStore
    listener: Listener
    metric: str


def _open(setup: _Setup, resume: bool) -> optuna.Study:
    plan = setup.plan
    study, number = latest(setup.storage, plan)
    trials = len(study.get_trials(deepcopy=False)) if study else len(setup.store.all())
    if not resume and (study is not None or trials):
        raise StudyExists(plan.study, trials)
    if study is None:
        study = create(setup.storage, plan.study)
        _enqueue_defaults(study, setup)
        _mark_ready(study, setup)
    else:
        _refuse_other_plan(study, setup)
        _recover(study, setup)
        news = changes(study, setup.space)
        if news:
            name = generation(plan.study, number + 1)
            study = migrate(study, name, setup.storage, setup.space)
            _mark_ready(study, setup)
            setup.listener.message(f"the space has changed ({'; '.join(news)}): going on as {name}")
        _enqueue_defaults(study, setup)
    study.sampler = make_sampler(plan, len(study.get_trials(deepcopy=False)))
    return study


def _enqueue_defaults(study: optuna.Study, setup: _Setup) -> None:
    """Let every variant take part once on its own terms, the baseline first, while trials allow."""
    trials = study.get_trials(deepcopy=False)
    enqueued = {trial.user_attrs.get(_DEFAULT) for trial in trials}
    left = setup.plan.trials - sum(_RETRIED not in trial.user_attrs for trial in trials)
    missing = [name for name in setup.space.variants if name not in enqueued]
    for name in missing[: max(left, 0)]:
        params = setup.space.defaults(name)
        study.enqueue_trial(params, user_attrs={ENQUEUED: params, _DEFAULT: name})


def _mark_ready(study: optuna.Study, setup: _Setup) -> None:
    for name, value in fingerprint(setup.space).items():
        study.set_user_attr(name, value)
    study.set_user_attr(_IDENTITY, _identity(setup))
    study.set_user_attr(READY, True)


def _identity(setup: _Setup) -> dict[str, Any]:
    # What must not change between the parts of a search, or its trials cannot be compared.
    names = {"task", "seed", "split_seed", "train_steps", "baseline", "fix"}
    identity = setup.plan.model_dump(mode="json", include=names)
    task = setup.space.task.model_dump(mode="json", include={"options", "model", "training"})
    for part, fields in task.items():
        identity |= {f"task {part} {name}": value for name, value in fields.items()}
    return {**identity, "task class": setup.space.task.class_}


def _refuse_other_plan(study: optuna.Study, setup: _Setup) -> None:
    before, now = study.user_attrs[_IDENTITY], _identity(setup)
    differences = [
        f"{name} was {before.get(name)!r}, is {now[name]!r}"
        for name in now
        if before.get(name) != now[name]
    ]
    if differences:
        raise StudyMismatch(study.study_name, differences)


def _recover(study: optuna.Study, setup: _Setup) -> None:
    """End the trials that a dead driver left running: by their record, or by another try."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    retried = {trial.user_attrs.get(_RETRIED) for trial in waiting}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        record = setup.store.get(trial.user_attrs.get(_RUN, ""))
        if record is not None:
            _tell(study, trial.number, record, setup.metric)
            continue
        params = {**trial.user_attrs.get(ENQUEUED, {}), **trial.params}
        if params and trial.number not in retried:  # else the last recovery was cut short here
            kept = {n: v for n, v in trial.user_attrs.items() if n not in {_RUN, _HASH}}
            attributes = {**kept, ENQUEUED: params, _RETRIED: trial.number}
            study.enqueue_trial(params, user_attrs=attributes)
            setup.listener.message(f"trial {trial.number} was interrupted; it is run again")
        study.tell(trial.number, state=TrialState.FAIL)


def _tell(study: optuna.Study, number: int, record: RunRecord, metric: str) -> None:
    if record.status == "complete":
        study.tell(number, _value(record, metric))
    else:
        study.tell(number, state=TrialState.FAIL)


def _value(record: RunRecord, metric: str) -> float:
    return record.metrics["valid"][metric]


@dataclass(frozen=True)
class _Driver:
    plan: SearchPlan
    space: Space
    metric: str
    study: optuna.Study
    store: RunStore
    executor: Executor
    listener: Listener

    def run_trials(self) -> None:
        """Ask, run, record and tell until as many trials as planned have ended."""
        running: dict[str, optuna.Trial] = {}
        done = len(self._recorded())
        self.listener.phase("trials", done, self.plan.trials)
        while True:
            while self.executor.free and done + len(running) < self.plan.trials:
                trial, config = self._ask()
                running[config.run_key()] = trial
                self.executor.submit(config, "trial")
                self.listener.started(config)
            if not running:
                return
            record = self.executor.wait(self.listener)
            self.store.append(record)
            trial = running.pop(record.key)
            if record.reason:
                trial.set_user_attr(_REASON, record.reason)
            _tell(self.study, trial.number, record, self.metric)
            self.listener.finished(record)
            done += 1

    def run_finalists(self) -> None:
        """Run the best configurations, and the best of the baseline, over fresh seeds.

        The seeds of the trials are not used again: a winner won partly by its seed.
        """
        if self.plan.finalists == 0:
            return
        best = self._ranked()
        baseline = [c for c in best if c.variant == self.plan.baseline] or self._baseline()
        chosen = {c.config_hash(): c for c in (*best[: self.plan.finalists], *baseline[:1])}
        first = self.plan.seed + FRESH_SEEDS
        seeds = range(first, first + self.plan.seeds)
        configs = [
            with_steps(config, self.plan.final_steps).model_copy(update={"seed": seed})
            for config in chosen.values()
            for seed in seeds
        ]
        known = sum(self.store.get(config.run_key()) is not None for config in configs)
        self.listener.phase("finalists", known, len(configs))
        run_all(configs, "final", self.executor, self.store, self.listener)

    def _ask(self) -> tuple[optuna.Trial, RunConfig]:
        trial = self.study.ask()
        config = self._with_free_seed(self.space.suggest(trial))
        trial.set_user_attr(_HASH, config.config_hash())
        trial.set_user_attr(_RUN, config.run_key())
        return trial, config

    def _with_free_seed(self, config: RunConfig) -> RunConfig:
        # Keys of running trials too; an interrupted trial's key is free for its second try.
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        taken = {trial.user_attrs.get(_RUN) for trial in running}
        while config.run_key() in taken or self.store.get(config.run_key()) is not None:
            config = config.model_copy(update={"seed": config.seed + 1})
        return config

    def _recorded(self) -> list[tuple[FrozenTrial, RunRecord]]:
        # Trials that count, with their records. An interrupted trial and its second try carry
        # the same key: the later one counts.
        trials = self.study.get_trials(deepcopy=False)
        by_run = {trial.user_attrs.get(_RUN, ""): trial for trial in trials}
        pairs = [(trial, self.store.get(run)) for run, trial in by_run.items()]
        return [(trial, record) for trial, record in pairs if record is not None]

    def _ranked(self) -> list[RunConfig]:
        groups: dict[str, list[RunRecord]] = {}
        for _, record in self._recorded():
            groups.setdefault(record.config_hash, []).append(record)
        scores = {}
        for name, records in groups.items():
            values = [_value(r, self.metric) for r in records if r.status == "complete"]
            if values and all(r.status != "diverged" for r in records):
                scores[name] = fmean(values)
        best = sorted(scores, key=lambda name: -scores[name])
        return [groups[name][0].config for name in best]

    def _baseline(self) -> list[RunConfig]:
        configs = [record.config for _, record in self._recorded()]
        return [config for config in configs if config.variant == self.plan.baseline]
