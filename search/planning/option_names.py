"""What a search file calls what an option says, and the other way round."""

from __future__ import annotations

from collections.abc import Collection

from attenergy.registry.errors import nearest

#: Fields of a plan, which are the keys of a search file, whose options have other names.
OPTIONS = {
    "train_steps": "steps",
    "variants": "energies",
    "task_options": "set",
    "objectives": "objective",
    "matched": "match",
}
#: Words for one thing: of a file, of `search` and of `compare`.
_SYNONYMS = (
    *({field, option} for field, option in OPTIONS.items()),
    {"name", "study"},
    {"set", "options"},
)
_COMMAND_LINE_ONLY = ("resume", "export", "no_export", "log", "plain", "live", "format", "debug")


def option_of(field: str, command: str) -> str:
    """The option of `search` or `compare` that gives a field of its plan, as it is typed."""
    if command == "compare" and field in ("name", "variants"):
        field = "study" if field == "name" else field
    else:
        field = OPTIONS.get(field, field)
    return f"--{field.replace('_', '-')}"


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
    options = (f"--{other.replace('_', '-')}" for other in (word, *_synonyms(word)))
    return [other for other in options if other in known]


def _synonyms(word: str) -> list[str]:
    groups = [group for group in _SYNONYMS if word in group]
    # Of `options`, `set` is a synonym, and of that `task_options`.
    wider = [group for group in _SYNONYMS if any(group & other for other in groups)]
    return sorted(set().union(*wider) - {word})
