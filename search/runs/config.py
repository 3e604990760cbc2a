"""A run: what is trained (`RunConfig`) and what came of it (`RunRecord`).

Both are plain data that survive a trip through JSON. A configuration carries the whole definition
of its layer and task, so a run can be repeated without the registry files that it came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer

from attenergy.registry import ModelSpec, OwnModel, TaskSpec, TrainingSpec, VariantSpec
from attenergy.search.runs.failures import recordable

Status = Literal["complete", "pruned", "diverged", "failed"]
#: Who chose the parameters of a trial: an entry's own values, the sampler, the sampler for a
#: variant that is to be tried as often as others, the random control beside it, the person who
#: enqueued them, or an earlier study. Empty for runs that are no trials.
Proposer = Literal["", "default", "sampler", "matched", "control", "enqueued", "earlier"]

# What is not finite is written as what it is: `null` could not be read back.
_PLAIN = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class RunConfig(BaseModel):
    """Everything that decides the result of one training run, the seed included."""

    model_config = _PLAIN

    variant: str = Field(max_length=200)  # registry name of the energy, mixer or stack
    layer: VariantSpec
    #: The layer's own parameters, choices, options, steps and step_size; of a stack each at its
    #: place (`2a.beta`, see `attenergy.registry.stacks`).
    settings: dict[str, bool | float | int | str] = {}
    task: str = Field(max_length=200)
    task_spec: TaskSpec
    model: ModelSpec
    training: TrainingSpec
    seed: int = 0  # weights and training stream
    split_seed: int = 0  # which combinations are held out
    #: Seconds of training (evaluations not counted) instead of a number of steps; the schedule of
    #: the learning rate follows the share of them that is spent.
    seconds: float | None = None
    #: Training steps after which the run pauses: it is the beginning of one with all its steps.
    pause: int | None = Field(default=None, ge=1)
    #: A user's own model instead of a transformer; of `model` it takes what its function does.
    own_model: OwnModel | None = None

    @property
    def last_step(self) -> int:
        """The training step after which the run ends or pauses."""
        return self.pause or self.training.steps

    @model_serializer(mode="wrap")
    def _without_absent(self, plain: Callable[[RunConfig], dict[str, Any]]) -> dict[str, Any]:
        data = plain(self)
        return {n: v for n, v in data.items() if n not in _OPTIONAL or v is not None}

    def config_hash(self) -> str:
        """Hash of the configuration without its seed: equal for repeats over seeds."""
        return _digest(self.model_dump(mode="json", by_alias=True, exclude={"seed"}))

    def run_key(self) -> str:
        """Hash of the configuration with its seed: one run has one key."""
        return _digest(self.model_dump(mode="json", by_alias=True))

    def with_steps(self, steps: int | None) -> RunConfig:
        """The whole run with another number of training steps; one that is not trained stays so.

        The warm-up is cut to a quarter of the steps where it is longer, and the model is evaluated
        at least once.

        Args:
            steps: None for the run as it is.
        """
        old = self.training
        if steps is None or old.steps in {steps, 0}:
            return self.whole()
        training = old.model_copy(
            update={
                "steps": steps,
                "warmup": min(old.warmup, steps // 4),
                "evaluate_every": min(old.evaluate_every, steps),
            }
        )
        return self.model_copy(update={"training": training, "pause": None})

    def paused(self, share: float) -> RunConfig:
        """The beginning of the run, up to the evaluation that is nearest to a share of its steps.

        A run that is evaluated at its end alone, or goes by seconds, does not pause.

        Args:
            share: of the training steps, above 0 and below 1.
        """
        training = self.training
        if not training.steps or self.seconds is not None:
            return self.whole()
        every = training.evaluate_every
        pause = max(1, round(share * training.steps / every)) * every
        return self.model_copy(update={"pause": pause if pause < training.steps else None})

    def whole(self) -> RunConfig:
        """The run without a pause."""
        return self if self.pause is None else self.model_copy(update={"pause": None})


class RunRecord(BaseModel):
    """What one run gave: raw metrics, curve, cost and the circumstances, one line of JSON."""

    model_config = _PLAIN

    key: str
    config_hash: str
    config: RunConfig
    status: Status
    reason: str = ""  # why it was pruned, diverged or failed; what happened on the way
    metrics: dict[str, dict[str, float]] = {}  # split -> metric -> value
    #: step, loss, and the validation metrics at that step; `seconds` where they are the budget
    curve: list[dict[str, float]] = []
    cost: dict[str, float] = {}  # see `attenergy.search.training.cost`
    versions: dict[str, str] = {}
    machine: dict[str, str] = {}
    started: str = ""  # ISO 8601, UTC
    weights: str = ""  # path of the trained weights (safetensors), relative to the study's folder
    purpose: Literal["trial", "final", "compare"] = Field(default="trial")
    proposer: Proposer = ""
    #: Training steps from which the run went on after it had been broken off.
    continued: tuple[int, ...] = ()

    @field_validator("reason", mode="before")
    @classmethod
    def _can_be_written(cls, reason: Any) -> Any:
        return recordable(reason) if isinstance(reason, str) else reason


#: A score beyond it, either way, is that of a run that diverged; a cost is no cost.
LARGEST = 1e100
#: Fields that came later: absent where there is nothing, so runs of then keep their keys.
_OPTIONAL = frozenset({"pause", "own_model"})
#: Fields of a training that came later, with what held before: runs of then keep their keys.
_LATER = {
    **{"optimizer": "adamw", "muon_learning_rate": 0.02, "precision": "float32"},
    **{"schedule": "cosine", "tail": 0.2, "energy_loss": "none"},
}
#: Solvers that were renamed, with the name under which a run's key knows them.
_RENAMED = {"semi_implicit": "implicit", "coordinate_descent": "sequential"}


def _digest(data: dict[str, Any]) -> str:
    for training in (data["training"], data["task_spec"]["training"]):
        for name, before in _LATER.items():
            if training[name] == before:
                del training[name]
    for part in (data["settings"], data["layer"]):
        if "solver" in part:
            part["solver"] = _as_named_before(part["solver"])
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_named_before(value: Any) -> Any:
    """A solver's name, or what an entry says of its solvers, in the words that keys are made of."""
    if isinstance(value, dict):
        return {key: _as_named_before(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_named_before(inner) for inner in value]
    return _RENAMED.get(value, value) if isinstance(value, str) else value
