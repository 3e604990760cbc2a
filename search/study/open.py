"""Opening a study: making it, or going on with it after whatever ended the last session."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.runs.errors import StudyExists, StudyMismatch
from attenergy.search.storage.database import FORMAT, READY, create, generation, latest
from attenergy.search.study.attributes import (
    DEFAULT,
    ENQUEUED,
    RECORD,
    RETRIED,
    RUN,
    WISH,
    Setup,
    revived,
)
from attenergy.search.study.migration import changes, fingerprint, migrate
from attenergy.search.study.samplers import make_sampler
from attenergy.search.study.stale_trials import gather, lost, take_over

# User attributes of a study.
_IDENTITY = "identity"  # what makes its trials comparable
_JOINED = "joined"  # how many drivers have joined


def open_study(setup: Setup, resume: bool) -> optuna.Study:
    """Make the study of a plan, or recover it, move it to a wider space if need be, and go on.

    Drivers that work on it together do this one after the other.

    Raises:
        StudyExists: it exists and `resume` is False.
        StudyMismatch: it fits another plan, registry or version.
    """
    plan = setup.plan
    study, number = latest(setup.storage, plan)
    if study is not None:
        gather(study, setup.store)
    trials = len(study.get_trials(deepcopy=False)) if study else len(setup.store.all())
    if not resume and (study is not None or trials):
        raise StudyExists(plan.study, trials)
    if study is None:
        study = create(setup.storage, plan.study, _directions(setup))
        _adopt(study, setup)
        _enqueue(study, setup)
        _mark_ready(study, setup)
    else:
        _refuse_other_plan(study, setup)
        take_over(lost(study, setup), study, setup)
        _adopt(study, setup)
        news = changes(study, setup.space)
        if news and not setup.lock.alone:
            raise StudyMismatch(plan.study, [*news, "other drivers are at work without that"])
        if news:
            name = generation(plan.study, number + 1)
            study = migrate(study, name, setup.storage, setup.space)
            _mark_ready(study, setup)
            setup.listener.message(f"the space has changed ({'; '.join(news)}): going on as {name}")
        _enqueue(study, setup)
    existing = len(study.get_trials(deepcopy=False))
    study.sampler = make_sampler(plan, setup.space, existing, _place(study, setup))
    return study


def _place(study: optuna.Study, setup: Setup) -> int:
    """How many drivers have joined before this one; 0 for one that does not join."""
    if not setup.plan.join:
        return 0
    before = int(study.user_attrs.get(_JOINED, 0))
    study.set_user_attr(_JOINED, before + 1)
    return before


def _directions(setup: Setup) -> list[StudyDirection]:
    return [StudyDirection[o.direction.upper()] for o in setup.objectives]


def _adopt(study: optuna.Study, setup: Setup) -> None:
    """Give every recorded trial that the storage has lost its place in the study again."""
    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(RUN) for trial in trials if _stands(trial, setup)}
    lost = [r for r in setup.store.all() if r.proposer and r.key not in known]
    for record in lost:
        study.add_trial(revived(record, setup))
    if lost:
        setup.listener.message(f"{len(lost)} trials are taken from the records into the study")


def _stands(trial: FrozenTrial, setup: Setup) -> bool:
    """Whether a trial stands for its run: not if it was taken over before it could be told."""
    return not setup.publishes or trial.state != TrialState.FAIL or RECORD in trial.user_attrs


def _enqueue(study: optuna.Study, setup: Setup) -> None:
    """Let every variant take part once on its own terms, the baseline first, then the wishes."""
    trials = study.get_trials(deepcopy=False)
    left = setup.plan.trials - sum(RETRIED not in trial.user_attrs for trial in trials)
    known = {trial.user_attrs.get(name) for trial in trials for name in (DEFAULT, WISH)}
    missing = [
        (setup.space.defaults(name), {DEFAULT: name})
        for name in setup.space.variants
        if name not in known
    ]
    for wish in setup.space.wishes:
        name = hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()[:16]
        missing += [(wish, {WISH: name})] if name not in known else []
    for params, attributes in missing[: max(left, 0)]:
        study.enqueue_trial(params, user_attrs={ENQUEUED: params, **attributes})


def _mark_ready(study: optuna.Study, setup: Setup) -> None:
    for name, value in fingerprint(setup.space).items():
        study.set_user_attr(name, value)
    study.set_user_attr(_IDENTITY, _identity(setup))
    study.set_user_attr(READY, FORMAT)


def _identity(setup: Setup) -> dict[str, Any]:
    # What must not change between the parts of a search, or its trials cannot be compared.
    names = {"task", "seed", "split_seed", "train_steps", "fairness", "seconds", "baseline", "fix"}
    identity = setup.plan.model_dump(mode="json", include=names)
    task = setup.space.task.model_dump(mode="json", include={"options", "model", "training"})
    for part, fields in task.items():
        identity |= {f"task {part} {name}": value for name, value in fields.items()}
    objectives = [objective.name for objective in setup.objectives]
    return {**identity, "objectives": objectives, "task class": setup.space.task.class_}


def _refuse_other_plan(study: optuna.Study, setup: Setup) -> None:
    before, now = study.user_attrs[_IDENTITY], _identity(setup)
    differences = [
        f"{name} was {before.get(name)!r}, is {now[name]!r}"
        for name in now
        if before.get(name) != now[name]
    ]
    if differences:
        raise StudyMismatch(study.study_name, differences)
