"""Who may work on a study: one driver alone, or several that exclude each other for moments."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from attenergy.search.runs.errors import CannotJoin, StudyBusy, StudyStuck, TurnLost
from attenergy.search.storage.locks import Connection, FileLock, Lock, PostgresLock

#: Seconds to wait for a driver that has the study exclusively; a longer wait is an error. Drivers
#: have it for a fraction of a second, and the system releases it when their process ends.
LONGEST_WAIT = 60.0
#: In a study's folder, held by the drivers that work on it.
LOCK = ".lock"


class StudyLock:
    """Lets one driver work on a study, or several that have all asked to join.

    Two things are locked: for as long as a driver works, the study (`acquire`), by one driver or
    shared by all that join; and for moments, whatever reads the study and then changes it
    (`exclusive`).

    Args:
        study: its name, for messages.
        joined: whether other drivers may work beside this one.
        locks: held while this driver works: one of the folder, one of the storage if it has any.
        moment: held inside `exclusive`; None where drivers cannot exclude each other.

    Attributes:
        joined: whether other drivers may be at work too.
        alone: whether no other is, as far as can be known: only until `admit_others`.

    Raises:
        CannotJoin: the driver is to join where drivers cannot exclude each other.
    """

    def __init__(self, study: str, joined: bool, locks: list[Lock], moment: Lock | None) -> None:
        self.joined, self.alone = joined, not joined
        self._study, self._locks, self._moment = study, locks, moment
        if joined and moment is None:
            raise CannotJoin("they take turns at a PostgreSQL storage, or at an SQLite file")

    def acquire(self) -> None:
        """Acquire the study: alone if no driver has it, else shared if this driver joins.

        Raises:
            StudyBusy: another driver has it and one of the two does not join.
        """
        self.alone = True
        for lock in self._locks:
            if lock.acquire():
                continue
            self.alone = False
            if not (self.joined and lock.acquire(shared=True)):
                raise StudyBusy(self._study, self.joined)

    def admit_others(self) -> None:
        """Share the study from now on, if this driver joins."""
        if self.joined:
            for lock in self._locks:
                lock.acquire(shared=True)
            self.alone = False

    def renew(self) -> None:
        """Acquire the study again after the storage was away.

        Raises:
            StudyBusy: another driver has acquired it in the meantime.
        """
        if not all(lock.renew() for lock in self._locks):
            raise StudyBusy(self._study, self.joined)

    def check_exclusive(self) -> None:
        """Raise TurnLost, or the storage's error, if the moment's lock is no longer held."""
        if self.joined and self._moment is not None and not self._moment.acquire():
            raise TurnLost(self._study)

    def exclusive(self) -> AbstractContextManager[None]:
        """A context in which no other driver is inside `exclusive`; must not be nested.

        Raises:
            StudyStuck: another driver does not leave it.
        """
        if not self.joined or self._moment is None:
            return nullcontext()
        return _held(self._moment, self._study)


@contextmanager
def _held(lock: Lock, study: str) -> Iterator[None]:
    begin, pause = time.monotonic(), 0.002
    while not lock.acquire():
        if time.monotonic() - begin > LONGEST_WAIT:
            raise StudyStuck(study, LONGEST_WAIT)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # the connection is gone, and the lock with it
            lock.release()


@contextmanager
def study_lock(folder: Path, url: str, study: str, *, join: bool) -> Iterator[StudyLock]:
    """The lock of a study, not acquired yet; the system releases it when the process ends, however.

    The folder of the study and the study in its storage are both locked. Studies in PostgreSQL
    can be shared by drivers anywhere, those in an SQLite file by drivers on the same machine.

    Raises:
        CannotJoin: drivers cannot exclude each other at such a storage.
    """
    with ExitStack() as stack:

        def file_lock(path: Path) -> FileLock:
            lock = FileLock(path)
            stack.callback(lock.close)
            return lock

        folder.mkdir(parents=True, exist_ok=True)
        locks: list[Lock] = [file_lock(folder / LOCK)]
        moment: Lock | None = None
        address = make_url(url)
        # Drivers of earlier versions lock by these names too: "presence" and "turn".
        if address.get_backend_name() == "postgresql":
            connection = Connection(url)
            stack.callback(connection.close)
            locks.append(PostgresLock(connection, f"presence {study}"))
            moment = PostgresLock(connection, f"turn {study}")
        elif (base := _sqlite_file(address)) is not None:
            locks.append(file_lock(base.with_name(f".{base.name}.lock")))
            moment = file_lock(base.with_name(f".{base.name}.turn"))
        yield StudyLock(study, join, locks, moment)


def _sqlite_file(address: URL) -> Path | None:
    """The file of an SQLite storage, where it can be locked."""
    if address.get_backend_name() != "sqlite" or not address.database or sys.platform == "win32":
        return None
    path = Path(address.database).absolute()
    return path if path.parent.is_dir() else None  # else opening the storage tells what is wrong
