"""Runs of one architecture trained as one program: a population, on a GPU.

A model of the Raven study has 1,500 small kernels a step, so a GPU mostly waits for the processor
that starts them. Here P runs share every kernel: their parameters are stacked, the model is called
under `vmap`, AdamW and Muon update all of them at once, and on a GPU the whole step is a CUDA graph
that is started with one call. Nothing mixes the members: each has the losses that it has alone, but
for rounding (`tests/studies/test_stacked.py`).

`P` members, `B` instances a step, `L` positions, `N` numbers of a member's parameters.
"""

from __future__ import annotations

import copy
import json
import math
import mmap
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from attenergy.attention import Transformer
from attenergy.search.runs.config import RunConfig
from attenergy.search.training import cost
from attenergy.search.training.model import build_model
from attenergy.search.training.muon import BatchedMuon
from attenergy.search.training.optimizers import Optimizers, make_optimizers
from attenergy.search.training.precision import autocast
from attenergy.search.training.schedule import SCHEDULES
from attenergy.tasks import Task, make_task

WARM_UP = 3  # steps that are taken before a step is captured
_ALIGN = 8  # numbers; each parameter begins at a multiple of so many


class Unstackable(ValueError):
    """These runs are no population."""


@dataclass(frozen=True)
class Span:
    """Where one parameter stands among the numbers of a member."""

    name: str
    start: int
    shape: torch.Size

    @property
    def size(self) -> int:
        return self.shape.numel()

    def of(self, flat: Tensor) -> Tensor:
        """The parameter of all members (P, *shape), a view."""
        return flat[:, self.start : self.start + self.size].view(len(flat), *self.shape)


def spans(model: torch.nn.Module) -> list[Span]:
    """All trained parameters, one after the other."""
    start, result = 0, []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            result.append(Span(name, start, parameter.shape))
            start += math.ceil(parameter.numel() / _ALIGN) * _ALIGN
    return result


class StackedOptimizer:
    """AdamW and Muon of `attenergy.search.training.optimizers` for all members at once.

    Args:
        flat: parameters (P, N).
        optimizers: of every member, made for its own model.
        names: of every member's parameters, by identity.
        places: where they stand.
        schedule: rate of every step as a share of the peak, (steps).
    """

    def __init__(
        self,
        flat: Tensor,
        optimizers: Sequence[Optimizers],
        names: Sequence[dict[int, str]],
        places: Sequence[Span],
        schedule: Sequence[float],
    ) -> None:
        self.flat, self.gradient = flat, torch.zeros_like(flat)
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        by_name = {place.name: place for place in places}
        columns: dict[str, Tensor] = {
            key: torch.zeros_like(flat) for key in ("rate", "decay", "adam")
        }
        self.muon: list[_MuonGroup] = []
        matrices: dict[tuple[torch.Size, float, float], list[tuple[int, Span]]] = {}
        for member, each in enumerate(optimizers):
            for optimizer in each.optimizers:
                is_muon = isinstance(optimizer, BatchedMuon)
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        place = by_name[names[member][id(parameter)]]
                        part = slice(place.start, place.start + place.size)
                        if is_muon:
                            key = (place.shape, group["lr"], group["weight_decay"])
                            matrices.setdefault(key, []).append((member, place))
                            continue
                        columns["adam"][member, part] = 1.0
                        columns["rate"][member, part] = group["lr"]
                        columns["decay"][member, part] = group["lr"] * group["weight_decay"]
                if is_muon:
                    options = optimizer.param_groups[0]
                    self._ns = (options["ns_coefficients"], options["ns_steps"], options["eps"])
                    self._momentum = options["momentum"]
        self.rate, self.decay = columns["rate"], columns["decay"]
        for (shape, rate, decay), entries in matrices.items():
            self.muon.append(_MuonGroup(shape, rate, decay, entries, flat))
        self.adam = columns["adam"] if self.muon else None
        steps = torch.arange(1, len(schedule) + 1, dtype=torch.float64)
        table = [torch.tensor(schedule, dtype=torch.float64), 1 - 0.9**steps]
        table.append((1 - 0.999**steps).sqrt())
        self.table = torch.stack(table, 1).to(flat)

    @torch.no_grad()
    def step(self, counter: Tensor) -> None:
        """Update the parameters by `gradient`; `counter` (1) counts the steps taken before."""
        share, bias, root = self.table.index_select(0, counter)[0].unbind()
        gradient = self.gradient
        self._adamw(gradient, share, bias, root)
        for group in self.muon:
            group.step(self.flat, gradient, self._momentum, self._ns, share)

    def _adamw(self, gradient: Tensor, share: Tensor, bias: Tensor, root: Tensor) -> None:
        # Where Muon works, rate and decay are 0.
        self.flat.addcmul_(self.flat * self.decay, share, value=-1)
        self.first.lerp_(gradient, 0.1)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        length = (self.second.sqrt() / root).add_(1e-8)
        self.flat.sub_((self.first / length).mul_(self.rate).mul_(share / bias))


class _MuonGroup:
    """Matrices of one shape and one rate, of any members."""

    def __init__(
        self,
        shape: torch.Size,
        rate: float,
        decay: float,
        entries: Sequence[tuple[int, Span]],
        flat: Tensor,
    ) -> None:
        self.shape, self.decay = shape, rate * decay
        self.rate = rate * math.sqrt(max(1, shape[0] / shape[1]))
        starts = [member * flat.shape[1] + place.start for member, place in entries]
        within = torch.arange(shape.numel(), device=flat.device)
        self.index = torch.tensor(starts, device=flat.device)[:, None] + within
        self.momentum = torch.zeros(len(entries), *shape, dtype=flat.dtype, device=flat.device)

    def step(self, flat: Tensor, gradient: Tensor, momentum: float, ns: Any, share: Tensor) -> None:
        g = gradient.view(-1)[self.index].view(-1, *self.shape)
        average = self.momentum.lerp_(g, 1 - momentum)
        step = orthogonal_stack(g.lerp(average, momentum), *ns).to(flat.dtype)
        now = flat.view(-1)[self.index].view(-1, *self.shape)
        new = now * (1 - share * self.decay) - step * (share * self.rate)
        flat.view(-1).index_copy_(0, self.index.flatten(), new.flatten())


def orthogonal_stack(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """`attenergy.search.training.muon.orthogonal`, with all lengths taken in one call."""
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = matrices.shape[1] > matrices.shape[2]
    x = x.mT if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Population:
    """P runs of one architecture on one device.

    Args:
        configs: alike but for seeds, optimisers, rates, decays, and settings that say where a
            parameter begins. The dropout is 0, and nothing is masked.
        device: where they are trained.
        instances: the training instances of every seed (`TrainingSet`).
        dtype: of parameters; float64 for tests.
        fused: whether PyTorch may take its fused attention kernels under `vmap`.

    Raises:
        Unstackable: the runs differ in more.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        instances: TrainingSet,
        dtype: torch.dtype = torch.float32,
        *,
        fused: bool = False,
    ) -> None:
        self.configs, self.device, self.dtype = list(configs), device, dtype
        self.fused = fused
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
        self.flat = torch.zeros(len(models), math.ceil(total / _ALIGN) * _ALIGN, dtype=dtype)
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
        kernels = nullcontext() if self.fused else sdpa_kernel(SDPBackend.MATH)
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
            with torch.cuda.graph(graph, stream=self.stream):
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


def _shared(*shape: int) -> Tensor:
    """Bytes that processes forked from this one write for it."""
    return torch.frombuffer(mmap.mmap(-1, math.prod(shape)), dtype=torch.uint8).view(shape)


class TrainingSet:
    """The training instances of some seeds in the memory of a device, as they are encoded.

    Args:
        task_of: the task of a seed.
        seeds: of the runs.
        count: instances of each.
    """

    def __init__(self, tasks: dict[int, Task], count: int) -> None:
        self.tasks, self.count = tasks, count
        task = next(iter(tasks.values()))
        rows = task.scored_positions or slice(None)
        batch = task.batch("train", 0, 2)
        if batch.mask is not None:
            raise Unstackable("instances of this task are masked")
        shape = (len(tasks), count)
        self.rows = rows
        self.inputs = _shared(*shape, *batch.inputs.shape[1:])
        self.targets = _shared(*shape, *batch.targets[:, rows].shape[1:])
        self._there: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def number(self, seed: int) -> int:
        """Which of the streams is that of a seed."""
        return list(self.tasks).index(seed)

    def pieces(self, size: int = 16 * 1024) -> Iterator[tuple[int, int]]:
        """What there is to draw: seeds and first instances."""
        for start in range(0, self.count, size):
            yield from ((seed, start) for seed in self.tasks)

    def draw(self, seed: int, start: int, size: int = 16 * 1024) -> None:
        """Draw some instances of a seed."""
        end = min(start + size, self.count)
        batch = self.tasks[seed].batch("train", start, end - start)
        number = self.number(seed)
        self.inputs[number, start:end] = batch.inputs.to(torch.uint8)
        self.targets[number, start:end] = batch.targets[:, self.rows].to(torch.uint8)

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs and targets on a device, for all populations there."""
        if device not in self._there:
            self._there[device] = (self.inputs.to(device), self.targets.to(device))
        return self._there[device]
