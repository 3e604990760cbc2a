"""Search policies: how a search spends a given time, one row each, open for others to add to."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Literal, get_args

from attenergy.registry import ArgumentError, Catalogue, UnknownName
from attenergy.search.budgets.clock import FINALS_AFTER_PAUSES, REPORT
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.planning.samplers import SAMPLERS
from attenergy.search.planning.search_budget import PAUSE, SURVIVORS

Survivors = Literal["", "restart", "continue"]


@dataclass(frozen=True)
class SearchPolicy:
    """How a search spends its time.

    Trials come first, then the race of the finalists. With `survivors` there are two rungs: the
    trials are trained for a part of the steps, and the better of them for all.

    Attributes:
        sampler: a row of `SAMPLERS`.
        pruner: a row of `PRUNERS`, for trials of full length.
        trials: how many; None for as many as are expected to fit into `share` of the time.
        share: of the time, after which no trial begins.
        steps: of the task's training steps, the share that a trial has.
        survivors: what happens to the better trials: "" nothing before the finals; `restart`
            trains them anew for the task's full steps; `continue` goes on with them, as a trial
            then is a run of full length that pauses after `steps` of it.
        keep: share of the trials that survive; the best of the baseline and of the variants that
            lead go on in any case, as in a search.
        control: trials drawn at random; None for a fifth.
        finalists: variants, each by its best, beside the baseline.
        seeds: first seeds of each.
        final_budget: of the race, such as `12seeds`; empty for the time that is left.
    """

    sampler: str = "tpe"
    pruner: str = "none"
    trials: int | None = None
    share: float = 0.5
    steps: float = 1.0
    survivors: Survivors = ""
    keep: float = 1 / 3
    control: int | None = None
    finalists: int = 3
    seeds: int = 3
    final_budget: str = ""

    def __post_init__(self) -> None:
        SAMPLERS.lookup(self.sampler)
        PRUNERS.lookup(self.pruner)
        for name in ("share", "steps", "keep"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ArgumentError(
                    f"{name} of a policy must be above 0 and at most 1, got {value}"
                )
        for name, least in (("trials", 1), ("control", 0), ("finalists", 0), ("seeds", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ArgumentError(f"{name} of a policy must be at least {least}, got {value}")
        if self.survivors not in get_args(Survivors):
            raise ArgumentError(
                f"survivors of a policy must be restart, continue or empty, got {self.survivors!r}"
            )
        if self.survivors and self.steps == 1:
            raise ArgumentError("survivors need trials with a part of the steps, such as steps=1/4")
        if self.final_budget:
            FinalBudget.read(self.final_budget)


_SHORT = SearchPolicy(steps=0.25)

#: Every policy by its name.
POLICIES: Catalogue[SearchPolicy] = Catalogue(
    "policy",
    SearchPolicy,
    {
        # What a search does if nobody says anything.
        "default": SearchPolicy(trials=50, share=1.0, final_budget="12seeds"),
        # The same, but for the numbers of trials and of seeds, which follow from the time.
        "fitted": SearchPolicy(),
        # What a search does with a budget in time.
        "budget": SearchPolicy(
            share=1 - FINALS_AFTER_PAUSES - REPORT,
            steps=PAUSE,
            survivors="continue",
            keep=SURVIVORS,
        ),
        "random": SearchPolicy(sampler="random"),
        "asha": SearchPolicy(pruner="asha"),
        "short": _SHORT,
        "restart": replace(_SHORT, survivors="restart"),
        "continue": replace(_SHORT, survivors="continue"),
    },
    instances=True,
)

register_policy = POLICIES.register

_FIELD = re.compile(r"([a-z_]+)=(.*)")
_NUMBERS = {"share", "steps", "keep"}
_WHOLE = {"trials", "control", "finalists", "seeds"}


def read_policy(text: str) -> SearchPolicy:
    """Read a row of `POLICIES`, perhaps with fields of its own: `short+sampler=random+steps=1/2`.

    Raises:
        UnknownName: no such policy, field, sampler or pruner; the text names the nearest one.
        ValueError: a value does not fit its field.
    """
    name, *changes = (part.strip() for part in text.split("+"))
    policy = POLICIES.lookup(name)
    known = [field.name for field in fields(SearchPolicy)]
    for change in changes:
        match = _FIELD.fullmatch(change)
        if match is None:
            raise ArgumentError(f"a policy is changed by FIELD=VALUE, got {change!r}")
        if match[1] not in known:
            raise UnknownName("field of a policy", match[1], known)
        given: dict[str, Any] = {match[1]: _value(match[1], match[2].strip())}
        policy = replace(policy, **given)
    return policy


def _value(name: str, text: str) -> Any:
    if name not in _NUMBERS | _WHOLE:
        return text
    if text == "" and name in {"trials", "control"}:
        return None
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"{name} of a policy must be a number, got {text!r}") from None
    if name in _WHOLE and number.denominator != 1:
        raise ArgumentError(f"{name} of a policy must be a whole number, got {text!r}")
    return int(number) if name in _WHOLE else float(number)
