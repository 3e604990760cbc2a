"""Names that become files and folders: studies, comparisons and their parts, runs in a logger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from attenergy.registry import ArgumentError, Scalar, as_written

MOST_BYTES = 200  # file systems take 255, and beside a folder stand temporary ones of its name
_ALLOWED = re.compile(r"[\w.-]+")
_OTHER = re.compile(r"[^\w.-]+")


def path_part(name: str) -> str:
    """The name itself, if a folder of that name lies where it is put and nowhere else.

    Raises:
        ValueError: it is empty, too long, only dots, begins with a dash, or holds anything but
            letters, digits, dots, dashes and underscores.
    """
    if not name:
        raise ArgumentError("a name cannot be empty", topic="option-value")
    if len(name.encode(errors="replace")) > MOST_BYTES:
        raise ArgumentError(
            f"a name has at most {MOST_BYTES} bytes, this one has {len(name)} letters",
            topic="option-value",
        )
    if not _ALLOWED.fullmatch(name):
        wrong = _OTHER.findall(name)[0][0]
        raise ArgumentError(
            f"a name has letters, digits, '.', '-' and '_' only, not {wrong!a}",
            topic="option-value",
        )
    if not name.strip("."):
        raise ArgumentError(
            f"{name!r} names another folder; a name has a letter, a digit or '_'",
            topic="option-value",
        )
    if name.startswith("-"):
        raise ArgumentError(
            "a name cannot begin with '-': it would be read as an option", topic="option-value"
        )
    return name


def as_path_part(text: str) -> str:
    """Any text as such a name: what is not allowed becomes `_`."""
    name = _OTHER.sub("_", text)[: MOST_BYTES // 4]
    return name if name.strip(".") and not name.startswith("-") else f"_{name}"


def point_name(point: Mapping[str, Scalar]) -> str:
    """The name of one point of a sweep: `layers-2`, `layers-2-width-64`."""
    return "-".join(f"{name}-{as_written(value)}" for name, value in point.items())


PathPart = Annotated[str, AfterValidator(path_part)]
