"""What a trial of a study carries, and how its run's record is told to Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.planning.objectives import Objective
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.ranges import offers
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import Proposer, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.heartbeat import Heartbeat
from attenergy.search.storage.locks import StudyLock

# User attributes of trials.
RUN = "run"  # key of the trial's run
HASH = "config_hash"
REASON = "reason"
DEFAULT = "default_of"  # the variant whose defaults a trial was given
WISH = "wish"  # hash of the enqueued parameters that a trial was given
CONTROL = "control"  # whether a trial was proposed at random, whatever the sampler
MATCHED = "matched"  # the variant that had fewer trials than it is to have
RETRIED = "retry_of"  # number of the interrupted trial that a trial repeats
ENQUEUED = "enqueued"  # what the parameters are that a trial was given
RECORD = "record"  # the run's record as a line of JSON, where the storage is not the folder's own


_ROOMY = ("postgresql", "sqlite")  # a text may be as long as a record is


@dataclass(frozen=True)
class Setup:
    """What a search stands on."""

    plan: SearchPlan
    space: Space
    objectives: tuple[Objective, ...]
    storage: RDBStorage
    store: RunStore
    listener: Listener
    lock: StudyLock
    heartbeat: Heartbeat

    @property
    def publishes(self) -> bool:
        """Whether records go to the storage too, so that drivers with other folders have them."""
        return self.plan.storage is not None and self.storage.engine.dialect.name in _ROOMY


def proposer(attributes: Mapping[str, Any]) -> Proposer:
    """Who chose the parameters of the trial with these user attributes."""
    names: dict[str, Proposer] = {
        DEFAULT: "default",
        WISH: "enqueued",
        CONTROL: "control",
        MATCHED: "matched",
    }
    return next((word for name, word in names.items() if name in attributes), "sampler")


def publish(trial: optuna.Trial | FrozenTrial, record: RunRecord, setup: Setup) -> None:
    """Let a trial that still runs carry its record, where records are published."""
    if setup.publishes:
        line = record.model_dump_json(by_alias=True)
        setup.storage.set_trial_user_attr(trial._trial_id, RECORD, line)


def tell(
    study: optuna.Study, trial: optuna.Trial | FrozenTrial, record: RunRecord, setup: Setup
) -> None:
    """End a trial by its run's record.

    A pruned run is told with its last score. Optuna knows no pruned trials where there are several
    objectives; there it counts as failed, and only its record says that it was pruned.
    """
    number, objectives = trial.number, setup.objectives
    publish(trial, record, setup)
    if record.reason:
        setup.storage.set_trial_user_attr(trial._trial_id, REASON, record.reason)
    if record.status == "complete":
        study.tell(number, [objective.value(record) for objective in objectives])
    elif record.status == "pruned" and len(objectives) == 1:
        step, value = int(record.curve[-1]["step"]), objectives[0].value(record)
        setup.storage.set_trial_intermediate_value(trial._trial_id, step, value)
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, state=TrialState.FAIL)


def revived(record: RunRecord, setup: Setup) -> FrozenTrial:
    """The trial whose run this is the record of, for a study that knows nothing of it."""
    forms, objectives = setup.space.distributions(), setup.objectives
    params = {n: v for n, v in _parameters(record).items() if n in forms and offers(forms[n], v)}
    attributes: dict[str, Any] = {RUN: record.key, HASH: record.config_hash}
    variant = record.config.variant
    marks: dict[str, tuple[str, Any]] = {
        "default": (DEFAULT, variant),
        "control": (CONTROL, True),
        "matched": (MATCHED, variant),
    }
    attributes |= dict([marks[record.proposer]] if record.proposer in marks else [])
    if setup.publishes:
        attributes[RECORD] = record.model_dump_json(by_alias=True)
    complete = record.status == "complete"
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        values=[objective.value(record) for objective in objectives] if complete else None,
        params=params,
        distributions={name: forms[name] for name in params},
        user_attrs=attributes,
    )


def _parameters(record: RunRecord) -> dict[str, Any]:
    """Everything that a space may vary, under its names there."""
    config = record.config
    own = {f"{config.variant}.{name}": value for name, value in config.settings.items()}
    shared = {**config.model.model_dump(), **config.training.model_dump()}
    return {"variant": config.variant, **own, **shared}
