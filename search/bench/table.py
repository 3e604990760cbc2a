"""Tables of learning curves: real runs of many configurations of one task, as a file of JSON.

    table = load_table("raven-one")
    table.configs[3].params              # {"variant": "lse", "lse.beta": 0.4, "heads": 8, ...}
    table.configs[3].runs_of(200)        # its runs of so many steps, one for each seed
    table.configs[3].seconds(200, 8)     # what such a run costs, on the machine of `table.about`

A table holds no code and needs none but this module, so others can use it as a benchmark of
searches for attention. `attenergy.search.bench.world` makes an objective of one.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from attenergy.registry import ArgumentError, UnknownName
from attenergy.registry.files import read_regular
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.records import first_problem

#: Where the tables of the toolkit lie.
TABLES = Path(__file__).parent / "tables"
MAX_BYTES = 16_000_000

_PLAIN = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
_Short = Annotated[str, Field(max_length=2000)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class CurveRun(BaseModel):
    """One run that was trained to its end.

    Attributes:
        steps: of training, over which its schedule of the learning rate stretches.
        seed: of weights and training stream.
        at: steps after which it was evaluated; the last is `steps`, unless it diverged.
        scores: the table's metric on valid, after each of them.
        losses: mean training loss since the evaluation before.
        final: the metric at the end on the other splits, by their names.
        diverged: whether it ended with a loss that is not finite.
    """

    model_config = _PLAIN

    steps: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    at: tuple[Annotated[int, Field(ge=1)], ...]
    scores: tuple[_Finite, ...]
    losses: tuple[_Finite, ...]
    final: dict[_Short, _Finite] = {}
    diverged: bool = False

    @model_validator(mode="after")
    def _one_score_each(self) -> CurveRun:
        if not len(self.at) == len(self.scores) == len(self.losses):
            raise ArgumentError("a run needs as many scores and losses as points")
        rising = all(one < two for one, two in zip(self.at, self.at[1:], strict=False))
        if not rising or (not self.diverged and self.at[-1:] != (self.steps,)):
            raise ArgumentError("the points of a run must rise to its last step")
        return self


class CurveConfig(BaseModel):
    """One configuration: its parameters by their names in a study, its cost and its runs.

    Attributes:
        params: `variant`, `heads`, `learning_rate`, `lse.beta`, ...
        seconds_per_step: of training, on the table's machine.
        seconds_per_evaluation: on the valid split.
        seconds_per_run: of the other splits at its end.
        parameters: trainable numbers of the model.
        forward_flops: of one instance.
        runs: of one or more lengths, each with one or more seeds.
    """

    model_config = _PLAIN

    params: dict[_Short, bool | int | float | _Short]
    seconds_per_step: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seconds_per_evaluation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seconds_per_run: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    parameters: Annotated[int, Field(ge=0)]
    forward_flops: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    runs: Annotated[tuple[CurveRun, ...], Field(min_length=1)]

    @property
    def variant(self) -> str:
        """Its energy or mixer."""
        return str(self.params["variant"])

    def runs_of(self, steps: int) -> tuple[CurveRun, ...]:
        """The runs whose training has so many steps, by their seeds."""
        return tuple(sorted((r for r in self.runs if r.steps == steps), key=lambda run: run.seed))

    def seconds(self, steps: int, evaluations: int, *, ended: bool = True) -> float:
        """What so many steps of training and so many evaluations cost.

        Args:
            steps: of training.
            evaluations: on the valid split.
            ended: with those on the other splits, at the end of a run.
        """
        seconds = self.seconds_per_step * steps + self.seconds_per_evaluation * evaluations
        return seconds + self.seconds_per_run * ended


class CurveTable(BaseModel):
    """Runs of many configurations of one task.

    Attributes:
        name: of the table.
        task: name in the registry.
        task_options: those that differ from the entry of the task.
        fix: quantities of model and training that were the same for all, beyond the task's own.
        variants: the energies and mixers that the configurations were drawn from.
        metric: of the scores; higher is better.
        chance: the score of a guess, if known.
        ceiling: the best possible score, if known.
        steps: of the task's own training; `lengths` are all that were trained.
        about: where the table comes from: command, machine, versions, state of the registry.
        configs: the configurations.
    """

    model_config = _PLAIN

    format: Literal[1] = 1
    name: _Short
    task: _Short
    task_options: dict[_Short, bool | int | float | _Short] = {}
    fix: dict[_Short, bool | int | float | _Short] = {}
    variants: tuple[_Short, ...]
    metric: _Short
    chance: float | None = None
    ceiling: float | None = None
    steps: Annotated[int, Field(ge=1)]
    about: dict[_Short, _Short]
    configs: Annotated[tuple[CurveConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_has_full_runs(self) -> CurveTable:
        for place, config in enumerate(self.configs):
            if config.params.get("variant") not in self.variants:
                raise ArgumentError(f"configuration {place} has none of the table's variants")
            if {run.steps for run in config.runs} != set(self.lengths):
                raise ArgumentError(f"configuration {place} lacks runs of one of the lengths")
        if self.steps not in self.lengths:
            raise ArgumentError(f"no run has the {self.steps} steps of the task")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """Numbers of steps for which every configuration has a run, the shortest first."""
        return tuple(sorted({run.steps for run in self.configs[0].runs}))

    @cached_property
    def by_variant(self) -> dict[str, tuple[int, ...]]:
        """Places of the configurations of each variant."""
        return {
            name: tuple(n for n, c in enumerate(self.configs) if c.variant == name)
            for name in self.variants
        }

    def plan(self, **fields: Any) -> SearchPlan:
        """A search plan of the table's task, variants and space, with other fields as given."""
        baseline = {} if "softmax" in self.variants else {"baseline": self.variants[0]}
        return SearchPlan.model_validate(
            {
                "study": self.name,
                "folder": "",
                "task": self.task,
                "task_options": self.task_options,
                "variants": self.variants,
                "fix": self.fix,
                **baseline,
                **fields,
            }
        )


def table_names() -> tuple[str, ...]:
    """The names of the toolkit's own tables."""
    return tuple(sorted(path.stem for path in TABLES.glob("*.json")))


def load_table(name: str | Path) -> CurveTable:
    """Read a table.

    Args:
        name: of one of the toolkit's own (`table_names()`), or the path of a file.

    Raises:
        UnknownName: it is neither.
        ValueError: the file holds something else, or runs that contradict each other.
        OSError: the file cannot be read, or is larger than 16 MB.

    Example:
        >>> table = load_table("raven-one")
        >>> table.metric, table.steps
        ('accuracy', 200)
    """
    own = {each: TABLES / f"{each}.json" for each in table_names()}
    path = own.get(str(name), Path(name))
    if path not in own.values() and not path.exists():
        raise UnknownName("table or file of one", str(name), own)
    try:
        return CurveTable.model_validate_json(read_regular(path, MAX_BYTES))
    except ValidationError as error:
        raise ArgumentError(f"{path}: no table of curves: {first_problem(error)}") from error
