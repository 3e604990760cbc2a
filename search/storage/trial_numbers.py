"""Which run was which trial, read from a study's database file without opening it as a study.

The file may be somebody else's: a copy is read, nothing of it is written, and what it asks of the
database is bounded.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from attenergy.registry import ArgumentError
from attenergy.registry.files import open_regular
from attenergy.search.runs.errors import DamagedDatabase
from attenergy.search.storage.database import READY, TABLES

MAX_BYTES = 1_000_000_000
_MOST_STEPS = 2_000  # times 10,000 instructions of SQLite's machine
_STUDIES = (
    "SELECT s.study_id, s.study_name FROM studies s JOIN study_user_attributes a "
    "ON a.study_id = s.study_id WHERE a.key = ? AND a.value_json NOT IN ('false', 'null')"
)
_TRIALS = (
    "SELECT t.number, a.value_json FROM trials t LEFT JOIN trial_user_attributes a "
    "ON a.trial_id = t.trial_id AND a.key = 'run' WHERE t.study_id = ?"
)


def runs_by_number(path: Path, study: str) -> dict[str, str]:
    """The number of every trial of a study's newest generation, and its run's key or nothing.

    Args:
        path: the SQLite file.
        study: the study's name.

    Raises:
        DamagedDatabase: it is no database, or lacks what a study has.
    """
    try:
        with tempfile.TemporaryDirectory() as temporary:
            copy = _copied(path, Path(temporary))
            with closing(sqlite3.connect(f"file:{copy}?mode=rw", uri=True)) as connection:
                return _read(connection, study)
    except (sqlite3.Error, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DamagedDatabase(str(path), reason or type(error).__name__) from error


def _copied(path: Path, folder: Path) -> Path:
    # With what a writer has not yet merged into it, which stands beside it.
    for name in (path.name, f"{path.name}-wal"):
        beside = path.with_name(name)
        if not beside.exists():
            continue
        with open_regular(beside, within=path.parent) as file:
            if file.seek(0, 2) > MAX_BYTES:
                raise ArgumentError(f"larger than {MAX_BYTES} bytes", topic="storage")
            file.seek(0)
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(file, target)
    return folder / path.name


def _read(connection: sqlite3.Connection, study: str) -> dict[str, str]:
    left = _MOST_STEPS

    def one_step() -> bool:
        nonlocal left
        left -= 1
        return left < 0  # true interrupts

    connection.set_progress_handler(one_step, 10_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
    connection.execute("PRAGMA trusted_schema = OFF")
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    known = {name for (name,) in rows}
    for table in TABLES:
        if table not in known:
            raise ArgumentError(f"it has no table {table}", topic="storage")
    generations = {}
    for number, name in connection.execute(_STUDIES, (READY,)):
        base, _, generation = str(name).partition("@")
        if base == study:
            generations[int(generation) if generation.isdecimal() else 1] = number
    if not generations:
        return {}
    newest = generations[max(generations)]
    return {
        f"{number}": "" if text is None else str(json.loads(text))
        for number, text in connection.execute(_TRIALS, (newest,))
    }
