"""A study whose space has grown: its trials move to a new generation with the wider space.

Optuna does not let the choices of a categorical parameter change inside a study, so an energy
that is new in the registry could not be sampled there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.planning.ranges import by_present_name, offers
from attenergy.search.planning.space import Space
from attenergy.search.runs.errors import StudyMismatch
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import create
from attenergy.search.study.attributes import BEYOND, ENQUEUED
from attenergy.search.study.infeasible import cost_of

DEFINITIONS = "definitions"
SPACE = "space"
LIMITS = "limits"
ORIGIN = "origin"  # user attribute of a trial that came from an older generation


def fingerprint(space: Space) -> dict[str, dict[str, str]]:
    """Say what decides whether old trials fit: definitions, distributions, limits of cost."""
    forms = space.distributions()
    return {
        DEFINITIONS: space.definitions(),
        SPACE: {name: distribution_to_json(form) for name, form in forms.items()},
        LIMITS: {f"limit {n}": repr(most) for n, most in space.cost_limits.most.items()},
    }


def changes(study: optuna.Study, space: Space) -> list[str]:
    """List what has changed in the space since the study was made; empty if nothing."""
    lines = []
    for kind, now in fingerprint(space).items():
        before = study.user_attrs.get(kind, {})
        lines += [f"{name} is new" for name in now if name not in before]
        lines += [f"{name} is gone" for name in before if name not in now]
        lines += [f"{n} has changed" for n in now if n in before and before[n] != now[n]]
    return list(dict.fromkeys(lines))


def refuse_lost_variants(study: optuna.Study, space: Space) -> None:
    """Raise StudyMismatch if a variant of the study is gone or computes something else now."""
    now, before = space.definitions(), study.user_attrs.get(DEFINITIONS, {})
    wrong = [f"variant {name!r} is gone" for name in before if name not in now]
    wrong += [
        f"variant {name!r} is defined otherwise"
        for name in before
        if name in now and now[name] != before[name]
    ]
    if wrong:
        raise StudyMismatch(study.study_name, wrong)


def migrate(
    study: optuna.Study, name: str, storage: RDBStorage, space: Space, store: RunStore
) -> optuna.Study:
    """Copy the finished and the waiting trials of `study` to a new study `name`.

    A copied trial names its origin. The limits of cost are the present ones: a trial that was not
    trained because of others is left out. The caller marks the new study as ready.

    Raises:
        StudyMismatch: if a variant is gone or was redefined, or a value that was tried is no
            longer among the choices.
    """
    refuse_lost_variants(study, space)
    forms = space.distributions()
    trials = study.get_trials(deepcopy=False)
    finished = [_carry(trial, study, forms) for trial in trials if trial.state.is_finished()]
    judged = [trial for trial in finished if _judge(trial, space, store)]
    successor = create(storage, name, study.directions)
    successor.add_trials(judged)
    for trial in trials:
        if trial.state == TrialState.WAITING:
            enqueued = _by_present_names(trial.user_attrs[ENQUEUED]).items()
            params = {n: value for n, value in enqueued if n in forms and offers(forms[n], value)}
            successor.enqueue_trial(params, user_attrs={**trial.user_attrs, ENQUEUED: params})
    return successor


def _by_present_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial, those by the present name that were chosen under an earlier one."""
    return {name: by_present_name(name, value) for name, value in values.items()}


def _carry(
    trial: FrozenTrial, study: optuna.Study, forms: dict[str, BaseDistribution]
) -> FrozenTrial:
    params = _by_present_names(trial.params)
    distributions: dict[str, BaseDistribution] = {}
    for name, old in trial.distributions.items():
        value, new = params[name], forms.get(name, old)
        distributions[name] = new if offers(new, value) else old
        try:
            check_distribution_compatibility(distributions[name], new)
        except ValueError as error:
            text = f"{name} = {value!r} of trial {trial.number} is no longer offered"
            raise StudyMismatch(study.study_name, [text]) from error
    origin = {ORIGIN: f"{study.study_name}:{trial.number}"}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=params,
        distributions=distributions,
        user_attrs={**origin, **trial.user_attrs},  # the first origin stays
        intermediate_values=trial.intermediate_values,
    )


def _judge(trial: FrozenTrial, space: Space, store: RunStore) -> bool:
    """Hold a carried trial against the present limits of cost; whether it has a place there."""
    cost = cost_of(trial, space, store)
    if cost is None:
        return False
    trial.user_attrs.pop(BEYOND, None)
    if beyond := space.cost_limits.beyond(cost):
        trial.set_user_attr(BEYOND, beyond)
    for name, value in space.cost_limits.constraints(cost).items():
        trial.set_constraint(name, value)
    return True
