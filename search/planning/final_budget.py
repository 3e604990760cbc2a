"""How many runs over seeds a race may take: `12seeds`, `24runs`, `10m`, `none` or `rest`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from attenergy.search.planning.amounts import read_amount

#: Seeds for every contender, on average, if nobody says otherwise.
DEFAULT = "12seeds"
NONE = "none"
#: What is left of the time of the whole search; so it is where that has a budget in time.
REST = "rest"

Measure = Literal["none", "rest", "seeds", "runs", "seconds"]
_EXAMPLES = "12seeds, 24runs, 10m or none"


@dataclass(frozen=True)
class FinalBudget:
    """What a race may take.

    Attributes:
        measure: `runs` in all; `seeds`, as many runs as make so many for every contender;
            `seconds` of this session; `none`, for the first round alone; or `rest`, as many as the
            time of the whole search allows.
        amount: of the measure.
    """

    measure: Measure
    amount: float = 0.0

    @classmethod
    def read(cls, text: str) -> FinalBudget:
        """Read `24runs`, `12seeds`, `90s`, `10m`, `2h`, `none` or `rest`.

        Raises:
            ValueError: it is none of these; the message names the unit that is nearest.
        """
        if text.strip().lower() == NONE:
            return cls("none")
        if text.strip().lower() == REST:
            return cls("rest")
        amount = read_amount(text, ("seeds", "runs", "seconds"), _EXAMPLES, [NONE, REST])
        return cls(amount.measure, amount.amount)  # type: ignore[arg-type] # of those three


def _checked(text: str) -> str:
    FinalBudget.read(text)
    return text.strip()


#: The field of a plan, as it was written.
FinalBudgetText = Annotated[str, AfterValidator(_checked)]
