"""Who may be at work on a study: one driver alone, or several that take turns."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from attenergy.search.runs.errors import CannotJoin, StudyBusy, StudyStuck, TurnLost
from attenergy.search.study.storage.database import no_driver

#: Seconds after which a turn that another driver does not end is an error. Turns last a fraction
#: of a second, and the system ends them with the process that has one.
PATIENCE = 60.0


class Lock(Protocol):
    """A lock that ends with its process, however that ends."""

    def take(self, *, shared: bool = False) -> bool:
        """Take it if it is free, alone or beside other holders; a holder may change its kind."""

    def release(self) -> None:
        """Let go of it."""

    def renew(self) -> bool:
        """Hold it again if it was held and is lost; whether that could be done."""


class FileLock:
    """A lock on a file of this machine, or of a shared file system that has such locks.

    Where the system has none (Windows) it is always free.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")

    def take(self, *, shared: bool = False) -> bool:
        """Take it if it is free."""
        if sys.platform == "win32":
            return True
        import fcntl

        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go of it; it can be taken again."""
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_UN)

    def renew(self) -> bool:
        """It is never lost."""
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Line:
    """A connection to a database that is kept, made anew when it has broken.

    Raises:
        SQLAlchemyError: the database does not answer.
        StorageProblem: the package that speaks to it is missing.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        except ImportError as error:
            raise no_driver(url, error) from error
        self._connection = self._engine.connect()

    def ask(self, statement: str, **values: Any) -> Any:
        """The first value of the answer."""
        return self._connection.execute(text(statement), values).scalar()

    def renew(self) -> None:
        """Connect again if the connection has broken."""
        if self._connection.invalidated or self._connection.closed:
            self.close()
            self._connection = self._engine.connect()

    def close(self) -> None:
        """End the connection, and every lock that it holds."""
        with suppress(SQLAlchemyError):
            self._connection.close()
        self._engine.dispose()


class PostgresLock:
    """An advisory lock of a PostgreSQL server; it ends with the connection.

    Args:
        line: to the server; only one thread uses it.
        name: what is locked.
    """

    def __init__(self, line: Line, name: str) -> None:
        digest = hashlib.sha256(f"attenergy {name}".encode()).digest()
        self._line = line
        self._key = int.from_bytes(digest[:8], signed=True)
        self._kinds: list[str] = []

    def take(self, *, shared: bool = False) -> bool:
        """Take it if it is free."""
        kind = "_shared" if shared else ""
        if not self._ask(f"pg_try_advisory_lock{kind}"):
            return False
        held, self._kinds = self._kinds, [kind]
        for other in held:
            self._ask(f"pg_advisory_unlock{other}")
        return True

    def release(self) -> None:
        """Let go of it."""
        held, self._kinds = self._kinds, []
        for kind in held:
            self._ask(f"pg_advisory_unlock{kind}")

    def renew(self) -> bool:
        """Take it again, as it was held."""
        self._line.renew()
        held, self._kinds = self._kinds, []
        return not held or self.take(shared=held == ["_shared"])

    def _ask(self, function: str) -> bool:
        return bool(self._line.ask(f"SELECT {function}(:key)", key=self._key))


class Presence:
    """This driver's place at a study.

    Attributes:
        joined: whether other drivers may be at work too.
        alone: whether no other is, as far as can be known: only until `admit_others`.
    """

    def __init__(self, study: str, joined: bool, locks: list[Lock], turn: Lock | None) -> None:
        self.joined, self.alone = joined, not joined
        self._study, self._locks, self._turn = study, locks, turn
        if joined and turn is None:
            raise CannotJoin("they take turns at a PostgreSQL storage, or at an SQLite file")

    def take(self) -> None:
        """Take the place: alone if nobody is there, else beside the others if that was asked for.

        Raises:
            StudyBusy: somebody is there who wants to be alone, or this driver does.
        """
        self.alone = True
        for lock in self._locks:
            if lock.take():
                continue
            self.alone = False
            if not (self.joined and lock.take(shared=True)):
                raise StudyBusy(self._study, self.joined)

    def admit_others(self) -> None:
        """From now on others may join, if this driver has joined itself."""
        if self.joined:
            for lock in self._locks:
                lock.take(shared=True)
            self.alone = False

    def renew(self) -> None:
        """Take the place again after the storage was away.

        Raises:
            StudyBusy: somebody else has taken it in the meantime.
        """
        if not all(lock.renew() for lock in self._locks):
            raise StudyBusy(self._study, self.joined)

    def check_turn(self) -> None:
        """Raise TurnLost, or the storage's error, if the turn is no longer this driver's."""
        if self.joined and self._turn is not None and not self._turn.take():
            raise TurnLost(self._study)

    def turn(self) -> AbstractContextManager[None]:
        """What stands inside happens while no other driver has its turn; not to be nested.

        Raises:
            StudyStuck: another driver does not end its turn.
        """
        if not self.joined or self._turn is None:
            return nullcontext()
        return _held(self._turn, self._study)


@contextmanager
def _held(lock: Lock, study: str) -> Iterator[None]:
    begin, pause = time.monotonic(), 0.002
    while not lock.take():
        if time.monotonic() - begin > PATIENCE:
            raise StudyStuck(study, PATIENCE)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # then the connection is gone, and the turn with it
            lock.release()


@contextmanager
def presence(folder: Path, url: str, study: str, *, join: bool) -> Iterator[Presence]:
    """A driver's place at a study; the system gives it up when the process ends, however.

    The folder of the study and the study in its storage are both locked. Studies in PostgreSQL
    can be shared by drivers anywhere, those in an SQLite file by drivers on the same machine.

    Raises:
        CannotJoin: drivers cannot take turns at such a storage.
    """
    with ExitStack() as stack:

        def file_lock(path: Path) -> FileLock:
            lock = FileLock(path)
            stack.callback(lock.close)
            return lock

        folder.mkdir(parents=True, exist_ok=True)
        locks: list[Lock] = [file_lock(folder / ".lock")]
        turn: Lock | None = None
        place = make_url(url)
        if place.get_backend_name() == "postgresql":
            line = Line(url)
            stack.callback(line.close)
            locks.append(PostgresLock(line, f"presence {study}"))
            turn = PostgresLock(line, f"turn {study}")
        elif (base := _sqlite_file(place)) is not None:
            locks.append(file_lock(base.with_name(f".{base.name}.lock")))
            turn = file_lock(base.with_name(f".{base.name}.turn"))
        yield Presence(study, join, locks, turn)


def _sqlite_file(place: URL) -> Path | None:
    """The file of an SQLite storage, where it can be locked."""
    if place.get_backend_name() != "sqlite" or not place.database or sys.platform == "win32":
        return None
    path = Path(place.database).absolute()
    return path if path.parent.is_dir() else None  # else opening the storage tells what is wrong
