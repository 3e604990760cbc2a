"""What pydantic found wrong, in plain words and at its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from attenergy.registry.errors import GENERAL, Path, Problem, clipped, nearest
from attenergy.registry.specs import RegistryFile
from attenergy.registry.yaml_document import Document

# What an error type says was expected; a union of types gives several of these for one value.
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def explain(
    error: ValidationError, document: Document, *, general: str = "registry-entry"
) -> Iterator[Problem]:
    """The problems of one file: one per missing or unknown key, one per wrong value.

    Errors that only follow from a value that could not be read are left out. Values without a topic
    of their own have the `general` one.
    """
    wrong: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        if detail["type"] == "missing":
            if path[:-1] not in document.merged:
                yield document.problem(path[:-1], f"missing key {path[-1]!r}")
        elif detail["type"] == "extra_forbidden":
            yield document.problem(path, unknown_key(path), at_key=True, topic="unknown-key")
        else:
            # A union adds the name of each of its types to the path; those are no keys.
            while path not in document.values:
                path = path[:-1]
            wrong.setdefault(path, []).append(detail)
    for path, details in wrong.items():
        if not any(_related(path, spoiled) for spoiled in document.spoiled):
            yield document.problem(path, message(details), topic=topic(details, general))


def topic(details: list[ErrorDetails], general: str) -> str:
    """The topic of what pydantic says about one value: that of the error behind it, if any."""
    raised = getattr(details[0].get("ctx", {}).get("error"), "topic", GENERAL)
    return general if raised == GENERAL else str(raised)


def message(details: list[ErrorDetails]) -> str:
    """One sentence for all that pydantic says about one value."""
    first = details[0]
    got, context = shown(first["input"]), first.get("ctx", {})
    if first["type"] == "value_error":
        text = str(context["error"])
        return text if isinstance(first["input"], dict) else f"{text} (got {got})"
    if first["type"] in _BOUNDS:
        words, key = _BOUNDS[first["type"]]
        return f"must be {words} {context[key]:g} (got {got})"
    if first["type"] == "literal_error":
        return f"{_one_of(context['expected'])} (got {got}{_literal_hint(first)})"
    expected = {_EXPECTED.get(detail["type"], "") for detail in details}
    if "" in expected:
        return f"{first['msg'][:1].lower()}{first['msg'][1:]} (got {got})"
    return f"must be {_any_of(expected)} (got {got}{_quoting_hint(expected, first['input'])})"


def _one_of(expected: str) -> str:
    allowed = expected.replace("'", "").replace(" or ", ", ")
    return f"must be {'one of ' if ',' in allowed else ''}{allowed}"


def _literal_hint(detail: ErrorDetails) -> str:
    words = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    hint = nearest(detail["input"], words) if isinstance(detail["input"], str) else ""
    return f", {hint}" if hint else ""


def _any_of(expected: set[str]) -> str:
    if "a number" in expected:
        expected = expected - {"a whole number"}
    words = [word for word in dict.fromkeys(_EXPECTED.values()) if word in expected]
    if words[-1] == "true or false":
        return ", ".join(words)
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _quoting_hint(expected: set[str], got: Any) -> str:
    if expected == {"text"} and isinstance(got, (bool, int, float)):
        return "; use quotes"
    if expected == {"a whole number"} and isinstance(got, float) and got.is_integer():
        return f"; write {int(got)}"
    return ""


def shown(value: Any) -> str:
    """A value as a registry file would write it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, tuple)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return clipped(repr(value))


def unknown_key(path: Path) -> str:
    """What to say of a key that its mapping does not know."""
    kind: Any = RegistryFile
    for part in path[:-1]:
        kind = _member(kind, str(part))
    known = list(_fields(_unwrapped(kind)))
    hint = nearest(str(path[-1]), known) or f"known: {', '.join(known)}"
    return f"unknown key {clipped(repr(path[-1]))} ({hint})"


def _unwrapped(kind: Any) -> Any:
    """The type behind an annotation such as `Range | None`."""
    if get_origin(kind) in (Union, UnionType):
        return next(arm for arm in get_args(kind) if arm is not type(None))
    return kind


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _member(kind: Any, key: str) -> Any:
    """The type of what stands under `key` in a model, a dict or a tuple."""
    kind = _unwrapped(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _fields(kind)[key].annotation
    return get_args(kind)[-1 if get_origin(kind) is dict else 0]


def _related(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
