"""Are a layer's own energies useful as a training signal beside the task's loss?

    python benchmarks/energy_loss/experiment.py [--tasks a,b] [--variants lse] [--seeds 6]

Every variant is trained on every task without and with `energy_loss`, from the same seeds and on
the same batches, with the task's own recipe. Seeds are the outer loop, and every finished run is on
the disk, so that the same command again goes on, or adds seeds. The table shows differences to the
training without the term, paired by seed, with 95 % intervals, and the p values of a comparison
(valid however often one looks, Holm over the terms of a task). `test` is the score at the end,
`curve` the mean of that on valid over all evaluations, and `reached` the first evaluated step with
the score of `REACHED` on valid, and one evaluation more than all where there is none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file

from attenergy.registry import EnergyLossSpec, load_registry
from attenergy.registry.files import write_bytes_atomically
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results import formats
from attenergy.search.results.sequential import anytime_p_values
from attenergy.search.results.statistics import mean_interval, paired_difference, paired_differences
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.training.energy_loss import EnergyLoss
from attenergy.search.training.model import build_model
from attenergy.search.training.predict import predict
from attenergy.search.training.train import train
from attenergy.tasks import make_task

TERMS = ("none", "minimise:0.0001", "minimise:0.01", "contrast:0.1", "contrast:1")
TASKS = ("stacked-recall-small", "associative-recall")
REACHED = 0.9
#: What is compared, and the digits that a table shows of it.
COLUMNS = {"test": 3, "curve": 3, "reached": 0}
RESULTS = Path(__file__).parents[1] / "results"
_FIX: dict[str, Any] = {"evaluate_every": 50, "valid_instances": 256, "test_instances": 1024}


def configurations(task: str, variant: str, term: str, seeds: int) -> list[RunConfig]:
    """The runs of a variant with a term, one for each seed from 1."""
    plan = ComparePlan(
        name="energy-loss",
        folder="unused",
        task=task,
        variants=(variant,),
        fix={**_FIX, "energy_loss": term},
    )
    config = configure(plan, load_registry(plugins=False), variant)
    return [config.model_copy(update={"seed": seed}) for seed in range(1, seeds + 1)]


def missing(
    tasks: list[str], variants: list[str], seeds: int, store: RunStore
) -> Iterator[RunConfig]:
    """The runs that are not recorded yet, all of a seed before those of the next."""
    cells = [(task, v, term) for task in tasks for v in variants for term in TERMS]
    runs = [configurations(*cell, seeds) for cell in cells]
    for of_seed in zip(*runs, strict=True):
        yield from (run for run in of_seed if store.get(run.run_key()) is None)


def energies(config: RunConfig, weights: Path) -> dict[str, float]:
    """Both terms, without weights, of the trained model on instances of valid."""
    task = make_task(config.task_spec, seed=config.seed, split_seed=config.split_seed)
    model = build_model(config, task)
    model.load_state_dict(load_file(weights))
    batch = task.batch("valid", 0, 64)
    values = {}
    for kind in ("minimise", "contrast"):
        loss = EnergyLoss(model.eval(), EnergyLossSpec(kind=kind, weight=1))
        with torch.no_grad(), loss.recording(batch.mask, task.scored_positions):
            predict(model, batch, task.scored_positions)
            values[kind] = loss.value().item()
    return values


def reached(record: RunRecord, metric: str) -> float:
    """The first evaluated step with the score; one evaluation more than all without any."""
    steps = [point["step"] for point in record.curve if point.get(metric, 0.0) >= REACHED]
    last = record.config.training.steps + record.config.training.evaluate_every
    return float(min(steps, default=last))


def figures(
    task: str, variant: str, seeds: int, store: RunStore, ends: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """What the runs of a variant on a task gave, and the differences that the terms make."""
    metric = make_task(task).metric
    terms: dict[str, dict[str, Any]] = {}
    for term in TERMS:
        runs = [store.get(c.run_key()) for c in configurations(task, variant, term, seeds)]
        done = [run for run in runs if run is not None and run.status == "complete"]
        scores = {
            "test": {run.config.seed: run.metrics["test"][metric] for run in done},
            "valid": {run.config.seed: run.metrics["valid"][metric] for run in done},
            "reached": {run.config.seed: reached(run, metric) for run in done},
            "curve": {run.config.seed: fmean(p[metric] for p in run.curve) for run in done},
        }
        terms[term] = {
            **scores,
            "started": sum(run is not None for run in runs),
            "curves": [[(point["step"], point[metric]) for point in run.curve] for run in done],
            "energies": {run.config.seed: ends[run.key] for run in done if run.key in ends},
            "cost": {
                name: fmean(run.cost[name] for run in done)
                for name in ("parameters", "training_flops", "ms_per_step")
                if done
            },
        }
    for name in COLUMNS:
        plain = terms["none"][name]
        pairs = {t: paired_differences(plain, terms[t][name]) for t in TERMS[1:]}
        tests = anytime_p_values({t: each for t, each in pairs.items() if each})
        for term in TERMS[1:]:
            interval = paired_difference(plain, terms[term][name])
            terms[term][f"{name}_difference"] = asdict(interval) if interval else None
            terms[term][f"{name}_p"] = tests.get(term)
    return {"metric": metric, "terms": terms}


def table(results: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    header = ["task", "layer", "term", "seeds"]
    header += [text for column in COLUMNS for text in (column, "difference", "p")]
    rows = []
    for name, cell in results.items():
        for term, row in cell["terms"].items():
            if row["test"]:
                cells = [*name.split("/"), term, str(len(row["test"]))]
                for column, digits in COLUMNS.items():
                    mean = mean_interval(list(row[column].values())).mean
                    cells += [f"{mean:.{digits}f}", *_shown(row, column, digits)]
                rows.append(cells)
    return formats.markdown_table(header, rows)


def _shown(row: dict[str, Any], column: str, digits: int) -> list[str]:
    difference, p = row.get(f"{column}_difference"), row.get(f"{column}_p")
    if difference is None:
        return ["", ""]
    text = f"{difference['mean']:+.{digits}f}"
    if difference["low"] is not None:
        text += f" [{difference['low']:+.{digits}f}, {difference['high']:+.{digits}f}]"
    return [text, "" if p is None else f"{p:.2g}"]


def main() -> None:
    """Train what is not recorded yet; write the results after every run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--variants", default="lse")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--folder", type=Path, default=Path("runs") / "energy-loss")
    parser.add_argument("--out", type=Path, default=RESULTS / "energy_loss.json")
    given = parser.parse_args()
    tasks, variants = given.tasks.split(","), given.variants.split(",")
    store, ends_file = RunStore(given.folder), given.folder / "energies.json"
    ends = json.loads(ends_file.read_text()) if ends_file.is_file() else {}
    for config in missing(tasks, variants, given.seeds, store):
        weights = given.folder / "weights.safetensors"
        record = train(config, purpose="compare", weights=weights)
        if record.status == "complete":
            ends[record.key] = energies(config, weights)
            write_bytes_atomically(ends_file, json.dumps(ends, indent=1).encode())
        store.append(record)
        name = f"{config.task} {config.variant} {config.training.energy_loss}"
        print(name, config.seed, record.status, record.metrics.get("test"), flush=True)
    results = {
        f"{task}/{variant}": figures(task, variant, given.seeds, store, ends)
        for task in tasks
        for variant in variants
    }
    about = {
        "command": "python benchmarks/energy_loss/experiment.py",
        "seeds": given.seeds,
        "fixed": _FIX,
    }
    about |= {"reached": REACHED, "versions": provenance.versions()}
    data = {**about, "machine": provenance.machine(), "results": results}
    write_bytes_atomically(given.out, (json.dumps(data, indent=1) + "\n").encode())
    print(table(results))


if __name__ == "__main__":
    main()
