"""What a driver does when its database server goes away for a while: it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from attenergy.search.runs.errors import TurnLost
from attenergy.search.runs.events import Listener
from attenergy.search.storage.database import is_server
from attenergy.search.storage.study_lock import StudyLock

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # s


class RetryOnOutage:
    """Does what needs the storage, and does it again when a server was away in the meantime.

    Runs go on meanwhile. What is done must bear to be done again after having been broken off. A
    file that cannot be read or written is an error at once.

    Attributes:
        interrupted: whether anything was ever broken off, so that trials may have been left behind.

    Args:
        storage: what may be away.
        lock: of the study, which is taken again once the storage is back.
        listener: is told that the storage is away, and that it is back.
        seconds: how long a server may be away.
    """

    def __init__(
        self, storage: RDBStorage, lock: StudyLock, listener: Listener, seconds: float = 300.0
    ) -> None:
        self.interrupted = False
        self._storage, self._lock, self._listener = storage, lock, listener
        self._seconds = seconds

    def __call__(self, action: Callable[[], T]) -> T:
        """Do it; the last error if the server stays away."""
        begin, pause = time.monotonic(), _FIRST_PAUSE
        away = False
        while True:
            try:
                if away:
                    self._lock.renew()
                result = action()
            except (SQLAlchemyError, StorageInternalError, TurnLost) as error:
                if not (is_server(self._storage) and is_away(error)):
                    raise
                if time.monotonic() - begin > self._seconds:
                    raise
                if not away:
                    self._listener.message(
                        f"the storage does not answer; trying again for {self._seconds / 60:g} "
                        "minutes"
                    )
                away = self.interrupted = True
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if away:
                    self._listener.message("the storage answers again")
                return result


class Retrying(Protocol):
    """An object whose methods need the storage."""

    retry: RetryOnOutage


R = TypeVar("R", bound=Retrying)


def retrying(method: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Decorate a method that needs the storage: it is called again by its object's `retry`."""

    @wraps(method)
    def with_retry(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.retry(lambda: method(self, *args, **kwargs))

    return with_retry


def is_away(error: BaseException) -> bool:
    """Whether an error means that the server is gone, rather than that it refuses something."""
    kinds = (OperationalError, InterfaceError, PendingRollbackError, TurnLost)
    return any(
        isinstance(cause, kinds) or (isinstance(cause, DBAPIError) and cause.connection_invalidated)
        for cause in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
