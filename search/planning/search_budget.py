"""How much a whole search or comparison may take: `30m`, `2h`, `90s` or `40trials`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from attenergy.registry import ArgumentError
from attenergy.search.planning.amounts import Amount, read_amount
from attenergy.search.planning.final_budget import REST

#: A search under a budget in time pauses its trials after this share of their steps, and this share
#: of them goes on; `attenergy bench policies` says why.
PAUSE, SURVIVORS = 3 / 8, 1 / 8


def read_budget(text: str) -> Amount:
    """Read `30m`, `2h`, `90s` or `40trials`.

    Raises:
        ValueError: it is none of these; the message names the unit that is nearest.
    """
    return read_amount(text, ("seconds", "trials"), "30m, 2h, 90s or 40trials")


def seconds_of(budget: str | None) -> float | None:
    """The seconds of a plan's budget; None where it has none, or one of trials."""
    amount = None if budget is None else read_budget(budget)
    return amount.amount if amount is not None and amount.measure == "seconds" else None


def times(budget: str, factor: int) -> str:
    """So many times a budget in time: four times `30m` are `2h`."""
    seconds = factor * read_budget(budget).amount
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"


def sized(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a search's plan in which trials and finals are as its budget says.

    `40trials` are `trials` of 40, or of fewer where that says so. With a budget in time, trials
    that nobody has numbered are as many as fit, and finals without a budget of their own have what
    is left of it.
    """
    given = {n: v for n, v in fields.items() if n not in _SIZES or v is not None}
    try:
        budget = read_budget(given["budget"])
    except (KeyError, AttributeError, ArgumentError):  # the field itself says what is wrong
        return given
    if budget.measure == "seconds":
        return {"trials": None, "final_budget": REST, **given}
    trials, before = int(budget.amount), given.get("trials")
    given["trials"] = min(trials, before) if isinstance(before, int) else trials
    return {**given, "budget": None}


_SIZES = ("budget", "trials", "final_budget")


def check_rest(budget: str | None, final_budget: str) -> None:
    """Raise ValueError where finals are to have the rest of a budget that there is not."""
    if final_budget.lower() == REST and seconds_of(budget) is None:
        raise ArgumentError(
            f"the final_budget {REST!r} needs a budget in time, such as 30m", topic="budget"
        )


def _checked(text: str) -> str:
    read_budget(text)
    return text.strip()


def _checked_time(text: str) -> str:
    if read_budget(text).measure == "trials":
        raise ArgumentError(
            "a comparison has no trials: give a time, or seeds, or a final_budget", topic="budget"
        )
    return text.strip()


#: The field of a search's plan, as it was written, and that of a comparison's.
BudgetText = Annotated[str, AfterValidator(_checked)]
TimeText = Annotated[str, AfterValidator(_checked_time)]
