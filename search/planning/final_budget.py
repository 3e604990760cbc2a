"""How many runs over seeds a race may take: `12seeds`, `24runs`, `10m` or `none`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from attenergy.registry import ArgumentError
from attenergy.registry.errors import nearest

#: Seeds for every contender, on average, if nobody says otherwise.
DEFAULT = "12seeds"
NONE = "none"

Measure = Literal["none", "seeds", "runs", "seconds"]
#: Unit -> what is measured, and how much of it one is.
_UNITS: dict[str, tuple[Measure, float]] = {
    "seeds": ("seeds", 1),
    "seed": ("seeds", 1),
    "runs": ("runs", 1),
    "run": ("runs", 1),
    "s": ("seconds", 1),
    "seconds": ("seconds", 1),
    "m": ("seconds", 60),
    "min": ("seconds", 60),
    "minutes": ("seconds", 60),
    "h": ("seconds", 3600),
    "hours": ("seconds", 3600),
}
_SHAPE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


@dataclass(frozen=True)
class FinalBudget:
    """What a race may take.

    Attributes:
        measure: `runs` in all; `seeds`, as many runs as make so many for every contender;
            `seconds` of this session; or `none`, for the first round alone.
        amount: of the measure.
    """

    measure: Measure
    amount: float = 0.0

    @classmethod
    def read(cls, text: str) -> FinalBudget:
        """Read `24runs`, `12seeds`, `90s`, `10m`, `2h` or `none`.

        Raises:
            ValueError: it is none of these; the message names the unit that is nearest.
        """
        words = text.strip()
        if words.lower() == NONE:
            return cls("none")
        match = _SHAPE.fullmatch(words)
        if match is None:
            raise ArgumentError(_refusal(nearest(words, [NONE])))
        number, unit = match[1], match[2].lower()
        if unit not in _UNITS:
            raise ArgumentError(_refusal(nearest(unit, _UNITS)))
        measure, each = _UNITS[unit]
        amount = float(number) * each
        if amount <= 0 or (measure != "seconds" and amount != int(amount)):
            kind = "a number above 0" if measure == "seconds" else "an integer >= 1"
            raise ArgumentError(_refusal(f"{number} must be {kind}"))
        return cls(measure, amount)


def _refusal(hint: str) -> str:
    tail = f" ({hint})" if hint else ""
    return f"must be a budget such as 12seeds, 24runs, 10m or none{tail}"


def _checked(text: str) -> str:
    FinalBudget.read(text)
    return text.strip()


#: The field of a plan, as it was written.
FinalBudgetText = Annotated[str, AfterValidator(_checked)]
