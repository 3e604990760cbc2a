"""What asks this process to end, told apart from what a library raises inside a run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

#: From the keyboard, from `kill` or a batch system, and from a terminal that goes away.
ALL = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Ended(KeyboardInterrupt):
    """A signal asked this process to end; everything is put in order on the way out.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)

    def __str__(self) -> str:
        return signal.Signals(self.number).name


class SignalHandler:
    """The handler of signals: raises `Ended`.

    Attributes:
        number: of the first signal that came; None if none has.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self, number: int, frame: Any) -> None:
        """Handle a signal; a handler that the program had before has its say."""
        self.number = self.number or number
        before = self._before.get(number)
        if callable(before) and before is not signal.default_int_handler:
            try:
                before(number, frame)
            except KeyboardInterrupt:
                _CAME.append(number)
                raise Ended(number) from None
            return
        _CAME.append(number)
        raise Ended(number)

    def install(self, numbers: tuple[int, ...]) -> None:
        """Handle these from now on, but for what is ignored (as `nohup` does) or handled so."""
        for number in numbers:
            before = signal.getsignal(number)
            if before not in (signal.SIG_IGN, None) and not isinstance(before, SignalHandler):
                self._before[number] = signal.signal(number, self)

    def restore(self) -> None:
        """Give the handlers back that were there before."""
        for number, before in self._before.items():
            signal.signal(number, before)


_INSTALLED: list[SignalHandler] = []  # those at work now, innermost last
_CAME: list[int] = []  # signals that have raised since the first of them began to


def check() -> None:
    """Raise `Ended` again if a library, or Python in a destructor, has swallowed it."""
    if _CAME and _main():
        raise Ended(_CAME[0])


@contextmanager
def listening(*numbers: int) -> Iterator[SignalHandler]:
    """Let signals raise `Ended` meanwhile; elsewhere than in the main thread nothing changes."""
    handler = SignalHandler()
    if not _main():
        yield handler
        return
    _INSTALLED.append(handler)
    handler.install(numbers)
    try:
        yield handler
    finally:
        handler.restore()
        _INSTALLED.remove(handler)
        if not _INSTALLED:
            _CAME.clear()


def from_outside(error: KeyboardInterrupt) -> bool:
    """Whether somebody wants this process to end, or a library has raised the error by itself.

    A signal reaches the main thread alone. Where `listening` is at work it has a kind of its own,
    and where it is ignored, as in worker processes, it does not come at all.
    """
    if isinstance(error, Ended):
        return True
    handler = signal.getsignal(signal.SIGINT)
    return _main() and not isinstance(handler, SignalHandler) and handler is not signal.SIG_IGN


@contextmanager
def deferred() -> Iterator[None]:
    """Hold signals back until the end of what must not be broken off in the middle.

    Blocking them for the thread would not do: another thread of the process takes them then.
    """
    if not _main():
        yield
        return
    came: list[int] = []
    note: Callable[[int, Any], None] = lambda number, _: came.append(number)  # noqa: E731
    before = {number: signal.getsignal(number) for number in ALL}
    handled = [number for number, handler in before.items() if callable(handler)]
    for number in handled:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
        if came:
            signal.raise_signal(came[0])


@contextmanager
def exits_raise() -> Iterator[None]:
    """Let `os._exit` of a library, which nothing survives, raise SystemExit in this thread.

    In other threads, and in processes that a library forks, it is what it was.
    """
    real, process, thread = os._exit, os.getpid(), threading.get_ident()

    def caught(status: int) -> NoReturn:
        if os.getpid() != process or threading.get_ident() != thread:
            real(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = caught
    try:
        yield
    finally:
        os._exit = real


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
