"""What a run may take: seconds, memory, and how long its worker may be silent."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attenergy.registry import ArgumentError

_HEARTBEATS = 6  # heartbeats that may be missing
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LEAST = 100 * 2**20  # bytes; PyTorch alone takes more


class LimitReached(Exception):
    """A run took more than it may; the message says of what."""


@dataclass(frozen=True)
class Limits:
    """What every run may take.

    Args:
        seconds: of a run; None for a limit that is learned, on the time without a training step.
        memory: bytes of the process that it runs in; None for no limit.
        silence: seconds that a worker may go without a sign of life.
    """

    seconds: float | None = None
    memory: int | None = None
    silence: float = 10.0 * _HEARTBEATS

    @classmethod
    def of(cls, seconds: float | None, memory: int | None, heartbeat: float) -> Limits:
        """The limits where a sign of life comes every `heartbeat` seconds."""
        return cls(seconds, memory, heartbeat * _HEARTBEATS)

    def too_large(self, used: float) -> bool:
        """Whether a process that uses so many bytes uses more than it may."""
        return self.memory is not None and used > self.memory

    def check(self, begin: float) -> None:
        """Look from inside a run, which began at `begin`.

        Raises:
            LimitReached: it has taken too much.
        """
        if self.seconds is not None and time.monotonic() - begin > self.seconds:
            raise LimitReached(timed_out(self.seconds))
        if self.memory is not None and self.too_large(used := memory_in_use()):
            raise LimitReached(too_much_memory(used, self.memory))


NO_LIMITS = Limits()


def timed_out(seconds: float) -> str:
    """The reason of a run that took longer than it was given."""
    return f"timed out: it took more than {seconds:g} s (--trial-seconds); not tried again"


def stuck(seconds: float) -> str:
    """The reason of a run that did nothing for as long as that."""
    return (
        f"timed out: no training step for {seconds:.0f} s; not tried again "
        "(--trial-seconds sets a limit)"
    )


def too_much_memory(used: float, limit: float) -> str:
    """The reason of a run whose process grew too large."""
    return (
        f"out of memory: its process used {used / 2**20:.0f} MiB, more than the "
        f"{limit / 2**20:.0f} MiB of --trial-memory; not tried again"
    )


def silent(what: str, seconds: float) -> str:
    """What became of a worker that sent no sign of life."""
    return f"{what} gave no sign of life for {seconds:.0f} s and was killed"


def memory_in_use(pid: int | str = "self") -> float:
    """Bytes of memory that a process uses; elsewhere than on Linux the most that this one did.

    0 where that is not known (Windows).
    """
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        return float(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return _peak() if pid == "self" else 0.0


def _peak() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


def read_bytes(value: Any) -> Any:
    """`4G`, `512M` or a number of bytes as a number of bytes; other kinds as they are.

    Raises:
        ValueError: it is no amount of memory, or less than a worker needs.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", value, re.IGNORECASE)
        if match is None:
            raise ArgumentError(
                f"must be an amount of memory such as 4G or 512M, got {value!r}",
                topic="option-value",
            )
        value = int(float(match[1]) * _UNITS[match[2].upper()])
    if isinstance(value, int) and value < _LEAST:
        raise ArgumentError(
            f"must be at least 100M, of which PyTorch takes its part, got {value} B",
            topic="option-value",
        )
    return value


@contextmanager
def alarm(seconds: Callable[[], float], reason: str) -> Iterator[Callable[[], None]]:
    """Interrupt whatever goes on in the main thread once so many seconds have gone by.

    Yields what sets the clock back. Where there is no such alarm (other threads, Windows, or one
    that the program has set itself) nothing is interrupted; a single call of a C library never is.

    Raises:
        LimitReached: in the middle of what goes on, with the reason.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
        or signal.getitimer(signal.ITIMER_REAL)[0] > 0
    ):
        yield lambda: None
        return

    over = False

    def ring(*_: object) -> None:
        if not over:
            raise LimitReached(reason)

    def wind() -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds(), 1.0)  # again, if a library swallows it

    before = signal.signal(signal.SIGALRM, ring)
    wind()
    try:
        yield wind
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
