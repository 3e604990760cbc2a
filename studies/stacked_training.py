"""A population on its way: its curve, its evaluations, its records."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import raven
import torch
from stacked import Population
from torch import Tensor
from training_set import TrainingSet

from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training.evaluation import evaluation_batch
from attenergy.tasks import Batch, Task, make_task


class Evaluations:
    """The instances of the splits of one task, on the device."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self._inputs: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def of(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """Inputs, and targets where they are scored."""
        if (split, count) not in self._inputs:
            batch = self.task.batch(split, 0, count)
            targets = batch.targets[:, self.task.scored_positions or slice(None)]
            self._inputs[split, count] = (batch.inputs.to(self.device), targets.to(self.device))
        return self._inputs[split, count]


class Training:
    """A population on its way, and what is written of it.

    Args:
        configs: its members.
        instances: of their seeds.
        evaluations: of their task.
        out: file of records, and of points of curves beside it.
    """

    #: Long runs are worth a file of the points of their curves, should the program be ended.
    least_steps_for_curves = 4000

    def __init__(
        self,
        configs: Sequence[RunConfig],
        instances: TrainingSet,
        evaluations: Evaluations,
        out: Path,
    ) -> None:
        self.started, self._begin = provenance.now(), time.perf_counter()
        self.population = Population(configs, evaluations.device, instances)
        self.evaluations, self.out = evaluations, out
        self.curves: list[list[dict[str, float]]] = [[] for _ in configs]
        self.has_graph = self.population.capture()
        self.writes_curves = configs[0].training.steps >= self.least_steps_for_curves
        self.name = f"{configs[0].variant} x {len(configs)}"
        self.busy, self._before = 0.0, 0

    @property
    def steps(self) -> int:
        return self.population.configs[0].training.steps

    @property
    def over(self) -> bool:
        return self.population.done >= self.steps

    def until_evaluation(self) -> int:
        """Steps until the next evaluation."""
        every = self.population.configs[0].training.evaluate_every
        return min(every - self.population.done % every, self.steps - self.population.done)

    def evaluate(self) -> None:
        """Add a point to every member's curve."""
        population, training = self.population, self.population.configs[0].training
        population.synchronize()
        done, task = population.done, population.task
        losses = population.losses[self._before : done].mean(0).tolist()
        self._before = done
        points = [{"step": done, "loss": loss} for loss in losses]
        for split, prefix in (("valid", ""), ("ood", "ood_")):
            if split not in task.splits:
                continue
            inputs, targets = self.evaluations.of(split, training.valid_instances)
            for point, logits in zip(points, population.answers(inputs), strict=True):
                name = "valid_loss" if split == "valid" else f"{prefix}loss"
                point[name] = task.loss(logits, targets).item()
                for metric, values in task.metrics(logits, targets).items():
                    point[prefix + metric] = values.mean().item()
        with self._curves() as file:
            for config, curve, point in zip(population.configs, self.curves, points, strict=True):
                curve.append(point)
                line = {"key": config.run_key(), "variant": config.variant, "seed": config.seed}
                optimizer = config.training.optimizer
                file.write(json.dumps({**line, "optimizer": optimizer, **point}) + "\n")

    def _curves(self) -> TextIO:
        path = self.out.with_suffix(".curves") if self.writes_curves else Path(os.devnull)
        return path.open("a", encoding="utf-8")

    def answers(self) -> dict[str, Tensor]:
        """Logits on all splits (P, n, R, C), on the CPU."""
        training, task = self.population.configs[0].training, self.population.task
        counts = {s: training.test_instances for s in task.splits if s != "train"}
        counts["valid"] = training.valid_instances
        return {
            split: self.population.answers(self.evaluations.of(split, count)[0]).float().cpu()
            for split, count in counts.items()
        }

    def end(self) -> dict[str, Tensor]:
        """The last point of the curve, and the answers; nothing more is asked of the GPU."""
        population = self.population
        if not self.curves[0] or self.curves[0][-1]["step"] < population.done:
            self.evaluate()
        self._finite = population.losses[: population.done].isfinite().all(0).tolist()
        answers = self.answers()
        population.graph = None  # which holds memory
        return answers

    def record(self, answers: dict[str, Tensor]) -> list[RunRecord]:
        """Judge the answers on all splits and write the records."""
        population = self.population
        training = population.configs[0].training
        task = make_task(
            population.configs[0].task_spec, split_seed=population.configs[0].split_seed
        )
        records = []
        for member, config in enumerate(population.configs):
            metrics = {
                split: task.evaluate(
                    _Recorded(task, logits[member]),
                    split,
                    logits.shape[1],
                    batch_size=evaluation_batch(training),
                )
                for split, logits in answers.items()
            }
            records.append(self._record(config, member, metrics))
        with self.out.open("a", encoding="utf-8") as file:
            for record in records:
                file.write(record.model_dump_json(by_alias=True) + "\n")
                print("  " + raven.line_of(record), flush=True)
        return records

    def _record(
        self, config: RunConfig, member: int, metrics: dict[str, dict[str, float]]
    ) -> RunRecord:
        population, done = self.population, self.population.done
        if done < config.training.steps:
            config = config.model_copy(update={"pause": done})
        cost = dict(population.costs[member])
        instances = done * config.training.batch_size
        cost["training_flops"] = 3 * instances * cost["forward_flops"]
        cost["ms_per_step"] = 1000 * self.busy / max(1, done)
        cost["train_seconds"] = self.busy
        cost["seconds"] = time.perf_counter() - self._begin
        finite = self._finite[member]
        about = provenance.failed(config, "compare", "")
        program = f"stacked population of {len(population.configs)}"
        program += ", CUDA graph" if self.has_graph else ""
        matmul = torch.get_float32_matmul_precision()
        facts = about.model_dump() | {
            "config": config,
            "status": "complete" if finite else "diverged",
            "reason": "" if finite else "the training loss is not finite",
            "machine": {
                **about.machine, "device": self.evaluations.device_name, "program": program,
                "matmul": matmul, "threads": str(torch.get_num_threads()),
            },
            "started": self.started,
            "metrics": metrics if finite else {},
            "curve": self.curves[member] if finite else [],
            "cost": cost,
        }  # fmt: skip
        return RunRecord.model_validate(facts)


class _Recorded:
    """Hands out answers that are there already, batch after batch."""

    def __init__(self, task: Task, logits: Tensor) -> None:
        self._logits, self._rows, self._next = logits, task.scored_positions, 0

    def __call__(self, batch: Batch) -> Tensor:
        some = self._logits[self._next : self._next + len(batch.inputs)]
        self._next += len(batch.inputs)
        placed = some.new_zeros(len(some), batch.inputs.shape[1], some.shape[-1])
        placed[:, self._rows or slice(None)] = some
        return placed
