"""Parts of the Raven study as populations: `python studies/populations.py PART... --out FILE`.

Runs of one architecture are one population (`stacked.py`); several of them train side by side. A
record is written when a population has ended, a point of the curve when it is known, so whatever
ends this program, nothing of that is lost. Populations that the time does not suffice for are
recorded as far as they came, as paused runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import raven
import torch
from stacked import architecture
from stacked_training import Evaluations, Training
from torch import Tensor
from training_set import TrainingSet

from attenergy.registry import load_registry
from attenergy.search.runs.config import RunConfig
from attenergy.tasks import make_task

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
    try:
        judges.submit(_judge, training, training.end())
    except Exception as error:
        print(f"{training.name}: {type(error).__name__}: {error}"[:400], flush=True)


def _judge(training: Training, answers: dict[str, Tensor]) -> None:
    torch.set_num_threads(1)
    try:
        training.record(answers)
    except Exception as error:
        print(f"{training.name}: {type(error).__name__}: {error}"[:400], flush=True)


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
    parser.add_argument("--judge", type=int, help="instances of every evaluation, to try it out")
    parser.add_argument("--matmul", choices=["highest", "high"], default="high")
    parser.add_argument("--alone", action="store_true", help="populations of one run")
    parser.add_argument("--shard", default="0/1", help="this of so many shares: 0/12, 1/12, ...")
    return parser.parse_args()


def populations_of(
    given: argparse.Namespace, configs: Sequence[RunConfig]
) -> list[list[RunConfig]]:
    """The populations of some runs, as far as the command line asks for them."""
    variants, seeds = given.variants.split(","), given.seeds.split(",")
    fewer = {"valid_instances": given.judge, "test_instances": given.judge} if given.judge else {}
    wanted = [
        c.model_copy(update={"training": c.training.model_copy(update=fewer)}).with_steps(
            given.steps
        )
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
