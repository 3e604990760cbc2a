"""What was done with the time of a study's budgets: `budget.json` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attenergy.registry import ArgumentError
from attenergy.registry.files import read_regular, write_atomically
from attenergy.search.results import formats
from attenergy.search.runs.records import MAX_FILE, first_problem

SESSIONS = "budget.json"
_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Session(BaseModel):
    """One command under a budget in time.

    Attributes:
        budget: as it was written (`30m`).
        seconds: that it is.
        started: moment at which it began, ISO 8601, UTC.
        expected: what was said beforehand.
        steps: training steps of a run, which may have been shortened to fit.
        shortened: whether they were.
        spent: seconds until the last run had ended.
        trials: runs that choose, made in this session.
        survivors: of these, runs that paused and then came to their ends.
        finals: runs over seeds, made in this session.
        aside: runs that were under way when the time was over, and go on in another session.
        ended: why it ended; empty where the process was killed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    budget: str = Field(max_length=100)
    seconds: _Seconds
    started: str = Field(default="", max_length=100)
    expected: str = Field(default="", max_length=1000)
    steps: _Count = 0
    shortened: bool = False
    spent: _Seconds = 0.0
    trials: _Count = 0
    survivors: _Count = 0
    finals: _Count = 0
    aside: _Count = 0
    ended: str = Field(default="", max_length=200)

    @property
    def sentence(self) -> str:
        """`budget 30m: 44 trials, 9 of the best to their ends, and 36 runs of the finals ...`."""
        trials = formats.counted(self.trials, "trial") if self.trials else ""
        finals = f"{formats.counted(self.finals, 'run')} of the finals" if self.finals else ""
        if self.survivors:
            trials = f"{trials or 'no trial'}, {self.survivors} of the best to their ends,"
            trials = trials if finals else trials.removesuffix(",")
        text = " and ".join(part for part in (trials, finals) if part) or "no run"
        tail = "" if self.ended in ("", "complete") else f" ({self.ended})"
        if self.aside:
            tail += f"; {formats.counted(self.aside, 'run')} put aside, to go on with more time"
        return f"budget {self.budget}: {text} in {formats.duration(self.spent)}{tail}"


class Sessions(BaseModel):
    """All sessions of a study that had a budget in time, the first one first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sessions: Annotated[tuple[Session, ...], Field(max_length=10_000)] = ()

    @property
    def steps(self) -> int | None:
        """Training steps to which runs were shortened; None if they were not."""
        return next((s.steps for s in reversed(self.sessions) if s.shortened), None)


def read_sessions(folder: Path) -> Sessions:
    """The sessions of a study; none where it never had a budget in time.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / SESSIONS
    if not path.exists():
        return Sessions()
    try:
        return Sessions.model_validate_json(read_regular(path, MAX_FILE, within=folder))
    except ValidationError as error:
        text = f"{path}: cannot be read: {first_problem(error)}; the study is whole without it"
        raise ArgumentError(text, topic="budget") from error


def write_session(folder: Path, before: Sessions, session: Session) -> None:
    """Add a session to those before it, or write what has become of it."""
    data = Sessions(sessions=(*before.sessions, session))
    write_atomically(folder / SESSIONS, data.model_dump_json(indent=2) + "\n")
