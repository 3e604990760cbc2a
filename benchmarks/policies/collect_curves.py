"""Learning curves of many configurations, for the bench of search policies: a collector.

    python benchmarks/policies/collect_curves.py [--tables a,b] [--rounds 8] [--folder F]

Every round draws, for every table and variant of `TABLES`, new configurations at random from the
registry's own space (the first of a variant is its defaults, as in a search), and trains each to
its end: with the task's number of steps, and with a part of it, as a run of its own whose schedule
is as short. Every second configuration is trained with a second seed, to tell what a seed changes.
Each run that finishes is appended to F/TABLE/records.jsonl, with the seconds of CPU time that
it took; whoever starts the command again goes on from there. The records become a table by
`pack_table.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from optuna.samplers import RandomSampler

from attenergy import load_registry
from attenergy.registry import Scalar
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.study.samplers import OfVariant
from attenergy.search.training.train import train

VARIANTS = ("softmax", "linear", "hyla", "lse", "rbm", "squared_kernel")


@dataclass(frozen=True)
class Collection:
    """What is collected for one table.

    Attributes:
        name: of the table.
        task: name in the registry.
        options: of the task, that differ from its entry.
        fix: fields of its model and training that differ from its entry.
        steps: of training.
        shares: of the steps; each is trained as a run of its own.
        configs: new configurations of every variant in one round.
    """

    name: str
    task: str
    options: dict[str, Scalar]
    fix: dict[str, Scalar]
    steps: int
    shares: tuple[float, ...]
    configs: int

    def plan(self) -> SearchPlan:
        """A search plan of the same space."""
        return SearchPlan(
            study=self.name,
            folder="",
            task=self.task,
            task_options=self.options,
            train_steps=self.steps,
            variants=VARIANTS,
            fix=self.fix,
        )


#: raven-small in miniature: one feature, an eighth of the steps, half of the batch.
_ONE_FEATURE: dict[str, Scalar] = {
    "batch_size": 64,
    "warmup": 12,
    "evaluate_every": 25,
    "valid_instances": 512,
    "test_instances": 512,
}
TABLES = (
    Collection("raven-one", "raven-small", {"features": 1}, _ONE_FEATURE, 200, (1.0, 0.25), 3),
    Collection(
        "recall", "stacked-recall-small", {"pairs": 32}, {"evaluate_every": 25}, 500, (1.0, 0.5), 1
    ),
    Collection("raven-small", "raven-small", {}, {"evaluate_every": 100}, 1600, (1.0, 0.25), 1),
)


def configurations(space: Space, count: int) -> Iterator[tuple[int, RunConfig]]:
    """The first `count` configurations of every variant, each with its number.

    The same count gives the same ones, and a larger count more of them.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for place, variant in enumerate(space.variants):
        sampler = RandomSampler(seed=1000 + place)
        study = optuna.create_study(sampler=OfVariant(sampler, variant))
        study.enqueue_trial(space.defaults(variant))
        for number in range(count):
            yield number, space.suggest(study.ask())


def jobs(tables: Sequence[Collection], rounds: int) -> Iterator[tuple[str, RunConfig]]:
    """Every run with the name of its table, round by round; those of the first seed come first."""
    registry = load_registry()
    drawn = {
        each.name: list(configurations(Space(registry, each.plan()), rounds * each.configs))
        for each in tables
    }
    for number in range(rounds):
        for each in tables:
            span = range(number * each.configs, (number + 1) * each.configs)
            for seed in (0, 1):
                for place, config in drawn[each.name]:
                    if place in span and (seed == 0 or place % 2 == 0):
                        seeded = config.model_copy(update={"seed": seed})
                        for share in each.shares:
                            yield each.name, seeded.with_steps(round(share * each.steps))


def run(config: RunConfig) -> RunRecord:
    """Train in this process; the record with the seconds of CPU time."""
    torch.set_num_threads(1)
    begin = time.process_time()
    record = train(config)
    return record.model_copy(
        update={"cost": {**record.cost, "cpu_seconds": time.process_time() - begin}}
    )


def collect(tables: Sequence[Collection], rounds: int, workers: int, folder: Path) -> None:
    """Train what is not recorded yet."""
    stores = {each.name: RunStore(folder / each.name) for each in tables}
    missing = [
        (name, config)
        for name, config in jobs(tables, rounds)
        if stores[name].get(config.run_key()) is None
    ]
    print(f"{len(missing)} runs to go", flush=True)
    waiting, done = iter(missing), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = {
            pool.submit(run, config): name
            for _, (name, config) in zip(range(workers), waiting, strict=False)
        }
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, record = running.pop(future), future.result()
                stores[name].append(record)
                done += 1
                print(f"{done}/{len(missing)} {name}", _line(record), flush=True)
                if (after := next(waiting, None)) is not None:
                    running[pool.submit(run, after[1])] = after[0]


def _line(record: RunRecord) -> str:
    config, scores = record.config, record.metrics.get("valid", {})
    return (
        f"{config.variant} {config.training.steps} steps seed {config.seed}: "
        f"{record.status} {scores.get('accuracy', float('nan')):.3f}, "
        f"{record.cost['cpu_seconds']:.1f} s"
    )


def main() -> None:
    """Collect what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", help="names; by default all")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    default = Path(tempfile.gettempdir()) / "attenergy-learning-curves"
    parser.add_argument("--folder", type=Path, default=default, help="of the records")
    given = parser.parse_args()
    names = given.tables.split(",") if given.tables else [each.name for each in TABLES]
    chosen = [each for each in TABLES if each.name in names]
    collect(chosen, given.rounds, given.workers, given.folder)


if __name__ == "__main__":
    main()
