"""Scalars of YAML: what an unquoted word means, and where a text's characters stand in the file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from attenergy.registry.errors import ArgumentError, Place

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF|nan|NaN|NAN)")


def read_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar.

    `1e-3`, `1E5`, `.5` and `+2` are numbers; `no`, `on`, `yes`, `12:30:00` and `1_000` are text.

    Raises:
        ValueError: a number that is infinite, not a number, or does not fit in 64 bits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise ArgumentError(f"{text} is not allowed: a number must be finite")
    if _DECIMAL.fullmatch(text):
        return _integer(text, 10)
    if _BASED.fullmatch(text):
        return _integer(text, 0)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ArgumentError("this number is too large for 64 bits")
        return value
    return text


def _integer(text: str, base: int) -> int:
    # The length is looked at first: Python refuses to read or print very long integers.
    value = int(text, base) if len(text) <= 80 else 2**63
    if not -(2**63) <= value < 2**63:
        raise ArgumentError("this number is too large for 64 bits")
    return value


@dataclass(frozen=True)
class Text:
    """A scalar as read (`value`) and as written (`source`), the latter beginning at `place`."""

    place: Place
    value: str
    source: str

    def at(self, offset: int) -> Place:
        """Where `value[offset]` stands in the file.

        YAML folds lines and strips indentation, so characters are counted without white space.
        """
        wanted = sum(not c.isspace() for c in self.value[:offset])
        line, column = self.place.line, self.place.column
        for character in self.source.rstrip():
            if not character.isspace():
                if wanted == 0:
                    break
                wanted -= 1
            line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
        return Place(file=self.place.file, line=line, column=column)


def text_of(value: str, style: str | None, source: str, place: Place) -> Text:
    """The text of a scalar node: without an opening quote, or the header of a block."""
    skipped = 0
    if style in ("'", '"'):
        skipped = 1
    elif style in ("|", ">"):
        body = source.find("\n") + 1
        skipped = body + len(source[body:]) - len(source[body:].lstrip())
    before = source[:skipped]
    if "\n" in before:
        column = skipped - before.rfind("\n")
        place = Place(file=place.file, line=place.line + before.count("\n"), column=column)
    else:
        place = Place(file=place.file, line=place.line, column=place.column + skipped)
    return Text(place, value, source[skipped:])
