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

    Example:
        >>> try:
        ...     attenergy.make_task("ravn")
        ... except attenergy.AttenergyError as error:
        ...     print(str(error)[:37])
        no task 'ravn' (did you mean 'raven'?
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
    """An argument, setting or input has a value that cannot be used.

    Example:
        >>> isinstance(ArgumentError("steps must be at least 1"), ValueError)
        True
    """


class ArgumentTypeError(AttenergyError, TypeError):
    """An argument is of a type that cannot be used.

    Example:
        >>> isinstance(ArgumentTypeError("xi must be a tensor, got a list"), TypeError)
        True
    """


class TaskOptionError(ArgumentError):
    """An option of a task has a value that makes no task.

    Example:
        >>> TaskOptionError.topic  # what `attenergy explain` takes
        'task-option'
    """

    topic = "task-option"


class DataError(ArgumentError):
    """A file or data set of the user's cannot be read, or is no data for its task.

    Example:
        >>> DataError.topic  # what `attenergy explain` takes
        'data'
    """

    topic = "data"


class GraphError(ArgumentError):
    """A graph, its edges or its nodes are not what an energy or a layer on a graph takes.

    Example:
        >>> GraphError.topic  # what `attenergy explain` takes
        'graph'
    """

    topic = "graph"


class ShapeError(ArgumentError):
    """A tensor has a shape that does not fit its layer, energy or the other tensors.

    Example:
        >>> ShapeError.topic  # what `attenergy explain` takes
        'input-shape'
    """

    topic = "input-shape"


class MaskError(ArgumentError):
    """A mask or a field has a type or a shape that says nothing, or not enough.

    Example:
        >>> MaskError.topic  # what `attenergy explain` takes
        'mask'
    """

    topic = "mask"


class RecallError(ArgumentError):
    """Patterns, states or a choice do not fit an associative memory.

    Example:
        >>> RecallError.topic  # what `attenergy explain` takes
        'memory'
    """

    topic = "memory"


class ParameterError(ArgumentError):
    """A parameter, option or choice of an energy has a value that it cannot have.

    Example:
        >>> ParameterError.topic  # what `attenergy explain` takes
        'parameter-value'
    """

    topic = "parameter-value"


class OwnModelError(ArgumentError):
    """A model of the user's, or the function that builds it, cannot be trained as it is.

    Example:
        >>> OwnModelError.topic  # what `attenergy explain` takes
        'own-model'
    """

    topic = "own-model"


class SearchSpaceError(ArgumentError):
    """A quantity, a value or a variant is not in the space of a search.

    Example:
        >>> SearchSpaceError.topic  # what `attenergy explain` takes
        'search-space'
    """

    topic = "search-space"


class AnalysisError(ArgumentError):
    """A model, an input or an option does not fit an analysis.

    Example:
        >>> AnalysisError.topic  # what `attenergy explain` takes
        'analysis'
    """

    topic = "analysis"


class MissingPackage(AttenergyError, ImportError):
    """A package is needed that an extra of attenergy brings; the message names the extra.

    Example:
        >>> str(MissingPackage("plots need matplotlib: pip install attenergy[report]"))[:10]
        'plots need'
    """

    topic = "missing-package"


class Place(BaseModel):
    """Where something was written: file, line and column (both from 1).

    Example:
        >>> print(Place(file="my.yaml", line=3, column=5))
        my.yaml:3:5
    """

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

    Example:
        >>> print(Problem(Place(file="a.yaml", line=3, column=5), "energies.mine", "no formula"))
        a.yaml:3:5: energies.mine: no formula
    """

    place: Place
    path: str
    message: str
    topic: str = field(default="registry-entry", compare=False)

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), self.path, self.message)))


class RegistryError(AttenergyError, ValueError):
    """All problems of all files read, in the order of their places, a line of text for each.

    Example:
        >>> with open("bad.yaml", "w") as file:
        ...     _ = file.write("{version: 1, energies: {mine: {title: Mine, formla: xi}}}")
        >>> try:
        ...     attenergy.load_registry("bad.yaml", plugins=False)
        ... except RegistryError as error:
        ...     print("formla" in str(error))
        True
    """

    shown = 100  # lines of the text

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda p: (p.place.file, p.place.line, p.place.column))
        )
        super().__init__(self.problems, topic=next((p.topic for p in self.problems), ""))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the problems, each once, in their order."""
        return tuple(dict.fromkeys(problem.topic for problem in self.problems))

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[: self.shown]]
        more = len(self.problems) - len(lines)
        return "\n".join([*lines, f"and {more} more problems"] if more else lines)


class UnknownName(AttenergyError, ValueError):
    """A name that nothing is registered under; the text lists the known ones.

    Args:
        kind: what was looked for, as in "no task 'ravn'".
        name: the name that was given.
        known: the names that exist.
        note: why it may be missing.
        place: where it was looked for, where that is not the registry.

    Example:
        >>> print(UnknownName("task", "ravn", ["raven", "latch"]))
        no task 'ravn' (did you mean 'raven'?); known: raven, latch
    """

    topic = "unknown-name"

    def __init__(
        self, kind: str, name: str, known: Iterable[str], note: str = "", place: str = ""
    ) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        self.note, self.place = note, place
        super().__init__(kind, name, self.known, note, place)  # so that it can be pickled

    def __str__(self) -> str:
        hints = "".join(f" ({x})" for x in (nearest(self.name, self.known), self.note) if x)
        where = f"{f' in {self.place}' if self.place else ''}{hints}"
        known = [*self.known[:80], *(f"and {n} more" for n in [len(self.known) - 80] if n > 0)]
        return f"no {self.kind} {self.name!r}{where}; known: {', '.join(known) or 'none'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known name closest to `name`, or an empty text.

    Example:
        >>> nearest("ravn", ["raven", "latch"])
        "did you mean 'raven'?"
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    closest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[closest[0]]!r}?" if closest else ""


def dotted(path: Path) -> str:
    """A path as text: `energies.lse.steps`; unusual keys are shown in quotes, long ones cut."""
    return ".".join(
        clipped(str(part) if isinstance(part, int) or re.fullmatch(r"[\w-]+", part) else repr(part))
        for part in path
    )


def clipped(text: str, width: int = 48) -> str:
    """`text`, cut to `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."
