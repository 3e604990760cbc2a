"""What a run costs, as far as it is known before the run is trained."""

from __future__ import annotations

import json
from collections.abc import Collection

import torch
from torch import nn

from attenergy.search.runs.config import RunConfig
from attenergy.search.training import cost
from attenergy.search.training.energy_loss import make_energy_loss
from attenergy.search.training.model import build_model
from attenergy.tasks import Task, make_task


class KnownCosts:
    """Costs of runs by their names in a record; each layer of each size is built once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, float]] = {}
        self._task: tuple[object, Task] | None = None

    def of(self, config: RunConfig, names: Collection[str]) -> dict[str, float]:
        """Those of `parameters`, `state_bytes`, `forward_flops` and `training_flops` in `names`.

        `training_flops` only where the number of steps is known. Empty if the model cannot be
        built. Parameters and state are counted without memory for either.
        """
        known = self._known.setdefault(_model_of(config), {})
        operations = {"forward_flops", "training_flops"}.intersection(names)
        try:
            if {"parameters", "state_bytes"}.intersection(names) - known.keys():
                known |= self._sizes(config)
            if operations:
                self.forward_flops(config)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            return {}
        costs = dict(known)
        training = config.training
        if operations and config.seconds is None:
            instances = config.last_step * training.batch_size
            costs["training_flops"] = cost.BACKWARD * instances * self.trained_flops(config)
        return {name: costs[name] for name in names if name in costs}

    def forward_flops(self, config: RunConfig) -> float:
        """FLOPs of a forward pass of one instance.

        Raises:
            ValueError: the model cannot be built.
        """
        known = self._known.setdefault(_model_of(config), {})
        if "forward_flops" not in known:
            known["forward_flops"] = self._forward_flops(config)
        return known["forward_flops"]

    def trained_flops(self, config: RunConfig) -> float:
        """FLOPs of the forward pass and the loss of one instance that is trained on.

        Raises:
            ValueError: the model cannot be built, or cannot have the run's loss on energies.
        """
        flops, term = self.forward_flops(config), config.training.energy_loss
        if config.training.energy_term is None:
            return flops
        known = self._known[_model_of(config)]
        if term not in known:
            task = self._task_of(config)
            model = _built(config, task)
            batch, loss = task.batch("valid", 0, 2), make_energy_loss(model, config.training)
            known[term] = cost.energy_loss_flops(model, loss, batch, task.scored_positions)
        return flops + known[term]

    def _sizes(self, config: RunConfig) -> dict[str, float]:
        task = self._task_of(config)
        try:
            with torch.device("meta"):
                model = build_model(config, task)
        except (NotImplementedError, RuntimeError):  # a layer that looks at its numbers
            model = _built(config, task)
        state = cost.state_bytes(model, task.inputs.length)
        return {"parameters": float(cost.count_parameters(model)), "state_bytes": state}

    def _forward_flops(self, config: RunConfig) -> float:
        task = self._task_of(config)
        model = _built(config, task)
        return cost.forward_flops(model, task.batch("valid", 0, 2), task.scored_positions)

    def _task_of(self, config: RunConfig) -> Task:
        about = (config.task_spec, config.split_seed)
        if self._task is None or self._task[0] != about:
            self._task = about, make_task(config.task_spec, split_seed=config.split_seed)
        return self._task[1]


def _built(config: RunConfig, task: Task) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return build_model(config, task)


def _model_of(config: RunConfig) -> str:
    about = {"layer", "settings", "model", "own_model", "task_spec"}
    data = config.model_dump(mode="json", include=about, by_alias=True)
    return json.dumps(data, sort_keys=True)
