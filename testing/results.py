"""What checking a law gives."""

from __future__ import annotations

from dataclasses import dataclass

#: At the beginning of the note of an energy that passes, and does what its user is to know of.
WARNING = "WARNING: "


@dataclass(frozen=True)
class LawResult:
    """One law, checked on one entry.

    Attributes:
        law: number and name of the law.
        passed: None if the law does not apply.
        figure: the number that decided, such as the largest error; None if there is none.
        note: what the figure is, or why the law does not apply or fails.

    Example:
        >>> result = check_law("2 masking equals deleting", "lse")
        >>> result.passed, result.law
        (True, '2 masking equals deleting')
    """

    law: str
    passed: bool | None
    figure: float | None = None
    note: str = ""

    @property
    def warning(self) -> str:
        """What a user is to know of an energy that passes; empty if nothing."""
        warns = self.passed is not False and self.note.startswith(WARNING)
        return self.note.removeprefix(WARNING).split(";")[0] if warns else ""

    def __str__(self) -> str:
        verdict = {True: "pass", False: "FAIL", None: "n/a "}[self.passed]
        figure = "" if self.figure is None else f"  {self.figure:.1e}"
        return f"{verdict}  {self.law}{figure}  {self.note}".rstrip()


class LawBroken(AssertionError):
    """A law does not hold, for a reason that has no figure.

    Example:
        >>> str(LawBroken("the update is no gradient"))
        'the update is no gradient'
    """
