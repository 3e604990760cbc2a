"""Which run of a study is meant: the best, a row of the leaderboard, a variant, a key, a trial."""

from __future__ import annotations

from collections.abc import Sequence

from attenergy.registry import AttenergyError
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.study_folder import Study
from attenergy.search.runs.config import RunRecord
from attenergy.search.storage.trial_numbers import runs_by_number

_TRIAL = "trial-"
_SHORTEST_KEY = 8  # digits
_LONGEST = 80  # characters of a name that are repeated in a message


class NoSuchRun(AttenergyError, ValueError):
    """The study has no finished run of this name."""

    topic = "no-such-run"


def choose_run(records: Sequence[RunRecord], which: str, board: Leaderboard) -> RunRecord:
    """The run that `which` names, as `named_run` does; it must have a score.

    Raises:
        NoSuchRun: if it names none, several, or one without a score.
    """
    record = named_run(records, which, board)
    if record.status != "complete":
        raise NoSuchRun(f"run {record.key} has no result: {record.status}, {record.reason}")
    return record


def named_run(records: Sequence[RunRecord], which: str, board: Leaderboard) -> RunRecord:
    """The run that `which` names: `best`, a row of the leaderboard (`2`), a variant, or a key.

    `best` is the first row that is within the limits of cost, a variant stands for its first. A row
    over several seeds gives its run with the best validation score. A run's key may be cut short as
    long as it names one run; the run need not have a score.

    Raises:
        NoSuchRun: if it names none, or several.
    """
    if which in {record.config.variant for record in records}:
        place = next((row.rank for row in board.rows if row.variant == which), None)
        if place is None:
            raise NoSuchRun(f"no run of {which} has a score")
        which = f"{place}"
    # Keys are 16 hexadecimal digits, so a short number can only be a row.
    number = which.isdecimal() and len(which) < _SHORTEST_KEY
    best = next((row.rank for row in board.rows if not row.beyond), 1)
    rank = best if which == "best" else int(which) if number else None
    if rank is not None:
        row = next((row for row in board.rows if row.rank == rank), None)
        if row is None:
            raise NoSuchRun(f"no row {which!r}; the leaderboard has {len(board.rows)}")
        scores = row.values.get("valid", {})
        runs = [record for record in records if record.key in row.keys]
        return max(runs, key=lambda record: scores.get(record.config.seed, float("-inf")))
    runs = [record for record in records if record.key.startswith(which)]
    if len(runs) != 1:
        count = "several runs" if runs else "no run"
        raise NoSuchRun(
            f"{count} with key {which[:_LONGEST]!r}; give 'best', a row's number, a variant, "
            "a run's key or trial-7"
        )
    return runs[0]


def find_run(study: Study, which: str) -> RunRecord:
    """The run that `which` names; it need not have a score.

    `trial-7` is the search's trial number 7, a variant its best run. Else `best`, a row of the
    leaderboard (`2`), or a run's key.

    Raises:
        NoSuchRun: if it names none, or several.
    """
    if which.startswith(_TRIAL):
        return _by_number(study, which)
    return named_run(study.records, which, study.leaderboard())


def _by_number(study: Study, which: str) -> RunRecord:
    number = which.removeprefix(_TRIAL)
    if not isinstance(study.plan, SearchPlan):
        raise NoSuchRun(f"no {which}: only a search with its plan has trial numbers; give a key")
    path = study.folder / "study.db"
    if study.plan.storage is not None:
        # Somebody else's plan may name any server: a command connects to what it is told alone.
        text = f"no {which}: the trials of {study.folder} are kept elsewhere; give a run's key"
        raise NoSuchRun(text)
    if not path.exists():
        raise NoSuchRun(f"no {which}: {study.folder} has no study.db; give a run's key")
    by_number = runs_by_number(path, study.plan.study)
    records = {record.key: record for record in study.records}
    if by_number.get(number) not in records:
        text = f"no {which} with a record; the study has {len(by_number)} trials, from 0 on"
        raise NoSuchRun(text)
    return records[by_number[number]]
