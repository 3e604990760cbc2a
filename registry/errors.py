"""The base of every error that a user can mend, and the errors of the registry.

Each says where, what was got, what is allowed and what is nearest. A mistake inside the toolkit
is none of these: it is a plain `RuntimeError` or whatever Python raises, and the command line
shows its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

Path = tuple[str | int, ...]  # keys and list positions from the top of a file


class AttenergyError(Exception):
    """Something that was given to the toolkit cannot be used: the base of all its errors.

    `except attenergy.AttenergyError` catches every mistake that a user can mend, whatever its
    kind; the kinds are also a `ValueError`, `TypeError` or `ImportError`, as their names say.
    """


class ArgumentError(AttenergyError, ValueError):
    """An argument, setting or input has a value that cannot be used."""


class ArgumentTypeError(AttenergyError, TypeError):
    """An argument is of a type that cannot be used."""


class MissingPackage(AttenergyError, ImportError):
    """A package is needed that an extra of attenergy brings; the message names the extra."""


class Place(BaseModel):
    """Where something was written: file, line and column (both from 1)."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a registry file.

    `path` names the entry with dots (`energies.lse.steps`), empty for the file as a whole.
    """

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), self.path, self.message)))


class RegistryError(AttenergyError, ValueError):
    """All problems of all files read, in the order of their places, a line of text for each."""

    problems: tuple[Problem, ...]
    shown = 100  # lines of the text

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_order))
        super().__init__(self.problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[: self.shown]]
        more = len(self.problems) - len(lines)
        return "\n".join([*lines, f"and {more} more problems"] if more else lines)


def _order(problem: Problem) -> tuple[str, int, int]:
    return problem.place.file, problem.place.line, problem.place.column


class UnknownName(AttenergyError, ValueError):
    """A name that nothing is registered under; the text lists the known ones.

    Args:
        kind: what was looked for, as in "no task 'ravn'".
        name: the name that was given.
        known: the names that exist.
        note: why it may be missing.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], note: str = "") -> None:
        self.kind, self.name, self.known, self.note = kind, name, tuple(known), note
        super().__init__(kind, name, self.known, note)  # as arguments, so that it can be pickled

    def __str__(self) -> str:
        hint = nearest(self.name, self.known)
        names = ", ".join(self.known) or "none"
        note = f" ({self.note})" if self.note else ""
        return f"no {self.kind} {self.name!r}{f' ({hint})' if hint else ''}{note}; known: {names}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known name closest to `name`, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    closest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[closest[0]]!r}?" if closest else ""


def dotted(path: Path) -> str:
    """A path as text: `energies.lse.steps`; unusual keys are shown in quotes."""
    return ".".join(
        str(part) if isinstance(part, int) or re.fullmatch(r"[\w-]+", part) else clipped(repr(part))
        for part in path
    )


def clipped(text: str, width: int = 48) -> str:
    """`text`, cut to `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."
