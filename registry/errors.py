"""The base of every error that a user can mend, and the errors of the registry.

Each says where, what was got, what is allowed and what is nearest. A mistake inside the toolkit
is none of these: it is a plain `RuntimeError` or whatever Python raises, and the command line
shows its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

Path = tuple[str | int, ...]  # keys and list positions from the top of a file


#: The topic of errors that are of no other.
GENERAL = "argument"
#: Topics of errors whose text says all there is to say: it points nowhere.
_CLEAR = (GENERAL, "unknown-name")


class AttenergyError(Exception):
    """Something that was given to the toolkit cannot be used: the base of all its errors.

    `except attenergy.AttenergyError` catches every mistake that a user can mend, whatever its
    kind; the kinds are also a `ValueError`, `TypeError` or `ImportError`, as their names say.

    Args:
        args: of the exception.
        topic: the name under which this kind of error is explained: by `attenergy explain TOPIC`
            and in `docs/errors.md#TOPIC`. By default that of the class.
    """

    topic: str = GENERAL

    def __init__(self, *args: object, topic: str = "") -> None:
        super().__init__(*args)
        if topic:
            self.topic = topic

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of all that is wrong, each once."""
        return (self.topic,)


def explained_by(topics: Iterable[str]) -> str:
    """The command that explains these topics, in parentheses; empty where there is no more to say.

    >>> explained_by(["mask"])
    '(attenergy explain mask)'
    """
    names = [topic for topic in dict.fromkeys(topics) if topic not in _CLEAR]
    return f"(attenergy explain {' '.join(names[:3])})" if names else ""


class ArgumentError(AttenergyError, ValueError):
    """An argument, setting or input has a value that cannot be used."""


class ArgumentTypeError(AttenergyError, TypeError):
    """An argument is of a type that cannot be used."""


class TaskOptionError(ArgumentError):
    """An option of a task has a value that makes no task."""

    topic = "task-option"


class DataError(ArgumentError):
    """A file or data set of the user's cannot be read, or is no data for its task."""

    topic = "data"


class GraphError(ArgumentError):
    """A graph, its edges or its nodes are not what an energy or a layer on a graph takes."""

    topic = "graph"


class ShapeError(ArgumentError):
    """A tensor has a shape that does not fit its layer, energy or the other tensors."""

    topic = "input-shape"


class MaskError(ArgumentError):
    """A mask or a field has a type or a shape that says nothing, or not enough."""

    topic = "mask"


class RecallError(ArgumentError):
    """Patterns, states or a choice do not fit an associative memory."""

    topic = "memory"


class ParameterError(ArgumentError):
    """A parameter, option or choice of an energy has a value that it cannot have."""

    topic = "parameter-value"


class OwnModelError(ArgumentError):
    """A model of the user's, or the function that builds it, cannot be trained as it is."""

    topic = "own-model"


class SearchSpaceError(ArgumentError):
    """A quantity, a value or a variant is not in the space of a search."""

    topic = "search-space"


class AnalysisError(ArgumentError):
    """A model, an input or an option does not fit an analysis."""

    topic = "analysis"


class MissingPackage(AttenergyError, ImportError):
    """A package is needed that an extra of attenergy brings; the message names the extra."""

    topic = "missing-package"


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

    `path` names the entry with dots (`energies.lse.steps`), empty for the file as a whole; `topic`
    is that of `AttenergyError`.
    """

    place: Place
    path: str
    message: str
    topic: str = field(default="registry-entry", compare=False)

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), self.path, self.message)))


class RegistryError(AttenergyError, ValueError):
    """All problems of all files read, in the order of their places, a line of text for each."""

    problems: tuple[Problem, ...]
    shown = 100  # lines of the text

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_order))
        super().__init__(self.problems, topic=next((p.topic for p in self.problems), ""))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the problems, each once, in their order."""
        return tuple(dict.fromkeys(problem.topic for problem in self.problems))

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

    topic = "unknown-name"

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
