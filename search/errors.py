"""Errors of a search that the person who started it can mend."""

from __future__ import annotations

from collections.abc import Iterable


class StudyExists(ValueError):
    """The study has trials already, and it was not asked to go on with it."""

    def __init__(self, name: str, trials: int) -> None:
        self.name, self.trials = name, trials
        super().__init__(name, trials)  # as arguments, so that it can be pickled

    def __str__(self) -> str:
        return (
            f"study {self.name!r} exists, with {self.trials} trials; "
            "pass --resume to go on with it, or choose another name"
        )


class StudyMismatch(ValueError):
    """The study to be resumed was made by a plan, or a registry, that does not fit this one."""

    def __init__(self, name: str, differences: Iterable[str]) -> None:
        self.name, self.differences = name, tuple(differences)
        super().__init__(name, self.differences)

    def __str__(self) -> str:
        found = "; ".join(self.differences)
        return f"study {self.name!r} cannot be resumed: {found}. Choose another name"


class StorageProblem(ValueError):
    """The study's storage cannot be reached, read or written."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        return (
            f"the storage {self.url} cannot be used: {self.reason}. "
            "Finished runs are safe in records.jsonl: move a damaged file away and resume, and the "
            "study is made anew from there"
        )


class StudyBusy(ValueError):
    """Another process is at work on the study."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"study {self.name!r} is being run by another process"
