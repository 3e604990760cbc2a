"""Runs of one architecture trained as one program: a population, on a GPU.

A step of a model of the Raven study is hundreds of small kernels, so a GPU mostly waits for the
processor that starts them. Here P runs share every kernel: their parameters are stacked, the model
is called under `vmap`, AdamW and Muon update all of them at once, and on a GPU the whole step is a
CUDA graph that is started with one call. Nothing mixes the members: each has the losses that it has
alone, but for rounding (`tests/studies/test_stacked.py`).

`P` members, `B` instances a step, `L` positions, `N` numbers of a member's parameters.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from stacked_optimizer import ALIGN, StackedOptimizer, spans
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from training_set import TrainingSet, Unstackable

from attenergy.attention import Transformer
from attenergy.search.runs.config import RunConfig
from attenergy.search.training import cost
from attenergy.search.training.model import build_model
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.precision import autocast
from attenergy.search.training.schedule import SCHEDULES
from attenergy.tasks import make_task

WARM_UP = 3  # steps that are taken before a step is captured


class Population:
    """P runs of one architecture on one device.

    Args:
        configs: alike but for seeds, optimisers, rates, decays, and settings that say where a
            parameter begins. The dropout is 0, and nothing is masked.
        device: where they are trained.
        instances: the training instances of every seed (`TrainingSet`).
        dtype: of parameters; float64 for tests.

    Raises:
        Unstackable: the runs differ in more.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        instances: TrainingSet,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.configs, self.device, self.dtype = list(configs), device, dtype
        training = configs[0].training
        _check(configs)
        self.task = make_task(configs[0].task_spec, split_seed=configs[0].split_seed)
        models, self.costs = zip(*(self._made(config) for config in configs), strict=True)
        self.rows = self.task.scored_positions
        self.shell = copy.deepcopy(models[0]).to("meta")
        self.places = spans(models[0])
        _, buffers = stack_module_state(models)
        alike = {n: bool((b == b[:1]).all()) for n, b in buffers.items()}
        self.buffers = {n: (b[0] if alike[n] else b).to(device) for n, b in buffers.items()}
        self._dims = {n: None if alike[n] else 0 for n in buffers}
        total = self.places[-1].start + self.places[-1].size
        self.flat = torch.zeros(len(models), math.ceil(total / ALIGN) * ALIGN, dtype=dtype)
        for member, model in enumerate(models):
            own = dict(model.named_parameters())
            for place in self.places:
                place.of(self.flat)[member] = own[place.name].detach()
        self.flat = self.flat.to(device)
        rate = SCHEDULES[training.schedule]
        schedule = [
            rate(s, peak=1.0, warmup=training.warmup, total=training.steps, tail=training.tail)
            for s in range(training.steps)
        ]
        self.optimizer = StackedOptimizer(
            self.flat,
            [make_optimizers(m, c.training) for m, c in zip(models, configs, strict=True)],
            [{id(p): name for name, p in m.named_parameters()} for m in models],
            self.places,
            schedule,
        )
        self.leaves = {p.name: p.of(self.flat).detach().requires_grad_() for p in self.places}
        self._slots = [p.of(self.optimizer.gradient) for p in self.places]
        self._instances = instances.on(device)
        self._stream = torch.tensor([instances.number(c.seed) for c in configs], device=device)
        self._within = torch.arange(training.batch_size, device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(training.steps, len(models), dtype=dtype, device=device)
        self.done, self.graph = 0, None  # type: int, torch.cuda.CUDAGraph | None
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def _made(self, config: RunConfig) -> tuple[torch.nn.Module, dict[str, float]]:
        """The model as `attenergy.search.training.train` makes it, and what it costs."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = build_model(config, self.task).to(self.dtype)
        if not isinstance(model, Transformer):
            raise Unstackable(f"{config.variant} has no transformer")
        batch = self.task.batch("valid", 0, 2)
        costs = {"parameters": float(cost.count_parameters(model))}
        if self.dtype == torch.float32:
            costs["forward_flops"] = cost.forward_flops(model, batch, self.task.scored_positions)
            costs["state_bytes"] = cost.state_bytes(model, self.task.inputs.length)
        return model, costs

    def _logits(self, parameters: Any, buffers: Any, inputs: Tensor) -> Tensor:
        # The fused kernels of a GPU have no derivative under `vmap`.
        kernels = sdpa_kernel(SDPBackend.MATH)
        with kernels, autocast(self.configs[0].training.precision, self.device):
            out: Tensor = functional_call(
                self.shell, (parameters, buffers), (inputs,), {"rows": self.rows}
            )
        return out.to(self.dtype)

    def _loss(self, parameters: Any, buffers: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.task.loss(self._logits(parameters, buffers, inputs), targets)

    def _step(self) -> None:
        """One step of all members; nothing of it depends on what Python knows."""
        index = self.counter * len(self._within) + self._within
        inputs, targets = (part[:, index][self._stream] for part in self._instances)
        losses = vmap(self._loss, in_dims=(0, self._dims, 0, 0))(
            self.leaves, self.buffers, inputs.to(self.dtype), targets.long()
        )
        gradients = torch.autograd.grad(
            losses.sum(), list(self.leaves.values()), materialize_grads=True
        )
        torch._foreach_copy_(self._slots, gradients)
        self.losses.index_copy_(0, self.counter, losses.detach()[None])
        self.optimizer.step(self.counter)
        self.counter += 1

    def capture(self) -> bool:
        """Take the first steps, then make a graph of the step; False where that cannot be."""
        if self.stream is None:
            return False
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                self._step()
                self.done += 1
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            mode = "thread_local"  # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode=mode):
                self._step()
        except Exception as error:  # what cannot be captured is run as it is
            print(f"no graph of {self.configs[0].variant}: {type(error).__name__}: {error}"[:300])
            torch.cuda.synchronize()
            return False
        self.graph = graph
        return True

    def run(self, steps: int) -> None:
        """Take so many more steps, or those that are left; on a GPU it returns before they end."""
        steps = min(steps, self.configs[0].training.steps - self.done)
        for _ in range(steps):
            if self.graph is not None:
                with torch.cuda.stream(self.stream):
                    self.graph.replay()
            elif self.stream is not None:
                with torch.cuda.stream(self.stream):
                    self._step()
            else:
                self._step()
        self.done += steps

    def synchronize(self) -> None:
        """Wait for the steps that were started."""
        if self.stream is not None:
            self.stream.synchronize()

    @torch.no_grad()
    def answers(self, inputs: Tensor, size: int = 512) -> Tensor:
        """Logits (P, n, R, C) of instances (n, ...), where they are scored."""
        call = vmap(self._logits, in_dims=(0, self._dims, None))
        parts = [call(self.leaves, self.buffers, x.to(self.dtype)) for x in inputs.split(size)]
        return torch.cat(parts, 1)


def _check(configs: Sequence[RunConfig]) -> None:
    """See that runs differ in nothing that a program of all of them cannot bear."""
    free = {"optimizer": "", "muon_learning_rate": 0.0, "learning_rate": 1.0, "weight_decay": 0.0}
    first = configs[0]
    for config in configs:
        if config.training.dropout or config.training.energy_loss != "none":
            raise Unstackable("a population has no dropout and no loss on energies")
        if architecture(config) != architecture(first):
            raise Unstackable("the members of a population have one architecture and one task")
        if config.training.model_copy(update=free) != first.training.model_copy(update=free):
            raise Unstackable("the members of a population have one schedule")


def architecture(config: RunConfig) -> str:
    """What decides the program of a run: all of it but seeds, rates and where parameters begin."""
    data = config.model_dump(mode="json", exclude={"seed", "training", "settings", "task_spec"})
    learned = {
        name
        for name, parameter in getattr(config.layer, "parameters", {}).items()
        if parameter.learnable != "no"
    }
    data["settings"] = {n: v for n, v in config.settings.items() if n not in learned}
    data["task"] = config.task_spec.options
    return json.dumps(data, sort_keys=True)
