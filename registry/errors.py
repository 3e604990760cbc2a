"""Errors of the registry: each says where, what was got, what is allowed and what is nearest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from attenergy.registry.specs import Place

Path = tuple[str | int, ...]  # keys and list positions from the top of a file


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


class RegistryError(ValueError):
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


class UnknownName(ValueError):
    """A name that nothing is registered under; the text lists the known ones.

    Args:
        kind: what was looked for, as in "no task 'ravn'".
        name: the name that was given.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(kind, name, self.known)  # as arguments, so that it can be pickled

    def __str__(self) -> str:
        hint = nearest(self.name, self.known)
        names = ", ".join(self.known) or "none"
        return f"no {self.kind} {self.name!r}{f' ({hint})' if hint else ''}; known: {names}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known name closest to `name`, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[found[0]]!r}?" if found else ""


def dotted(path: Path) -> str:
    """A path as text: `energies.lse.steps`; unusual keys are shown in quotes."""
    return ".".join(
        str(part) if isinstance(part, int) or re.fullmatch(r"[\w-]+", part) else clipped(repr(part))
        for part in path
    )


def clipped(text: str, width: int = 48) -> str:
    """`text`, cut to `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."
