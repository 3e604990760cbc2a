"""Errors of a search that the person who started it can mend."""

from __future__ import annotations

from collections.abc import Iterable

from attenergy.registry import AttenergyError


class StudyExists(AttenergyError, ValueError):
    """The study has trials already, and it was not asked to go on with it."""

    topic = "study-exists"

    def __init__(self, name: str, trials: int) -> None:
        self.name, self.trials = name, trials
        super().__init__(name, trials)  # as arguments, so that it can be pickled

    def __str__(self) -> str:
        return (
            f"study {self.name!r} exists, with {self.trials} trials; "
            "pass --resume to go on with it, or choose another name with --study"
        )


class StudyMismatch(AttenergyError, ValueError):
    """The study to be resumed was made by a plan, or a registry, that does not fit this one."""

    topic = "study-mismatch"

    def __init__(self, name: str, differences: Iterable[str]) -> None:
        self.name, self.differences = name, tuple(differences)
        super().__init__(name, self.differences)

    def __str__(self) -> str:
        differences = "; ".join(self.differences)
        name = self.name.partition("@")[0]  # without the number of its generation
        return f"study {name!r} cannot be resumed: {differences}. Choose another name"


class StorageProblem(AttenergyError, ValueError):
    """The study's storage cannot be reached, read or written."""

    topic = "storage"

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        hint = "; start again when it can be reached"
        if "full" in self.reason:
            hint = ": make room and resume"
        elif self.url.startswith("sqlite"):
            hint = ": move a damaged file away and resume, and the study is made anew from there"
        return (
            f"the storage {self.url} cannot be used: {self.reason}. "
            f"Finished runs are safe in records.jsonl{hint}"
        )


class StudyBusy(AttenergyError, ValueError):
    """Another driver is at work on the study, and one of the two wants to be alone."""

    topic = "study-busy"

    def __init__(self, name: str, joined: bool = False) -> None:
        self.name, self.joined = name, joined
        super().__init__(name, joined)

    def __str__(self) -> str:
        hint = "; several work together if all of them are started with --join"
        return f"study {self.name!r} is being run by another process{hint if self.joined else ''}"


class StudyStuck(AttenergyError, ValueError):
    """Another driver of the study does not end its turn."""

    topic = "study-busy"

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        super().__init__(name, seconds)

    def __str__(self) -> str:
        return (
            f"another driver of study {self.name!r} has kept the others waiting for "
            f"{self.seconds:g} s; end it, its runs are taken over"
        )


class TurnLost(ConnectionError):
    """The turn that kept other drivers away has ended, with the connection that held it."""


class CannotJoin(AttenergyError, ValueError):
    """Several drivers cannot work on this study together."""

    topic = "study-busy"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"drivers cannot join here: {self.reason}"


class NoResult(Exception):
    """No run of a search or a comparison has given a result."""

    topic = "no-result"


class SameFailure(NoResult):
    """Every run has failed in the same way, so there is no use in going on."""

    def __init__(self, runs: int, reason: str) -> None:
        self.runs, self.reason = runs, reason
        super().__init__(runs, reason)

    def __str__(self) -> str:
        return (
            f"all {self.runs} runs so far have failed in the same way: {self.reason}. The rest was "
            "not tried. What failed is recorded and is not run again; give what you mend another "
            "name (--study)"
        )


class DamagedDatabase(StorageProblem):
    """The database of a study cannot be read; its records are another file."""

    def __str__(self) -> str:
        return (
            f"{self.url} cannot be used: {self.reason}. The study's database is damaged; the "
            "records beside it, records.jsonl, are intact: report, export and replay read them, "
            "where a run is named by its key. To go on with the search, move the database away and "
            "give --resume: the trials are taken from the records"
        )
