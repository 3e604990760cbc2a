"""What a driver does when its database server goes away for a while: it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from attenergy.search.runs.errors import TurnLost
from attenergy.search.study.attributes import Setup
from attenergy.search.study.storage.database import is_server

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # s


class Patience:
    """Does what needs the storage, and does it again when a server was away in the meantime.

    Runs go on meanwhile. What is done must bear to be done again after having been broken off. A
    file that cannot be read or written is an error at once.

    Attributes:
        tried: whether anything was ever broken off, so that trials may have been left behind.

    Args:
        setup: what the search stands on.
        seconds: how long a server may be away.
    """

    def __init__(self, setup: Setup, seconds: float = 300.0) -> None:
        self.tried = False
        self._setup, self._seconds = setup, seconds

    def __call__(self, action: Callable[[], T]) -> T:
        """Do it; the last error if the server stays away."""
        setup, begin, pause = self._setup, time.monotonic(), _FIRST_PAUSE
        away = False
        while True:
            try:
                if away:
                    setup.presence.renew()
                done = action()
            except (SQLAlchemyError, StorageInternalError, TurnLost) as error:
                if not (is_server(setup.storage) and is_away(error)):
                    raise
                if time.monotonic() - begin > self._seconds:
                    raise
                if not away:
                    setup.listener.message(
                        f"the storage does not answer; trying again for {self._seconds / 60:g} "
                        "minutes"
                    )
                away = self.tried = True
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if away:
                    setup.listener.message("the storage answers again")
                return done


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
