"""What a discovery is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from attenergy.registry import ArgumentError
from attenergy.search.engines.base import Resources
from attenergy.search.planning.amounts import Share
from attenergy.search.planning.search_budget import read_budget, seconds_of
from attenergy.search.runs.names import PathPart

if TYPE_CHECKING:
    from attenergy.search.discovery.population.individual import Arm

#: Time of a discovery of which nobody says how long it is to go on.
DEFAULT_BUDGET = "1h"


def _checked(text: str) -> str:
    if read_budget(text).measure == "trials":
        raise ArgumentError(
            "a discovery counts no trials: give a time, such as 30m, or candidates", topic="budget"
        )
    return text.strip()


class DiscoverPlan(Resources):
    """One discovery: the tasks, the time, what it begins with, and what its winners are held to.

    `tasks` are those that candidates are trained on, the cheapest first. `budget` is a time for
    everything, finals and report included (`30m`, `2h`); a resumed discovery has that time once
    more. `candidates` instead is a number of new candidates that pass the filters, besides the
    seeds; a resumed discovery counts what it has, and no clock decides anything. With both, what is
    reached first ends the evolution; with neither there is one hour.

    `seed_energies` names the energies of the registry that the evolution begins with: None for
    all that the grammar of the candidates can say, empty to begin with nothing but random trees.
    `without` are functions of the formula language that no candidate may use. `control` is the
    share of the time that goes to random trees, which are given the same filters, the same rungs
    and the same tuning.

    The best `finalists` of the evolution, the best energy of the registry and the best random tree
    are compared with softmax at the end, on the tasks and on those `held_out`, which the search
    has not seen; 0 for no such finals.

    `storage` is the URL of an Optuna storage, `study.db` in the folder if None.
    """

    study: PathPart
    folder: str
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    budget: Annotated[str, AfterValidator(_checked)] | None = None
    candidates: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    seed_energies: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    control: Annotated[Share, Field(ge=0, lt=1)] = 0.5
    finalists: Annotated[int, Field(ge=0)] = 3
    held_out: tuple[str, ...] = ()
    storage: str | None = None

    @field_validator("tasks", "seed_energies", "without", "held_out")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _held_out_are_others(self) -> DiscoverPlan:
        if both := [name for name in self.held_out if name in self.tasks]:
            raise ArgumentError(
                f"{both[0]!r} is a task of the search, so it cannot be held out",
                topic="option-value",
            )
        return self

    @property
    def seconds(self) -> float | None:
        """Of the budget; None where a number of candidates is all that ends it."""
        if self.budget is None and self.candidates is not None:
            return None
        return seconds_of(self.budget_text)

    @property
    def budget_text(self) -> str:
        """The time as it was written, or the one that a plan without any has."""
        return self.budget or DEFAULT_BUDGET

    @property
    def shares(self) -> dict[Arm, float]:
        """Which share of the time each arm is to have, after the seeds."""
        return {"evolved": 1 - self.control, "random": self.control}
