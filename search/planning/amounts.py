"""Amounts of computing as they are written: `30m`, `2h`, `40trials`, `24runs`, `12seeds`, `3/8`."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from attenergy.registry import ArgumentError
from attenergy.registry.errors import nearest

Measure = Literal["seconds", "trials", "runs", "seeds"]
#: Unit -> what is measured, and how much of it one is.
UNITS: dict[str, tuple[Measure, float]] = {
    "seeds": ("seeds", 1),
    "seed": ("seeds", 1),
    "runs": ("runs", 1),
    "run": ("runs", 1),
    "trials": ("trials", 1),
    "trial": ("trials", 1),
    "s": ("seconds", 1),
    "sec": ("seconds", 1),
    "seconds": ("seconds", 1),
    "m": ("seconds", 60),
    "min": ("seconds", 60),
    "minutes": ("seconds", 60),
    "h": ("seconds", 3600),
    "hours": ("seconds", 3600),
}
_SHARE = re.compile(r"(\d{1,9}(/\d{1,9})?|\d{0,9}\.\d{1,15})")
_SHAPE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


@dataclass(frozen=True)
class Amount:
    """So much of something.

    Attributes:
        measure: of what.
        amount: how much; an integer but for seconds.
    """

    measure: Measure
    amount: float


def read_amount(
    text: str, measures: Collection[Measure], examples: str, words: Collection[str] = ()
) -> Amount:
    """Read a number with a unit.

    Args:
        text: as somebody wrote it, `1.5 hours`.
        measures: those that make sense here.
        examples: of what may be written, for the refusal.
        words: that may stand here instead; for the refusal alone.

    Raises:
        ValueError: it is nothing of the kind; the message names the unit that is nearest.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise _refusal(examples, nearest(text.strip(), words))
    number, unit = match[1], match[2].lower()
    known = [name for name, (measure, _) in UNITS.items() if measure in measures]
    if unit not in known:
        raise _refusal(examples, nearest(unit, known))
    measure, each = UNITS[unit]
    amount = float(number) * each
    if amount <= 0 or (measure != "seconds" and amount != int(amount)):
        kind = "a number above 0" if measure == "seconds" else "an integer >= 1"
        raise _refusal(examples, f"{number} must be {kind}")
    return Amount(measure, amount)


def read_share(value: Any) -> Any:
    """A share as a number: `3/8` or `.375`; what is no text is left as it is.

    Raises:
        ValueError: the text is neither.
    """
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if _SHARE.fullmatch(text):
        with suppress(ZeroDivisionError):
            return float(Fraction(text))
    raise ArgumentError("must be a share such as 3/8 or 0.375", topic="option-value")


#: A field that holds a share of something.
Share = Annotated[float, BeforeValidator(read_share)]


def _refusal(examples: str, hint: str) -> ArgumentError:
    tail = f" ({hint})" if hint else ""
    return ArgumentError(f"must be a budget such as {examples}{tail}", topic="option-value")
