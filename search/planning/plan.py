"""What a search is asked to do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from attenergy.registry import ArgumentError, Scalar
from attenergy.search.runs.limits import Limits, read_bytes
from attenergy.search.runs.names import PathPart
from attenergy.search.study.pruning import PrunerName

SamplerName = Literal["tpe", "random", "qmc", "brute-force", "gp", "nsga2"]
Fairness = Literal["steps", "flops", "seconds"]


class Crew(BaseModel):
    """Who does the work, which decides no result.

    `workers` processes on this machine, 0 for the driver's own; with the engine `ray`, so many
    runs at a time on the cluster at `address` (this machine's, or a new one, if None), each with
    its share of cores and GPUs; 0 for as many as there is room for.

    A run that takes longer than `trial_seconds`, or whose worker grows beyond `trial_memory`
    (bytes, or a text such as "4G"), is recorded as failed, without a second try. Without
    `trial_seconds` it may go on for as long as it makes training steps; see `limits.Learned`.
    Workers send heartbeats; one that sends none for six times `heartbeat` seconds is replaced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: Annotated[int, Field(ge=0)] = 1
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    cpus_per_trial: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    trial_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    trial_memory: Annotated[int | None, BeforeValidator(read_bytes)] = None
    heartbeat: Annotated[int, Field(ge=1)] = 10

    @property
    def limits(self) -> Limits:
        """What every run may take."""
        return Limits.of(self.trial_seconds, self.trial_memory, self.heartbeat)


class SearchPlan(Crew):
    """One search: the task, the variants, the budget and what happens to the winners.

    `space` is the registry's space that is searched besides the variants, the task's own if None.
    `variants` empty means every energy and mixer of the registry. `trials` is a total: a resumed
    search counts what it has. `control` of them are proposed at random, so that the sampler can
    be compared with chance; None means a fifth of those that nobody has given parameters to.
    `enqueue` are parameters, or parts of them, that are tried before the sampler's own.

    `objectives` are metrics of the task (or `loss`) and costs (`flops`, `seconds`, `parameters`,
    `state_bytes`, `memory_bytes`, `ms_per_step`), the first a metric; without any it is the task's
    metric, which a `pruner` goes by in any case. With several, the winners are those that no other
    beats in all of them.

    `train_steps` and `final_steps` replace the task's own number of steps in the trials and for
    the finalists; with no finalists the baseline is not repeated either. `fairness` says what is
    equal for all runs: training steps, training FLOPs, or seconds of training (`seconds`, or as
    many as the baseline's first run took); the measure is the baseline on the task's own terms.
    Each of the variants `matched` is given as many trials as the most tried of the others, whatever
    the sampler thinks of it: a baseline has the same right to be tuned. If None, these are the
    baseline and those of softmax, linear and hyla that take part.
    `fix` pins quantities of the space, such as `{"heads": 8, "lse.steps": 2}`.

    `storage` is the URL of an Optuna storage, `study.db` in the folder if None. With `join` this
    driver works on the study together with others that were told the same, each with a folder of
    its own or all with one. Every `heartbeat` seconds a driver gives a sign of life for each of its
    trials; after three without one, another driver takes the trial over.
    """

    study: PathPart
    folder: str
    task: str
    task_options: dict[str, Scalar] = {}
    space: str | None = None
    variants: tuple[str, ...] = ()
    trials: Annotated[int, Field(ge=1)] = 50
    control: Annotated[int, Field(ge=0)] | None = None
    enqueue: tuple[dict[str, Scalar], ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] = 0
    sampler: SamplerName = "tpe"
    objectives: tuple[str, ...] = ()
    pruner: PrunerName = "none"
    finalists: Annotated[int, Field(ge=0)] = 3
    seeds: Annotated[int, Field(ge=1)] = 3
    final_steps: Annotated[int, Field(ge=1)] | None = None
    train_steps: Annotated[int, Field(ge=1)] | None = None
    fairness: Fairness = "steps"
    seconds: Annotated[float, Field(gt=0)] | None = None
    baseline: str = "softmax"
    matched: tuple[str, ...] | None = None
    storage: str | None = None
    join: bool = False
    fix: dict[str, Scalar] = {}

    @field_validator("variants", "objectives", "matched")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _seconds_are_the_measure(self) -> SearchPlan:
        check_seconds(self.fairness, self.seconds)
        return self

    @model_validator(mode="after")
    def _all_drivers_do_the_same(self) -> SearchPlan:
        if self.join and self.fairness == "seconds" and self.seconds is None:
            raise ArgumentError("drivers that join need 'seconds': each would measure its own")
        if self.join and self.sampler == "brute-force":
            raise ArgumentError("the sampler brute-force counts what is left for one driver only")
        return self


def check_seconds(fairness: Fairness, seconds: float | None) -> None:
    """Raise ValueError if seconds are given to runs that do not stop by the clock."""
    if seconds is not None and fairness != "seconds":
        raise ArgumentError(f"'seconds' needs fairness 'seconds', got {fairness!r}")
