"""Locks that end with their process: of a file, and of a PostgreSQL server."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from attenergy.search.storage.database import no_driver


class Lock(Protocol):
    """A lock that ends with its process, however that ends."""

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire it if it is free, exclusive or shared; a holder may change which. Never waits."""

    def release(self) -> None:
        """Release it."""

    def renew(self) -> bool:
        """Acquire it again if it was held and has been lost; whether it is held as before."""


class FileLock:
    """A lock on a file of this machine, or of a shared file system that has such locks.

    Where the system has none (Windows) it is always free.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire it if it is free."""
        if sys.platform == "win32":
            return True
        import fcntl

        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release it; it can be acquired again."""
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_UN)

    def renew(self) -> bool:
        """Always true: a file lock is not lost before its process ends."""
        return True

    def close(self) -> None:
        """Close the file, which releases the lock."""
        self._file.close()


class Connection:
    """One open connection to a database, which can be made anew when it has broken.

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

    def scalar(self, statement: str, **values: Any) -> Any:
        """Execute a statement; the first value of its first row."""
        return self._connection.execute(text(statement), values).scalar()

    def renew(self) -> None:
        """Connect again if the connection has broken."""
        if self._connection.invalidated or self._connection.closed:
            self.close()
            self._connection = self._engine.connect()

    def close(self) -> None:
        """Close the connection, which releases every lock that it holds."""
        with suppress(SQLAlchemyError):
            self._connection.close()
        self._engine.dispose()


class PostgresLock:
    """An advisory lock of a PostgreSQL server; it ends with the connection.

    Args:
        connection: to the server; only one thread may use it.
        name: what is locked.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        digest = hashlib.sha256(f"attenergy {name}".encode()).digest()
        self._connection = connection
        self._key = int.from_bytes(digest[:8], signed=True)
        self._kinds: list[str] = []

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire it if it is free."""
        kind = "_shared" if shared else ""
        if not self._call(f"pg_try_advisory_lock{kind}"):
            return False
        held, self._kinds = self._kinds, [kind]
        self._unlock(held)
        return True

    def release(self) -> None:
        """Release it."""
        held, self._kinds = self._kinds, []
        self._unlock(held)

    def renew(self) -> bool:
        """Acquire it again, exclusive or shared as it was held."""
        self._connection.renew()
        held, self._kinds = self._kinds, []
        return not held or self.acquire(shared=held == ["_shared"])

    def _unlock(self, kinds: list[str]) -> None:
        for kind in kinds:
            self._call(f"pg_advisory_unlock{kind}")

    def _call(self, function: str) -> bool:
        return bool(self._connection.scalar(f"SELECT {function}(:key)", key=self._key))
