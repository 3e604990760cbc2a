"""What the driver knows of an actor on a Ray cluster."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attenergy.search.engines import worker
from attenergy.search.runs.limits import Watch


@dataclass
class Actor:
    """One actor, and the run that it has."""

    handle: Any
    watch: Watch
    born: Any  # a reference that is ready once the actor is, and fails once it is dead
    ready: bool = False
    job: worker.Job | None = None
    result: Any = None  # a reference to (record, weights)
    news: Any = None  # a reference to what has happened, while it is on its way
    deaths: list[str] = field(default_factory=list)  # of the actors that had this job
    pid: int | None = None
    memory: float = 0.0  # bytes, as it has told

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
