"""From the records of `collect_curves.py` to the tables of the bench of search policies.

    python benchmarks/policies/pack_table.py FOLDER --commit COMMIT [--out search/bench/tables]

A configuration is taken as soon as it has runs of all lengths, and a table once each variant has
one. What its steps and evaluations cost
is the CPU time of the fastest of its runs, since runs that share a machine slow each other down.
Scores are rounded to five digits, losses to four.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from collect_curves import TABLES as COLLECTIONS
from collect_curves import VARIANTS, Collection

from attenergy import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.bench.table import TABLES, CurveConfig, CurveRun, CurveTable
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import read_records
from attenergy.search.study.recording import parameters_of
from attenergy.tasks import make_task

COMMAND = "python benchmarks/policies/collect_curves.py"
Costs = tuple[float, float, float]


def pack(collection: Collection, records: Sequence[RunRecord], commit: str) -> CurveTable:
    """The table of one task."""
    registry = load_registry()
    space = Space(registry, collection.plan())
    task = make_task(space.task)
    lengths = {round(share * collection.steps) for share in collection.shares}
    splits = [split for split in task.splits if split not in {"train", "valid"}]
    by_params: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.status in {"complete", "diverged"}:
            by_params.setdefault(json.dumps(_params(record.config, space)), []).append(record)
    configs = [
        CurveConfig(
            params=json.loads(params),
            **_costs(group, len(splits)),
            parameters=int(group[0].cost["parameters"]),
            forward_flops=group[0].cost["forward_flops"],
            runs=tuple(_run(record, task.metric, splits) for record in group),
        )
        for params, group in by_params.items()
        if {record.config.training.steps for record in group} == lengths
    ]
    ceiling = task.ceiling("valid")
    first, last = (f(record.started for record in records)[:16] for f in (min, max))
    return CurveTable(
        name=collection.name,
        task=collection.task,
        task_options=collection.options,
        fix=collection.fix,
        variants=VARIANTS,
        metric=task.metric,
        chance=task.chance.get(task.metric),
        ceiling=None if ceiling is None else ceiling.value,
        steps=collection.steps,
        about={
            "command": COMMAND,
            "commit": commit,
            "registry": hashlib.sha256(Path("registry.yaml").read_bytes()).hexdigest(),
            "machine": ", ".join(f"{k} {v}" for k, v in records[0].machine.items()),
            "versions": ", ".join(f"{k} {v}" for k, v in records[0].versions.items()),
            "collected": f"{first} to {last} UTC",
            "seconds": "CPU time of one core, of the fastest run of each configuration",
        },
        configs=tuple(sorted(configs, key=lambda c: VARIANTS.index(c.variant))),
    )


def _params(config: RunConfig, space: Space) -> dict[str, bool | int | float | str]:
    known = parameters_of(config)
    return {name: known[name] for name in space.distributions() if name in known}


def _costs(group: Sequence[RunRecord], splits: int) -> dict[str, float]:
    """Seconds of a step, of an evaluation on valid, and of those at the end."""
    measured = [_measured(record, splits) for record in group]
    return dict(
        zip(
            ("seconds_per_step", "seconds_per_evaluation", "seconds_per_run"),
            (round(min(each), 6) for each in zip(*measured, strict=True)),
            strict=True,
        )
    )


def _measured(record: RunRecord, splits: int) -> Costs:
    training, cost = record.config.training, record.cost
    share = cost["train_seconds"] / cost["seconds"]  # both by the clock on the wall
    done = record.curve[-1]["step"] if record.curve else training.steps
    instances = len(record.curve) * training.valid_instances + splits * training.test_instances
    each = cost["cpu_seconds"] * (1 - share) / max(1, instances)
    return (
        cost["cpu_seconds"] * share / done,
        each * training.valid_instances,
        each * splits * training.test_instances,
    )


def _run(record: RunRecord, metric: str, splits: Sequence[str]) -> CurveRun:
    return CurveRun(
        steps=record.config.training.steps,
        seed=record.config.seed,
        at=tuple(int(point["step"]) for point in record.curve),
        scores=tuple(round(point[metric], 5) for point in record.curve),
        losses=tuple(round(point["loss"], 4) for point in record.curve),
        final={s: round(record.metrics[s][metric], 5) for s in splits if s in record.metrics},
        diverged=record.status == "diverged",
    )


def main() -> None:
    """Write a table of every task that has records."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the records")
    parser.add_argument("--commit", required=True, help="of the tree that trained them")
    parser.add_argument("--out", type=Path, default=TABLES, help="folder of the tables")
    given = parser.parse_args()
    for collection in COLLECTIONS:
        records = read_records(given.folder / collection.name)
        done = {record.config.variant for record in records}
        if missing := [name for name in VARIANTS if name not in done]:
            print(f"{collection.name}: nothing yet of {', '.join(missing)}")
            continue
        table = pack(collection, records, given.commit)
        text = table.model_dump_json(exclude_defaults=True)
        write_atomically(
            given.out / f"{table.name}.json", text.replace('},{"params', '},\n{"params') + "\n"
        )
        runs = [run for config in table.configs for run in config.runs if run.steps == table.steps]
        print(
            f"{table.name}: {len(table.configs)} configurations, {len(runs)} runs of full length, "
            f"mean score {fmean(run.scores[-1] for run in runs):.3f}, {len(text)} bytes"
        )


if __name__ == "__main__":
    main()
