"""One driver per study."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attenergy.search.errors import StudyBusy


@contextmanager
def exclusive(folder: Path, study: str) -> Iterator[None]:
    """Hold the study's folder alone; the system lets go of it when the process ends, however.

    Where the system has no such locks (Windows) this does nothing.

    Raises:
        StudyBusy: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyBusy(study) from error
        yield
