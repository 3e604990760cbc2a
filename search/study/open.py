"""Opening a study: making it, or going on with it after whatever ended the last session."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from attenergy.registry import ModelSpec, TrainingSpec
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.errors import StorageProblem, StudyExists, StudyMismatch
from attenergy.search.runs.plugin_needs import in_storage, refuse_missing
from attenergy.search.storage.database import (
    FORMAT,
    READY,
    create,
    exists,
    generation,
    latest,
    open_storage,
)
from attenergy.search.storage.optuna_private import study_id
from attenergy.search.storage.trial_index import TrialBrief, TrialIndex, attribute_values
from attenergy.search.study.attributes import (
    DEFAULT,
    EARLIER,
    ENQUEUED,
    RECORD,
    RETRIED,
    RUN,
    WISH,
    is_untrained,
)
from attenergy.search.study.context import SearchContext
from attenergy.search.study.earlier import (
    earlier_attributes,
    first_tried,
    known_earlier,
    read_all_earlier,
    take_earlier,
)
from attenergy.search.study.infeasible import beyond_by_default
from attenergy.search.study.migration import changes, fingerprint, migrate
from attenergy.search.study.recording import add_record
from attenergy.search.study.samplers import make_sampler
from attenergy.search.study.stale_trials import collect_records, recover_stale, stale_trials
from attenergy.search.study.tally import COUNTED

# User attributes of a study.
_IDENTITY = "identity"  # what makes its trials comparable
#: What could not be said in the days of a study was as here.
_LATER: dict[str, Any] = {"rungs": 1, "pause": 0}
_JOINED = "joined"  # how many drivers have joined


def open_study(context: SearchContext, resume: bool) -> optuna.Study:
    """Make the study of a plan, or recover it, move it to a wider space if need be, and go on.

    Drivers that work on it together do this one after the other.

    Raises:
        StudyExists: it exists and `resume` is False.
        StudyMismatch: it fits another plan, registry or version.
        MissingPlugin: it needs a plug-in that is not loaded.
    """
    plan = context.plan
    study, number = latest(context.storage, plan)
    if study is not None:
        refuse_missing(f"study {plan.study!r}", in_storage(study.user_attrs))
        collect_records(study, context)
    trials = len(_briefs(study, context)) if study else len(context.store.all())
    if not resume and (study is not None or trials):
        raise StudyExists(plan.study, trials)
    if study is None:
        earlier = read_all_earlier(context)  # before there is a study: a name may be wrong
        study = create(context.storage, plan.study, _directions(context))
        _add_missing_trials(study, context)
        take_earlier(study, context, earlier)
        _enqueue(study, context)
        _mark_ready(study, context)
    else:
        _refuse_other_plan(study, context)
        recover_stale(stale_trials(study, context), study, context)
        _add_missing_trials(study, context)
        differences = changes(study, context.space)
        if differences and not context.lock.alone:
            differences.append("other drivers are at work without that")
            raise StudyMismatch(plan.study, differences)
        if differences:
            name = generation(plan.study, number + 1)
            before = earlier_attributes(study)
            study = migrate(study, name, context.storage, context.space, context.store)
            for key, value in before.items():
                study.set_user_attr(key, value)
            _mark_ready(study, context)
            text = f"the space has changed ({'; '.join(differences)}): going on as {name}"
            context.listener.message(text)
        take_earlier(study, context)
        _enqueue(study, context)
    existing = len(_briefs(study, context))
    study.sampler = make_sampler(plan, context.space, existing, _drivers_before(study, context))
    return study


def check_stored(plan: SearchPlan) -> None:
    """See that this process has the plug-ins that a study in a storage of its own needs.

    Raises:
        MissingPlugin: it has not.
    """
    if plan.storage is None or not exists(plan.storage):
        return
    with suppress(StorageProblem), open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        if study is not None:
            refuse_missing(f"study {plan.study!r}", in_storage(study.user_attrs))


def _drivers_before(study: optuna.Study, context: SearchContext) -> int:
    """How many drivers have joined before this one; 0 for one that does not join."""
    if not context.plan.join:
        return 0
    before = int(study.user_attrs.get(_JOINED, 0))
    study.set_user_attr(_JOINED, before + 1)
    return before


def _directions(context: SearchContext) -> list[StudyDirection]:
    return [StudyDirection[o.direction.upper()] for o in context.objectives]


def _add_missing_trials(study: optuna.Study, context: SearchContext) -> None:
    """Add a trial for every record of a trial that the storage has lost."""
    known = {trial.attributes.get(RUN) for trial in _standing(study, context)}
    missing = [r for r in context.store.all() if r.proposer and r.key not in known]
    for record in missing:
        add_record(study, record, context)
    if missing:
        context.listener.message(f"{len(missing)} trials are taken from the records into the study")


def _standing(study: optuna.Study, context: SearchContext) -> list[TrialBrief]:
    """The trials that stand for their run: not those ended for another try before their record."""
    trials = _briefs(study, context)
    if not context.publishes:
        return trials
    published = attribute_values(context.storage, study_id(study), RECORD, ())
    return [t for t in trials if t.state != TrialState.FAIL or t.id in published]


def _briefs(study: optuna.Study, context: SearchContext) -> list[TrialBrief]:
    """All trials of a study, which one need not read whole."""
    index = TrialIndex(context.storage, study_id(study), COUNTED, "variant")
    index.refresh()
    return list(index.trials.values())


def _enqueue(study: optuna.Study, context: SearchContext) -> None:
    """Let every variant take part once with its defaults, then the wishes.

    The baseline comes first, and after it what earlier studies have found best.
    """
    trials = _briefs(study, context)
    begun = sum(
        RETRIED not in trial.attributes and not is_untrained(trial.attributes) for trial in trials
    )
    known = {trial.attributes.get(name) for trial in trials for name in (DEFAULT, WISH, EARLIER)}
    missing = [
        (context.space.defaults(name), {DEFAULT: name})
        for name in context.space.variants
        if name not in known
    ]
    defaults = map(context.space.defaults, context.space.variants)
    earlier = first_tried(known_earlier(study), context.plan.trials, defaults)
    missing[1:1] = [(t.params, {EARLIER: t.hash}) for t in earlier if t.hash not in known]
    for wish in context.space.wishes:
        name = hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()[:16]
        missing += [(wish, {WISH: name})] if name not in known else []
    most = context.plan.trials  # None where the time decides
    untrained = beyond_by_default(context.space).keys() - {context.plan.baseline}
    for params, attributes in missing:
        if most is not None and begun >= most:
            return
        study.enqueue_trial(params, user_attrs={ENQUEUED: params, **attributes})
        begun += attributes.get(DEFAULT) not in untrained


def _mark_ready(study: optuna.Study, context: SearchContext) -> None:
    for name, value in fingerprint(context.space).items():
        study.set_user_attr(name, value)
    study.set_user_attr(_IDENTITY, _identity(context))
    study.set_user_attr(READY, FORMAT)


def _identity(context: SearchContext) -> dict[str, Any]:
    # What must not change between the parts of a search, or its trials cannot be compared.
    names = {"task", "seed", "split_seed", "train_steps", "fairness", "seconds", "baseline", "fix"}
    identity = context.plan.model_dump(mode="json", include=names)
    task = context.space.task.model_dump(mode="json", include={"options", "model", "training"})
    for part, fields in task.items():
        identity |= {f"task {part} {name}": value for name, value in fields.items()}
    objectives = [objective.name for objective in context.objectives]
    for name, before in _LATER.items():
        if (value := getattr(context.plan, name) or before) != before:
            identity[name] = value
    if (own := context.space.reference().own_model) is not None:
        identity["model"] = own.shown
    return {**identity, "objectives": objectives, "task class": context.space.task.class_}


def _refuse_other_plan(study: optuna.Study, context: SearchContext) -> None:
    # What a specification could not say in the days of the study was at its default.
    absent = {**_LATER, "model": None}
    before = {**_defaults(), **absent, **study.user_attrs[_IDENTITY]}
    now = {**absent, **_identity(context)}
    differences = [
        f"{name} was {before.get(name)!r}, is {now[name]!r}"
        for name in now
        if before.get(name) != now[name]
    ]
    if differences:
        raise StudyMismatch(study.study_name, differences)


def _defaults() -> dict[str, Any]:
    return {
        f"task {part} {name}": field.get_default()
        for part, spec in (("model", ModelSpec), ("training", TrainingSpec))
        for name, field in spec.model_fields.items()
        if not field.is_required()
    }
