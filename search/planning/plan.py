"""What a search is asked to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from attenergy.registry import ArgumentError, Catalogue, Scalar, SearchSpaceError
from attenergy.registry.specs import MOST_STEPS
from attenergy.search.engines.base import Resources
from attenergy.search.planning.amounts import Share
from attenergy.search.planning.cost_limits import CostLimitFields
from attenergy.search.planning.final_budget import DEFAULT, NONE, REST, FinalBudgetText
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.planning.samplers import SAMPLERS
from attenergy.search.planning.search_budget import (
    PAUSE,
    SURVIVORS,
    BudgetText,
    TimeText,
    check_rest,
    seconds_of,
    sized,
)
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.names import PathPart


def _known(table: Catalogue[Any]) -> AfterValidator:
    """Refuse what is no name in a table, but for the plan of a study that was run."""

    def check(name: str, info: ValidationInfo) -> str:
        if not (info.context or {}).get(RECORDED):
            table.lookup(name)
        return name

    return AfterValidator(check)


#: The most seeds of anything; more are a slip, and their list would fill the memory.
MOST_SEEDS = 10_000
#: Key of a validation context: the plan was carried out, perhaps with rows of a plug-in's.
RECORDED = "recorded"
SamplerName = Annotated[str, _known(SAMPLERS)]
PrunerName = Annotated[str, _known(PRUNERS)]
ModelName = Annotated[str, Field(max_length=200)]
Fairness = Literal["steps", "flops", "seconds"]

#: Quantities of a training that are equal for all runs of a comparison, whatever is tuned.
UNTUNED = ("steps", "valid_instances", "test_instances")
#: File of a comparison's plan in its folder.
COMPARE_PLAN = "compare.json"
#: File of a discovery's plan in its folder (`attenergy.search.discovery`).
DISCOVER_PLAN = "discover.json"

Crew = Resources  # earlier name


class SearchPlan(Resources):
    """One search: the task, the variants, the budget and what happens to the winners.

    `space` is the registry's space that is searched besides the variants, the task's own if None.
    `variants` empty means every energy and mixer of the registry. `budget` is a time for the whole
    search, finals and report included (`30m`, `2h`), or a number of trials (`40trials`, which is
    `trials` by another name); a resumed search has that time once more. `trials` is a total: a
    resumed search counts what it has. It is 50 if nobody says, or with a budget in time as many as
    fit (None); with both, what is reached first ends the trials. `control` of them are proposed at
    random, so that the sampler can be compared with chance; None means a fifth of those that
    nobody has given parameters to. `enqueue` are parameters, or parts of them, that are tried
    before the sampler's own.

    `objectives` are metrics of the task (or `loss`) and costs (`flops`, `seconds`, `parameters`,
    `state_bytes`, `memory_bytes`, `ms_per_step`), the first a metric; without any it is the task's
    metric, which a `pruner` goes by in any case. With several, the winners are those that no other
    beats in all of them.

    With `rungs` R a trial trains for one in 2^(R-1) of the steps, and the better half of the trials
    goes on for twice as many steps, again and again; finalists are chosen among the last. See
    `attenergy.search.study.rungs`. With a `pause` a trial is the beginning of a whole run, that
    share of it, and the best of them, `survivors` of all, go on to their ends; 0 for whole trials.
    If None, it is what the study has; a new one pauses if it has a budget in time.

    `train_steps` and `final_steps` replace the task's own number of steps in the trials and for
    the finalists; with no finalists the baseline is not repeated either. Finalists begin with
    `seeds` seeds each; more are added, in rounds, to those that are not decided, until all are or
    `final_budget` is spent: `12seeds` (for each, on average), `24runs` (in all), `10m` (of this
    session), `none`, or `rest`, the time that `budget` leaves, which is what it is where there is
    one; see `attenergy.search.results.race`. `fairness` says what is
    equal for all runs: training steps, training FLOPs, or seconds of training (`seconds`, or as
    many as the baseline's first run took); the measure is the baseline with the task's defaults.
    Each of the variants `matched` is given as many trials as the most tried of the others, whatever
    the sampler thinks of it: a baseline has the same right to be tuned. If None, these are the
    baseline and those of softmax, linear and hyla that take part.
    `fix` pins quantities of the space, such as `{"heads": 8, "lse.steps": 2}`.

    `cost_limits` are the most that a configuration may cost, such as `{"params": "100k"}`; see
    `attenergy.search.planning.cost_limits`. What is beyond them before it is trained is not
    trained, and is no trial; the baseline with its defaults is, as the reference.

    `earlier` names studies (beside this one, or by their paths) whose best configurations are tried
    first, and whose order shapes what the sampler proposes; see `attenergy.search.study.earlier`.
    What is taken from them is kept with the study, which does not need them afterwards.

    `model` names a function `module:function` that builds a model of the user's around the layers
    of a run, `model_options` are further arguments of it; without one it is a transformer. The
    module has to be a plug-in of this process (`attenergy.load_plugins`).

    `storage` is the URL of an Optuna storage, `study.db` in the folder if None. With `join` this
    driver works on the study together with others that have the same plan, each with a folder of
    its own or all with one. Every `heartbeat` seconds a driver gives a sign of life for each of its
    trials; after three without one, another driver takes the trial over.
    """

    study: PathPart
    folder: str
    task: str
    task_options: dict[str, Scalar] = Field(default={})
    space: str | None = None
    variants: tuple[str, ...] = ()
    budget: BudgetText | None = None
    trials: Annotated[int, Field(ge=1)] | None = 50
    control: Annotated[int, Field(ge=0)] | None = None
    enqueue: tuple[dict[str, Scalar], ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] = 0
    sampler: SamplerName = "tpe"
    objectives: tuple[str, ...] = ()
    pruner: PrunerName = "none"
    rungs: Annotated[int, Field(ge=1, le=16)] = 1
    pause: Annotated[Share, Field(ge=0, lt=1)] | None = None
    survivors: Annotated[Share, Field(gt=0, le=1)] = SURVIVORS
    finalists: Annotated[int, Field(ge=0)] = 3
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 3
    final_budget: FinalBudgetText = DEFAULT
    final_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    train_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    fairness: Fairness = "steps"
    seconds: Annotated[float, Field(gt=0)] | None = None
    baseline: str = "softmax"
    matched: tuple[str, ...] | None = None
    storage: str | None = None
    join: bool = False
    fix: dict[str, Scalar] = Field(default={})
    model: ModelName | None = None
    model_options: dict[str, Scalar] = Field(default={})
    cost_limits: CostLimitFields = Field(default={})
    earlier: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _sized_by_the_budget(cls, fields: Any) -> Any:
        return sized(fields) if isinstance(fields, dict) else fields

    @field_validator("variants", "objectives", "matched", "earlier")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _budgets_go_together(self) -> SearchPlan:
        check_seconds(self.fairness, self.seconds)
        check_rest(self.budget, self.final_budget)
        return self

    @model_validator(mode="after")
    def _rungs_are_steps(self) -> SearchPlan:
        if self.rungs > 1 and self.fairness == "seconds":
            raise ArgumentError(
                "several rungs go by training steps, not with fairness 'seconds'",
                topic="option-value",
            )
        if self.rungs > 1 and seconds_of(self.budget) is not None:
            raise ArgumentError(
                "several rungs need a number of trials, not a budget in time", topic="option-value"
            )
        if self.pause and self.rungs > 1:
            raise ArgumentError(
                "trials pause, or have several rungs: give one of the two", topic="option-value"
            )
        if self.pause and self.fairness == "seconds":
            raise ArgumentError(
                "a pause goes by training steps, not with fairness 'seconds'", topic="option-value"
            )
        return self

    @property
    def default_pause(self) -> float:
        """The pause of a new search where nobody has said any.

        One under a budget in time pauses, unless several drivers would have to reach the same
        states, or a pruner does the same in another way.
        """
        if seconds_of(self.budget) is None or self.fairness == "seconds":
            return 0
        return 0 if self.join or self.rungs > 1 or self.pruner != "none" else PAUSE

    def checkpoints(self, folder: Path) -> Checkpoints:
        """As in `Resources`; what survivors go on from is kept meanwhile."""
        own = super().checkpoints(folder)
        return replace(own, keep=own.keep or self.rungs > 1 or bool(self.pause))

    @model_validator(mode="after")
    def _all_drivers_do_the_same(self) -> SearchPlan:
        if self.join and self.fairness == "seconds" and self.seconds is None:
            raise ArgumentError(
                "drivers that join need 'seconds': each would measure its own", topic="option-value"
            )
        if self.join and self.sampler in SAMPLERS and SAMPLERS[self.sampler].exhaustive:
            raise ArgumentError(
                f"the sampler {self.sampler} counts what is left for one driver only",
                topic="option-value",
            )
        return self


class ComparePlan(Resources):
    """One comparison: the task, the variants, the budget for each; equal for all of them.

    With values in `tune`, each variant tries all their combinations with seed 0 and takes the one
    with the best validation score into its `seeds` runs (seeds 1, 2, ...). A quantity with one
    value has that; one that is not named, the task's own. `learning_rates` is an earlier form of
    `tune` for that quantity alone. `steps` replaces the task's number of training steps. `fix` sets
    fields of the task's model or training (`heads`), or settings of a layer (`lse.steps`). The
    first variant is the one that the others are compared with; with the fairness `flops` or
    `seconds` every run gets as many training FLOPs, or `seconds` of training (if None, as many as
    a first run of it takes).

    Who says nothing of `seeds` begins with five and has a race like that of a search, up to
    `final_budget`; with `seeds` given there are exactly so many, unless a `final_budget` is given
    as well. `budget` is a time for the whole comparison, report included (`30m`, `2h`); a race has
    what is left of it, and no run begins that would not end in it.

    `model` and `model_options` are as in a `SearchPlan`.

    Variants that are known to be beyond `cost_limits` are refused before anything is trained; what
    is measured is marked in the result.
    """

    name: PathPart
    folder: str
    task: str
    task_options: dict[str, Scalar] = Field(default={})
    variants: Annotated[tuple[str, ...], Field(min_length=1)]
    budget: TimeText | None = None
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 5
    final_budget: FinalBudgetText = DEFAULT
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    tune: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=1)]] = Field(default={})
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    fairness: Fairness = "steps"
    seconds: Annotated[float, Field(gt=0)] | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    fix: dict[str, Scalar] = Field(default={})
    model: ModelName | None = None
    model_options: dict[str, Scalar] = Field(default={})
    cost_limits: CostLimitFields = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _finals_without_a_budget(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or fields.get("final_budget") is not None:
            return fields
        given = {name: value for name, value in fields.items() if name != "final_budget"}
        if "seeds" in given:
            return {**given, "final_budget": NONE}  # so it was meant before there were races
        return given if given.get("budget") is None else {**given, "final_budget": REST}

    @field_validator("variants", "learning_rates")
    @classmethod
    def _each_once(cls, values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        return tuple(dict.fromkeys(values))

    @field_validator("tune")
    @classmethod
    def _values_once(cls, grid: dict[str, tuple[Scalar, ...]]) -> dict[str, tuple[Scalar, ...]]:
        for name in UNTUNED:
            if name in grid:
                raise SearchSpaceError(f"{name!r} is the same for all and cannot be tuned")
        return {name: tuple(dict.fromkeys(values)) for name, values in grid.items()}

    @model_validator(mode="after")
    def _tuned_once(self) -> ComparePlan:
        for name in self.tune:
            if name in self.fix or (name == "learning_rate" and self.learning_rates):
                other = "fix" if name in self.fix else "learning_rates"
                raise SearchSpaceError(
                    f"{name!r} is in 'tune' and in {other!r}; one of them is enough"
                )
        return self

    @model_validator(mode="after")
    def _budgets_go_together(self) -> ComparePlan:
        check_seconds(self.fairness, self.seconds)
        check_rest(self.budget, self.final_budget)
        return self


def check_seconds(fairness: Fairness, seconds: float | None) -> None:
    """Raise ValueError if seconds are given to runs that do not stop by the clock."""
    if seconds is not None and fairness != "seconds":
        raise ArgumentError(
            f"'seconds' needs fairness 'seconds', got {fairness!r}", topic="option-value"
        )
