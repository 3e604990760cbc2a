"""How the record of a run ends its trial, or gets a trial of its own."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.planning.blocks import parameters_of_blocks
from attenergy.search.planning.ranges import offers
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.provenance import Purpose
from attenergy.search.storage.optuna_private import set_constraints, trial_id
from attenergy.search.study.attributes import (
    BEYOND,
    CONFIG,
    CONTROL,
    DEFAULT,
    EARLIER,
    HASH,
    MATCHED,
    REASON,
    RECORD,
    RUN,
)
from attenergy.search.study.context import SearchContext


def tell_record(
    study: optuna.Study,
    trial: optuna.Trial | FrozenTrial,
    record: RunRecord,
    context: SearchContext,
) -> None:
    """End a running trial by its run's record.

    A study of finalists has one objective, the first. A pruned run is told with its last score.
    Optuna knows no pruned trials where there are several objectives; there it counts as failed, and
    only its record says that it was pruned.
    """
    storage, key = context.storage, trial_id(trial)
    limits = context.space.cost_limits
    objectives = context.objectives[: len(study.directions)]
    if context.publishes:
        storage.set_trial_user_attr(key, RECORD, record.model_dump_json(by_alias=True))
    set_constraints(storage, trial, limits.constraints(record.cost))
    if beyond := limits.beyond(record.cost):
        storage.set_trial_user_attr(key, BEYOND, beyond)
    if record.reason:
        storage.set_trial_user_attr(key, REASON, record.reason)
    if record.status == "complete":
        study.tell(trial.number, [objective.value(record) for objective in objectives])
    elif record.status == "pruned" and len(objectives) == 1:
        step, value = int(record.curve[-1]["step"]), objectives[0].value(record)
        storage.set_trial_intermediate_value(key, step, value)
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.tell(trial.number, state=TrialState.FAIL)


def add_record(
    study: optuna.Study, record: RunRecord, context: SearchContext, purpose: Purpose = "trial"
) -> None:
    """Give a run a finished trial of its own, in a study that knows nothing of the run.

    Args:
        study: the trials, or the finalists.
        record: of the run.
        context: what the search works with.
        purpose: "trial" or "final", by which the study is.
    """
    forms, values = context.space.distributions(), dict[str, Any]()
    if purpose == "trial":
        values, attributes = parameters_of(record.config), _trial_attributes(record)
    else:
        attributes = finalist_attributes(record.config)
    if context.publishes:
        attributes[RECORD] = record.model_dump_json(by_alias=True)
    params = {n: v for n, v in values.items() if n in forms and offers(forms[n], v)}
    complete = record.status == "complete"
    objectives = context.objectives[: len(study.directions)]
    limits = context.space.cost_limits
    if beyond := limits.beyond(record.cost):
        attributes[BEYOND] = beyond
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE if complete else TrialState.FAIL,
            values=[objective.value(record) for objective in objectives] if complete else None,
            params=params,
            distributions={name: forms[name] for name in params},
            user_attrs=attributes,
            constraints=limits.constraints(record.cost) or None,
        )
    )


def finalist_attributes(config: RunConfig) -> dict[str, Any]:
    """The user attributes of a finalist's trial, from which its run can be repeated."""
    return {RUN: config.run_key(), CONFIG: config.model_dump_json(by_alias=True)}


def _trial_attributes(record: RunRecord) -> dict[str, Any]:
    by_proposer: dict[str, dict[str, Any]] = {
        "default": {DEFAULT: record.config.variant},
        "control": {CONTROL: True},
        "matched": {MATCHED: record.config.variant},
        "earlier": {EARLIER: record.config_hash},
    }
    return {
        RUN: record.key,
        HASH: record.config_hash,
        **by_proposer.get(record.proposer, {}),
    }


def parameters_of(config: RunConfig) -> dict[str, Any]:
    """Everything that a space may vary, under its names there."""
    own = {f"{config.variant}.{name}": value for name, value in config.settings.items()}
    shared = {**config.model.model_dump(), **config.training.model_dump()}
    return {"variant": config.variant, **own, **parameters_of_blocks(config), **shared}
