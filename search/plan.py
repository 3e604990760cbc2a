"""What a search is asked to do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from attenergy.registry import Scalar


class SearchPlan(BaseModel):
    """One search: the task, the variants, the budget and what happens to the winners.

    `variants` empty means every energy and mixer of the registry. `trials` is a total: a resumed
    search counts what it has. `train_steps` and `final_steps` replace the task's own number of
    steps in the trials and for the finalists; with no finalists the baseline is not repeated
    either. `fix` pins quantities of the space, such as
    `{"heads": 8, "lse.steps": 2}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    folder: str
    task: str
    task_options: dict[str, Scalar] = {}
    variants: tuple[str, ...] = ()
    trials: Annotated[int, Field(ge=1)] = 50
    workers: Annotated[int, Field(ge=0)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] = 0
    sampler: Literal["tpe", "random"] = "tpe"
    finalists: Annotated[int, Field(ge=0)] = 3
    seeds: Annotated[int, Field(ge=1)] = 3
    final_steps: Annotated[int, Field(ge=1)] | None = None
    train_steps: Annotated[int, Field(ge=1)] | None = None
    baseline: str = "softmax"
    storage: str | None = None
    fix: dict[str, Scalar] = {}

    @field_validator("variants")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))
