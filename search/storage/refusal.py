"""A study that is refused leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from attenergy.search.runs.records import RECORDS
from attenergy.search.storage.locks import FileLock
from attenergy.search.storage.study_lock import LOCK


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove a study's new folder if an error comes before any run is recorded.

    A folder that held anything before is left as it is, and so is one in which another driver is
    at work. After an interrupt from outside only empty folders go: the study can be resumed.

    Args:
        folder: of the study; it need not exist.

    Example:
        >>> with removed_if_refused(Path("runs/mine")):
        ...     Path("runs/mine").mkdir(parents=True)
        ...     raise ValueError("the budget is too short")
        Traceback (most recent call last):
        ...
        ValueError: the budget is too short
        >>> Path("runs").exists()
        False
    """
    new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException as error:
        if new and isinstance(error, Exception):
            _remove(folder)
        for path in missing:  # from the innermost outwards
            with suppress(OSError):  # it holds something, or is gone
                path.rmdir()
        raise


def _remove(folder: Path) -> None:
    """Remove a folder without a record in which no other driver is at work."""
    if not folder.is_dir() or (folder / RECORDS).exists():
        return
    if any(path.is_file() for path in folder.glob("*/**/*")):
        return  # weights or states of a run that had begun
    with closing(FileLock(folder / LOCK)) as lock:
        if lock.acquire():
            shutil.rmtree(folder, ignore_errors=True)
