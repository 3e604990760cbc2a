"""What the driver knows of an actor on a Ray cluster."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attenergy.search.engines.retry import Assignment
from attenergy.search.engines.watch import Watch


@dataclass
class Actor:
    """One actor, and the run that it has."""

    handle: Any
    watch: Watch
    born: Any  # a reference that is ready once the actor is, and fails once it is dead
    ready: bool = False
    run: Assignment | None = None
    result: Any = None  # a reference to (record, weights)
    events: Any = None  # a reference to what has happened, while it is on its way
    pid: int | None = None
    memory: float = 0.0  # bytes, as it has reported

    def here(self) -> int | None:
        """Number of its process if that is one of this machine, as its name tells."""
        try:
            name = Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace")
        except OSError:
            return None
        return self.pid if "Runner" in name else None

    def kill(self) -> None:
        """End its process, if it is one of this machine.

        Ray only asks it to end, which a stopped process does not hear.
        """
        pid = self.here()
        if pid is not None:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def cause_of_death(error: Exception, *, unreachable: bool) -> str:
    """What became of an actor, from the error of a reference to it.

    Args:
        error: Ray's.
        unreachable: whether it may live where it cannot be reached.
    """
    if unreachable:
        return "the Ray actor died (it cannot be reached)"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if "died" in line or "killed" in line), lines[0])
    return f"the Ray actor died ({line[:200]})"
