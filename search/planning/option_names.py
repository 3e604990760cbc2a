"""What a search file calls what an option says, and the other way round."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from attenergy.registry.errors import clipped, nearest

#: Fields of a plan, which are the keys of a search file, whose options have other names.
OPTIONS = {
    "train_steps": "steps",
    "variants": "energies",
    "task_options": "set",
    "objectives": "objective",
    "matched": "match",
    "checkpoint_seconds": "checkpoint_every",
    "cost_limits": "limit",
    "model_options": "model_option",
    "earlier": "from",
    "tasks": "task",
}
#: Words for one thing: of a file, of `search` and of `compare`.
_SYNONYMS = (
    *({field, option} for field, option in OPTIONS.items()),
    {"name", "study"},
    {"set", "options"},
)
#: Short options that a command once had for another thing than the other commands; with the option
#: that they stood for. `-n` is the number of trials, `-e` says which variants, in all commands.
_MOVED = {"n": "--seeds"}
_COMMAND_LINE_ONLY = (
    *("resume", "export", "no_export", "explain", "log", "plain", "live", "format", "debug"),
)


def option_of(field: str, command: str) -> str:
    """The option of a command that gives a field of its plan, as it is typed."""
    if command == "compare" and field in ("name", "variants"):
        field = "study" if field == "name" else field
    else:
        field = OPTIONS.get(field, field)
    return f"--{field.replace('_', '-')}"


def refused_values(error: ValidationError, command: str = "") -> str:
    """One line for each value that a model refused, without the model's name and links.

    Args:
        error: of pydantic.
        command: `search`, `compare` or `discover`, if the model is its plan: fields are named as
            its options.
    """
    return "\n".join(_refused(detail, command) for detail in error.errors())


def _refused(detail: Any, command: str) -> str:
    """One line; values that do not go together have no place, and the whole plan as their input."""
    text = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return text
    field, *inside = map(str, detail["loc"])
    place = ".".join([option_of(field, command) if command else field, *inside])
    return f"{place}: {text}, got {clipped(repr(detail['input']))}"


def for_key(name: str, known: Collection[str]) -> str:
    """What to say of a key that a search file does not know."""
    word = name.lstrip("-").replace("-", "_")
    for other in (word, *_synonyms(word)):
        if other in known:
            return f"did you mean {other!r}?"
    if word in _COMMAND_LINE_ONLY:
        return f"an option of the command line only: --{word.replace('_', '-')}"
    return nearest(name, known) or f"known: {', '.join(known)}"


def for_option(option: str, known: Collection[str]) -> list[str]:
    """Options of a command, among those `known`, that mean what an unknown one says."""
    word = option.lstrip("-").replace("-", "_")
    if word in _MOVED:
        return [_MOVED[word]] if _MOVED[word] in known else []
    options = (f"--{other.replace('_', '-')}" for other in (word, *_synonyms(word)))
    return [other for other in options if other in known]


def _synonyms(word: str) -> list[str]:
    groups = [group for group in _SYNONYMS if word in group]
    # Of `options`, `set` is a synonym, and of that `task_options`.
    wider = [group for group in _SYNONYMS if any(group & other for other in groups)]
    return sorted(set().union(*wider) - {word})
