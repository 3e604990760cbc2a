"""The study on disk or in a database: opening it quietly, finding its newest generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from attenergy.search.errors import StorageProblem, StudyMismatch
from attenergy.search.objectives import Direction
from attenergy.search.plan import SearchPlan

READY = "ready"  # user attribute of a study: the format it was set up in, once it was to the end
#: Raised when studies of older versions can no longer be resumed.
FORMAT = 2


@contextmanager
def open_storage(plan: SearchPlan) -> Iterator[RDBStorage]:
    """Open the storage of a plan, `study.db` in its folder by default; close it at the end.

    Optuna's own log is silenced meanwhile: the listener tells what happens.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(plan.folder)
    folder.mkdir(parents=True, exist_ok=True)
    url = plan.storage or f"sqlite:///{folder / 'study.db'}"
    storage: RDBStorage | None = None
    try:
        storage = RDBStorage(url)
        _without_waiting_for_the_disk(storage)
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageProblem(shown_url(url) or "", _first_line(error)) from error
    except RuntimeError as error:
        if storage is not None:
            raise
        # tables of another version of Optuna
        raise StorageProblem(shown_url(url) or "", _first_line(error)) from error
    except ImportError as error:
        if storage is not None:
            raise
        text = f"its driver is not installed ({error}); pip install attenergy[postgres]"
        raise StorageProblem(shown_url(url) or "", text) from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _without_waiting_for_the_disk(storage: RDBStorage) -> None:
    """Let SQLite write ahead: a killed process loses nothing, and a trial costs no 200 ms.

    If the machine itself goes down, the last trials may be missing; their records are not, and
    opening the study brings them back from there. Other databases are left as they are.
    """
    engine = storage.engine
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode == "wal":  # some network file systems cannot
            connection.execute("PRAGMA synchronous=NORMAL")

    storage.remove_session()
    engine.dispose()


def shown_url(url: str | None) -> str | None:
    """The address of a storage without its password."""
    if url is None:
        return None
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given storage URL"


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    text = str(getattr(cause or error, "orig", None) or cause or error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def generation(name: str, number: int) -> str:
    """Name the study's n-th generation: `name`, `name@2`, `name@3`, ..."""
    return name if number == 1 else f"{name}@{number}"


def latest(storage: RDBStorage, plan: SearchPlan) -> tuple[optuna.Study | None, int]:
    """Find the newest generation that was set up to the end, and its number; None, 0 if none.

    A generation whose making was cut short is deleted: its predecessor still holds everything.

    Raises:
        StudyMismatch: if somebody else's study has the name, or one in another format.
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
        if ready != FORMAT:
            raise StudyMismatch(name, [_other_format(ready)])
        newest = (study, number)
        number += 1
    return newest


def _other_format(ready: object) -> str:
    return (
        f"it has the format {1 if ready is True else ready} of another version of attenergy, "
        f"this one writes {FORMAT}"
    )


def create(storage: RDBStorage, name: str, directions: Sequence[Direction]) -> optuna.Study:
    """Make a study that is not ready yet."""
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    study.set_user_attr(READY, False)
    return study
