"""The study on disk or in a database: opening it quietly, finding its newest generation."""

from __future__ import annotations

import re
import sqlite3
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from attenergy.registry.files import open_regular
from attenergy.search.runs.errors import DamagedDatabase, StorageProblem, StudyMismatch

READY = "ready"  # user attribute of a study: the format it was set up in, once it was to the end
#: Raised when studies of older versions can no longer be resumed.
FORMAT = 3
#: What every version of Optuna keeps of a study, and a search has written.
TABLES = (
    "studies",
    "trials",
    "study_user_attributes",
    "trial_user_attributes",
    "trial_params",
    "trial_values",
    "study_directions",
)
_SEARCH = Path(__file__).parents[1]
_DAMAGE = re.compile(
    "no such (table|column)|malformed|not a database|database schema", re.IGNORECASE
)


class StudyPlace(Protocol):
    """Where a study is: what a plan says of it."""

    @property
    def study(self) -> str:
        """Its name in the storage."""

    @property
    def folder(self) -> str:
        """Of its files."""

    @property
    def storage(self) -> str | None:
        """URL of its storage; None for a file in the folder."""

    @property
    def heartbeat(self) -> int:
        """Seconds between two heartbeats of a driver."""


def url_of(plan: StudyPlace) -> str:
    """Where the study of a plan lies: `study.db` in its folder by default."""
    return plan.storage or f"sqlite:///{Path(plan.folder) / 'study.db'}"


class UnreadableRows(Exception):
    """Rows of a storage that no search has written."""


@contextmanager
def problems_with(url: str) -> Iterator[None]:
    """Tell what goes wrong with a storage as a StorageProblem."""
    try:
        yield
    except StorageProblem:
        raise
    except Exception as error:
        if not isinstance(error, (SQLAlchemyError, StorageInternalError)):
            if not (isinstance(error, UnreadableRows) or _of_storage(error)):
                raise
            # What no search has written: a state that there is not, a text that is no JSON.
            cause = error.__cause__ if isinstance(error, UnreadableRows) else error
            raise _damaged(url, f"{type(cause).__name__}: {_first_line(error)}") from error
        reason = _first_line(error)
        if _DAMAGE.search(reason):
            raise _damaged(url, reason) from error
        raise StorageProblem(shown_url(url) or "", reason) from error


def _damaged(url: str, reason: str) -> StorageProblem:
    """What to say of a database that can be opened and not be read."""
    place = make_url(url)
    if place.get_backend_name() != "sqlite":
        return StorageProblem(shown_url(url) or "", f"it is damaged: {reason}")
    return DamagedDatabase(place.database or "", reason)


def _of_storage(error: BaseException) -> bool:
    """Whether an error comes from reading a storage, not from the search that asked it to."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [index for index, frame in enumerate(frames) if _SEARCH in Path(frame.filename).parents]
    names = (Path(frame.filename).as_posix() for frame in frames[max(ours, default=-1) + 1 :])
    return any("/optuna/storages/" in name or "/sqlalchemy/" in name for name in names)


@contextmanager
def open_storage(plan: StudyPlace) -> Iterator[RDBStorage]:
    """Open the storage of a plan; close it at the end.

    Optuna's own log is silenced meanwhile: the listener tells what happens.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Path(plan.folder).mkdir(parents=True, exist_ok=True)
    url = url_of(plan)
    storage: RDBStorage | None = None
    try:
        with problems_with(url):
            _check_tables(url)
            storage = _made(url)
            yield storage
    finally:
        if storage is not None:
            close(storage)
        optuna.logging.set_verbosity(verbosity)


def with_heartbeat(plan: StudyPlace) -> RDBStorage:
    """Another way into an open storage, for heartbeats alone; to be closed by its user.

    Optuna warns of every trial that is asked of a study whose storage has a heartbeat.
    """
    beat = plan.heartbeat
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _made(url_of(plan), heartbeat_interval=beat, grace_period=3 * beat)


def close(storage: RDBStorage) -> None:
    """End every connection of a storage."""
    storage.remove_session()
    storage.engine.dispose()


def _check_tables(url: str) -> None:
    """Refuse a file that lacks what a study has: Optuna would make it anew, empty."""
    place = make_url(url)
    path = Path(place.database or "")
    if place.get_backend_name() != "sqlite" or not path.exists():
        return
    try:
        open_regular(path).close()
    except OSError as error:
        raise StorageProblem(place.database or "", str(error.strerror)) from error
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            known = {name for (name,) in rows}
    except sqlite3.Error as error:
        if _DAMAGE.search(str(error)):
            raise _damaged(url, str(error)) from error
        return  # locked or unreadable: opening it says so
    if lost := [table for table in TABLES if known and table not in known]:
        raise _damaged(url, f"it has no table {', '.join(lost)}")


def _made(url: str, **options: int) -> RDBStorage:
    try:
        ping = {} if make_url(url).get_backend_name() == "sqlite" else {"pool_pre_ping": True}
        storage = RDBStorage(url, engine_kwargs=ping, **options)  # type: ignore[arg-type]
        _without_waiting_for_the_disk(storage)
        return storage
    except RuntimeError as error:  # tables of another version of Optuna
        raise _damaged(url, _first_line(error)) from error
    except ImportError as error:
        raise no_driver(url, error) from error


def no_driver(url: str, error: ImportError) -> StorageProblem:
    """What is wrong if the package that speaks to a database is missing."""
    text = f"its driver is not installed ({error}); pip install attenergy[postgres]"
    return StorageProblem(shown_url(url) or "", text)


def exists(url: str) -> bool:
    """Whether there is a storage to look into; of a server, only a connection can tell."""
    place = make_url(url)
    return place.get_backend_name() != "sqlite" or Path(place.database or "").is_file()


def is_server(storage: RDBStorage) -> bool:
    """Whether it is a database server, which may go away and come back."""
    return storage.engine.dialect.name != "sqlite"


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
        connection.execute("PRAGMA busy_timeout=60000")  # several drivers may write
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


def latest(storage: RDBStorage, plan: StudyPlace) -> tuple[optuna.Study | None, int]:
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


def newest_generation(storage: RDBStorage, name: str) -> int | None:
    """The id of the newest generation of a study that was set up to the end; None if none.

    Unlike `latest` it changes nothing.
    """
    ready = {study.study_name for study in storage.get_all_studies() if study.user_attrs.get(READY)}
    number = 0
    while generation(name, number + 1) in ready:
        number += 1
    return storage.get_study_id_from_name(generation(name, number)) if number else None


def _other_format(ready: object) -> str:
    return (
        f"it has the format {1 if ready is True else ready} of another version of attenergy, "
        f"this one writes {FORMAT}"
    )


def create(storage: RDBStorage, name: str, directions: Sequence[StudyDirection]) -> optuna.Study:
    """Make a study that is not ready yet."""
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    study.set_user_attr(READY, False)
    return study
