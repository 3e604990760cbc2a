"""The study on disk: opening it quietly, finding its newest generation, choosing a sampler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage

from attenergy.search.errors import StudyMismatch
from attenergy.search.plan import SearchPlan

READY = "ready"  # user attribute of a study: whether it was set up to the end


@contextmanager
def open_storage(plan: SearchPlan) -> Iterator[RDBStorage]:
    """Open the storage of a plan, `study.db` in its folder by default; close it at the end.

    Optuna's own log is silenced meanwhile: the listener tells what happens.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(plan.folder)
    folder.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(plan.storage or f"sqlite:///{folder / 'study.db'}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def generation(name: str, number: int) -> str:
    """Name the study's n-th generation: `name`, `name@2`, `name@3`, ..."""
    return name if number == 1 else f"{name}@{number}"


def latest(storage: RDBStorage, plan: SearchPlan) -> tuple[optuna.Study | None, int]:
    """Find the newest generation that was set up to the end, and its number; None, 0 if none.

    A generation whose making was cut short is deleted: its predecessor still holds everything.

    Raises:
        StudyMismatch: if somebody else's study has the name.
    """
    names = set(optuna.study.get_all_study_names(storage))
    newest: tuple[optuna.Study | None, int] = (None, 0)
    number = 1
    while generation(plan.study, number) in names:
        name = generation(plan.study, number)
        study = optuna.load_study(study_name=name, storage=storage)
        ready = study.user_attrs.get(READY)
        if ready is None and study.get_trials(deepcopy=False):
            raise StudyMismatch(name, ["it was not made by a search of this toolkit"])
        if not ready:
            optuna.delete_study(study_name=name, storage=storage)
            break
        newest = (study, number)
        number += 1
    return newest


def create(storage: RDBStorage, name: str) -> optuna.Study:
    """Make a study that is to be maximised and is not ready yet."""
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    study.set_user_attr(READY, False)
    return study


def make_sampler(plan: SearchPlan, existing: int) -> BaseSampler:
    """Make the plan's sampler, seeded by the plan's seed and by how many trials exist.

    A sampler that started from the seed alone would repeat its first draws after every resume.
    """
    seed = int(np.random.SeedSequence([plan.seed, existing]).generate_state(1)[0])
    if plan.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message="Argument ``group`` is an experimental feature",
            category=optuna.exceptions.ExperimentalWarning,
        )
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
