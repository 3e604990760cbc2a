"""Parts of the Raven study as populations: `python studies/populations.py PART... --out FILE`.

Runs of one architecture are one population (`stacked.py`); several of them train side by side. A
record is written when a population has ended, a point of the curve when it is known, so whatever
ends this program, nothing of that is lost. Populations that the time does not suffice for are
recorded as far as they came, as paused runs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import raven
import torch
from stacked import Population, TrainingSet, architecture
from torch import Tensor

from attenergy.registry import load_registry
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training.evaluation import evaluation_batch
from attenergy.tasks import Batch, Task, make_task

PIECE = 25  # steps that are started before they are waited for
PACE = 50  # steps by which the pace of populations is measured
EVALUATION = 0.5  # seconds that an evaluation of a population takes, about


def grouped(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Populations, in the order of their first runs."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        training = config.training
        key = f"{training.steps} {training.precision} {architecture(config)}"
        groups.setdefault(key, []).append(config)
    return list(groups.values())


def draw_all(configs: Sequence[RunConfig], processes: int) -> TrainingSet:
    """The training instances of all runs of one task, drawn by so many processes."""
    tasks = {
        c.seed: make_task(c.task_spec, seed=c.seed, split_seed=c.split_seed)
        for c in sorted(configs, key=lambda c: c.seed)
    }
    count = max(c.training.steps * c.training.batch_size for c in configs)
    instances = TrainingSet(tasks, count)
    pieces = list(instances.pieces())
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_draw, args=(instances, pieces[number::processes]))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("instances could not be drawn")
    return instances


def _draw(instances: TrainingSet, pieces: Sequence[tuple[int, int]]) -> None:
    torch.set_num_threads(1)
    for seed, start in pieces:
        instances.draw(seed, start)


class Evaluations:
    """The instances of the splits of one task, on the device."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
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
        finite = bool(population.losses[:done, member].isfinite().all())
        about = provenance.failed(config, "compare", "")
        device = self.evaluations.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        program = f"stacked population of {len(population.configs)}"
        program += ", CUDA graph" if self.has_graph else ""
        matmul = torch.get_float32_matmul_precision()
        facts = about.model_dump() | {
            "config": config,
            "status": "complete" if finite else "diverged",
            "reason": "" if finite else "the training loss is not finite",
            "machine": {
                **about.machine, "device": name, "program": program, "matmul": matmul,
                "threads": str(torch.get_num_threads()),
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


@dataclass
class Session:
    """Populations of one task, so many of them at a time, until the time is over.

    Attributes:
        instances: of all seeds.
        evaluations: of the task.
        out: file of records.
        at_once: populations that train side by side.
        end: moment (`time.monotonic`) at which the last evaluations begin.
        active: populations on their way.
        waiting: the members of those that come next.
    """

    instances: TrainingSet
    evaluations: Evaluations
    out: Path
    at_once: int
    end: float
    active: list[Training] = field(default_factory=list)
    waiting: list[list[RunConfig]] = field(default_factory=list)

    def begin(self) -> None:
        """Build as many populations as there is room for; one that fails leaves the others."""
        while self.waiting and len(self.active) < self.at_once:
            configs = self.waiting.pop(0)
            begin = time.monotonic()
            try:
                training = Training(configs, self.instances, self.evaluations, self.out)
            except Exception as error:
                print(f"{configs[0].variant}: {type(error).__name__}: {error}"[:400], flush=True)
                continue
            self.active.append(training)
            took = time.monotonic() - begin
            print(f"{training.name}: begins, graph {training.has_graph}, {took:.1f} s to build")

    def fits(self) -> bool:
        """Whether all populations, in the pace of the active ones, end in the time."""
        begin = time.perf_counter()
        for _ in range(PACE):
            for training in self.active:
                training.population.run(1)
        for training in self.active:
            training.population.synchronize()
        step = (time.perf_counter() - begin) / PACE
        steps, count = self.active[0].steps, len(self.active) + len(self.waiting)
        evaluations = EVALUATION * count * steps / _every(self.active[0])
        needed = step * steps * count / len(self.active) + evaluations
        left = self.end - time.monotonic()
        print(f"{steps} steps of {count} populations: about {needed:.0f} s, {left:.0f} s are left")
        return needed < left

    def train(self) -> None:
        """Train all."""
        judges = ThreadPoolExecutor(2)  # so that the GPU does not wait for the CPU's metrics
        while (self.waiting or self.active) and time.monotonic() < self.end:
            self.begin()
            try:
                _advance(self.active, self.end)
            except Exception as error:  # what was reached is recorded
                print(f"{type(error).__name__}: {error}"[:400], flush=True)
                break
            for training in [each for each in self.active if each.over]:
                _finish(training, judges)
                self.active.remove(training)
        for training in self.active:
            _finish(training, judges)
        judges.shutdown()


def _advance(active: list[Training], end: float) -> None:
    """Train all until one of them is to be evaluated, and evaluate it."""
    steps = min((training.until_evaluation() for training in active), default=0)
    begin = time.perf_counter()
    while steps > 0 and time.monotonic() < end:
        now = min(PIECE, steps)
        for _ in range(now):
            for training in active:
                training.population.run(1)
        steps -= now
        for training in active:
            training.population.synchronize()
    share = (time.perf_counter() - begin) / max(1, len(active))
    for training in active:
        training.busy += share
        if not training.over and training.until_evaluation() == _every(training):
            training.evaluate()


def _every(training: Training) -> int:
    return training.population.configs[0].training.evaluate_every


def _finish(training: Training, judges: ThreadPoolExecutor) -> None:
    """Take the last answers, and let others judge them and write the records."""
    curve = training.curves[0]
    try:
        if not curve or curve[-1]["step"] < training.population.done:
            training.evaluate()
        judges.submit(_judge, training, training.answers())
    except Exception as error:
        print(f"{training.name}: {type(error).__name__}: {error}"[:400], flush=True)


def _judge(training: Training, answers: dict[str, Tensor]) -> None:
    torch.set_num_threads(1)
    try:
        training.record(answers)
    except Exception as error:
        print(f"{training.name}: {type(error).__name__}: {error}"[:400], flush=True)
    training.population.graph = None  # which holds memory of the GPU


def options(names: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=names)
    parser.add_argument("--out", type=Path, required=True, help="file of records (JSON lines)")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--reserve", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--fit", action="store_true", help="only the first part that fits")
    parser.add_argument("--variants", default="", help="only these, a,b,c")
    parser.add_argument("--seeds", default="", help="only these, 1,2,3")
    parser.add_argument("--steps", type=int, help="training steps of every run, to try it out")
    parser.add_argument("--matmul", choices=["highest", "high"], default="high")
    parser.add_argument("--alone", action="store_true", help="populations of one run")
    parser.add_argument("--shard", default="0/1", help="this of so many shares: 0/12, 1/12, ...")
    return parser.parse_args()


def populations_of(
    given: argparse.Namespace, configs: Sequence[RunConfig]
) -> list[list[RunConfig]]:
    """The populations of some runs, as far as the command line asks for them."""
    variants, seeds = given.variants.split(","), given.seeds.split(",")
    wanted = [
        c.with_steps(given.steps)
        for c in configs
        if c.variant in variants + [c.variant] * (variants == [""])
        and str(c.seed) in seeds + [str(c.seed)] * (seeds == [""])
    ]
    share, shares = map(int, given.shard.split("/"))
    groups = [[config] for config in wanted] if given.alone else grouped(wanted)
    return groups[share::shares]


def main() -> None:
    begin = time.monotonic()
    registry = load_registry(plugins=False)
    parts = raven.parts(registry)
    given = options(list(parts))
    by_part = [parts[name].configs(name, registry) for name in given.parts]
    tried = by_part if given.fit else [[config for configs in by_part for config in configs]]
    torch.set_float32_matmul_precision(given.matmul)
    torch.set_num_threads(1)
    alternatives = [populations_of(given, configs) for configs in tried]
    configs = [config for group in alternatives[0] for config in group]
    alone = given.shard != "0/1"  # other processes are at work beside this one
    instances = draw_all(configs, 1 if alone else max(1, min(12, (os.cpu_count() or 1) - 1)))
    took = time.monotonic() - begin
    print(f"{len(configs)} runs; instances drawn after {took:.1f} s", flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = make_task(configs[0].task_spec, split_seed=configs[0].split_seed)
    evaluations = Evaluations(task, device)
    end = begin + given.seconds - given.reserve
    for number, groups in enumerate(alternatives, 1):
        session = Session(instances, evaluations, given.out, given.at_once, end, [], list(groups))
        session.begin()
        if number == len(alternatives) or (session.active and session.fits()):
            break
    session.train()
    print(f"all is written after {time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
