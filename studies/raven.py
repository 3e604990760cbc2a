"""The Raven study: what is compared, and its runs in pieces of any length.

    python studies/raven.py status                 what is recorded, and what is missing
    python studies/raven.py run zoo --minutes 20   the next missing runs, on this machine's cores
                            [--variants hyla,lse]  of these alone
                            [--seeds 1]            of the first seeds alone
                            [--again]              what another machine has recorded, once more
    python studies/raven.py merge FILE...          records that another machine made

A part is a comparison (`attenergy compare`), or a grid of them; a piece is one run. Records go to
`studies/records/PART/records.jsonl` as they come, each run once, by its key; so any machine goes
on with what is missing, and the files are put together by `merge`. What is broken off goes on from
its checkpoint, under `runs/`, on the same machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compared import DEEP, HEADED, LEADERS, LENGTHS, MIXED, RATES, SCALED, SIZES, STATES, WIDE
from pydantic import ValidationError

from attenergy.registry import Registry, UnknownName, load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.comparison.configure import configure
from attenergy.search.engines.base import Resources, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.plan import COMPARE_PLAN, ComparePlan
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.recorded_texts import with_recorded_texts
from attenergy.search.runs.records import RunStore

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "records"
PAUSED = "paused"  # in the folder of a part: records of runs that were broken off
AGAIN = "again"  # of runs that were recorded before, on another machine
CHECKPOINTS = HERE.parent / "runs" / "study-checkpoints"

#: Without dropout, which the published code has in training and the paper does not tell of.
_PAPER: dict[str, Any] = {
    **{"dropout": 0.0, "evaluate_every": 2000, "valid_instances": 4096, "test_instances": 8192},
}


@dataclass(frozen=True)
class Part:
    """Some comparisons of one task, over the same seeds."""

    task: str
    title: str
    settings: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]  # variants, what is fixed
    seeds: int
    steps: int | None = None
    same_plan: bool = field(default=True)  # whether it is one comparison

    def plans(self, name: str, folder: Path) -> Iterator[ComparePlan]:
        for variants, fix in self.settings:
            yield ComparePlan(
                name=name, folder=str(folder), task=self.task, variants=variants, fix=fix,
                seeds=self.seeds, steps=self.steps,
            )  # fmt: skip

    def configs(self, name: str, registry: Registry) -> list[RunConfig]:
        """Its runs: first all of one seed, then all of the next."""
        return [config for config, _ in self._with_settings(name, registry)]

    def labels(self, name: str, registry: Registry) -> dict[str, str]:
        """By the key of a run what is fixed for it, where its runs differ in that."""
        return {
            config.run_key(): "" if self.same_plan else "".join(f" {n}={v}" for n, v in fix.items())
            for config, fix in self._with_settings(name, registry)
        }

    def _with_settings(
        self, name: str, registry: Registry
    ) -> list[tuple[RunConfig, dict[str, Any]]]:
        registry = with_recorded_texts(registry, RunStore(RECORDS / name).all())
        first = [
            (configure(plan, registry, variant), plan.fix)
            for plan in self.plans(name, RECORDS / name)
            for variant in plan.variants
        ]
        seeds = range(1, self.seeds + 1)
        return [(c.model_copy(update={"seed": s}), fix) for s in seeds for c, fix in first]


def parts(registry: Registry) -> dict[str, Part]:
    """The parts of the study by name."""
    everyone = tuple(dict.fromkeys(("softmax", *registry.energies, *registry.mixers)))
    grid = tuple(
        (("lse",), {"lse.steps": steps, "lse.beta": beta, "lse.step_size": size})
        for steps, beta, size in itertools.product(
            (1, 2, 3, 4), (0.125, 0.354, 1.0, 2.83), (0.5, 1.0, 1.5)
        )
        if steps > 1 or size == 1.0  # weights are read before the last step, so one has no size
    )
    deep = {"layers": 4}  # of which DEEP has its own part
    scaling = tuple(
        (tuple(v for v in SCALED if size != deep or v not in DEEP), size) for size in SIZES
    )
    heads = tuple((HEADED, {"heads": number}) for number in (2, 4, 16))  # of width 64; 8 in the zoo
    muon = {"optimizer": "muon", "muon_learning_rate": 0.02, "learning_rate": 3e-3}
    rates = tuple((everyone, {"muon_learning_rate": rate}) for rate in RATES[1:])
    result = {
        "zoo": Part("raven-small", "Every energy and mixer, as it is", ((everyone, {}),), 5),
        "rates": Part("raven-small", "Each at other rates", rates, 1, same_plan=False),
        "stacks": Part("raven-small", "Places and attention in one model", ((MIXED, {}),), 5),
        "heads": Part("raven-small", "Heads, at one width", heads, 5, same_plan=False),
        "grid": Part("raven-small", "lse: steps, beta, step size", grid, 3, same_plan=False),
        "scaling": Part("raven-small", "Instances, layers and width", scaling, 3, same_plan=False),
    }
    for length, steps in LENGTHS.items():
        for optimizer, fix in (("adamw", {}), ("muon", muon)):
            title = f"The paper's size, {length} instances, {optimizer}"
            chosen = ((LEADERS, {**_PAPER, **fix, "lse.steps": 2}),)
            result[f"paper-{optimizer}-{length}"] = Part("raven", title, chosen, 3, steps)
    wide = {**_PAPER, **muon, "head_dim": 8}
    title = "The paper's size, 1M instances, muon, heads of 8"
    result["paper-wide-1M"] = Part("raven", title, ((WIDE, wide),), 3, LENGTHS["1M"])
    fewer = {**_PAPER, **muon, "heads": 8, "head_dim": 8}  # where the paper has 16 of 4
    title = "The paper's size, 1M instances, muon, 8 heads of 8"
    result["paper-heads-1M"] = Part("raven", title, ((HEADED, fewer),), 3, LENGTHS["1M"])
    return result | _of_claims(registry)


def _of_claims(registry: Registry) -> dict[str, Part]:
    """Parts on other tasks than Raven matrices, for `claims.py`."""
    published = ("softmax", "linear", "hyla")
    states = tuple(
        (("linear",), {"heads": 1, "head_dim": d, "muon_learning_rate": rate})
        for rate, d in itertools.product(RATES, STATES)
    )
    of_states = ((("softmax",), {"heads": 1, "head_dim": 16}), *states)
    title = "Recall against the size of the state"
    deep = ((DEEP, {"layers": 4}),)
    result = {
        "deep": Part("raven-small", "Four blocks, for their codes and layers", deep, 3),
        "fuzzy": Part("fuzzy-logic-small", "Fuzzy logic in context", ((published, {}),), 5),
        "recall-state": Part("mqar-memory-small", title, of_states, 3, same_plan=False),
    }
    for task in registry.bundles["mad-small"].tasks:
        about = registry.tasks[task].title
        result[task.removesuffix("-small")] = Part(task, about, ((("softmax",), {}),), 3)
    return result


_SECONDS_BETWEEN_LINES = 60


class TimeOver(BaseException):
    """The piece has had its time."""


class _Report(Listener):
    """One line for every finished run, and every minute of another; ends a piece in its time."""

    def __init__(self, end: float, labels: Mapping[str, str]) -> None:
        self._end, self._labels = end, labels
        self._said: dict[str, float] = {}  # when a line was last written of a run

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        if now - self._said.setdefault(key, now) >= _SECONDS_BETWEEN_LINES:
            self._said[key] = now
            print(f"  {key}: step {step} of {steps}, loss {loss:.3f}", flush=True)
        self._look()

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        self._look()

    def finished(self, record: RunRecord) -> None:
        print(line_of(record, self._labels.get(record.key, "")), flush=True)
        self._look()

    def _look(self) -> None:
        if time.monotonic() > self._end:
            raise TimeOver


def line_of(record: RunRecord, label: str = "") -> str:
    """A record in one line, with what it is beside its variant and seed."""
    scores = " ".join(
        f"{split} {values[name]:.3f}"
        for split, values in record.metrics.items()
        for name in values.keys() & {"accuracy", "r2"}
    )
    about = record.reason if record.status != "complete" else scores
    seconds = record.cost.get("seconds", 0.0)
    who = f"{record.config.variant}{label} seed {record.config.seed}"
    return f"{who}: {about} ({seconds:.0f} s)"


def missing(configs: Iterable[RunConfig], store: RunStore) -> list[RunConfig]:
    return [config for config in configs if store.get(config.run_key()) is None]


def run(
    name: str,
    part: Part,
    registry: Registry,
    minutes: float,
    workers: int,
    variants: Iterable[str] = (),
    again: bool = False,
    seeds: int | None = None,
) -> None:
    """The next missing runs, of all variants and seeds or of some, until the time is over.

    With `again` those that are recorded are missing, until they are recorded twice.
    """
    folder = RECORDS / name
    if part.same_plan and not again:  # so that `report` and `replay` read it
        (plan,) = part.plans(name, Path("studies/records") / name)
        write_atomically(folder / COMPARE_PLAN, plan.model_dump_json(indent=2) + "\n")
    first = RunStore(folder)
    store = RunStore(folder / AGAIN) if again else first
    todo = missing(part.configs(name, registry), store)
    if again:
        todo = [config for config in todo if first.get(config.run_key()) is not None]
    if chosen := frozenset(variants):
        there = dict.fromkeys(config.variant for config in part.configs(name, registry))
        if unknown := chosen - there.keys():
            raise SystemExit(str(UnknownName("variant", min(unknown), there, place=name)))
        todo = [config for config in todo if config.variant in chosen]
    if seeds is not None:
        todo = [config for config in todo if config.seed <= seeds]
    print(f"{name}: {len(todo)} runs are missing; {minutes:g} minutes, {workers} at a time")
    resources = Resources(workers=workers, checkpoint_folder=str(CHECKPOINTS))
    end = time.monotonic() + 60 * minutes
    try:
        with make_executor(resources, folder / AGAIN if again else folder) as executor:
            run_all(todo, "compare", executor, store, _Report(end, part.labels(name, registry)))
    except TimeOver:
        print(f"{name}: the time is over; {len(missing(todo, store))} runs are missing")


def merge(files: Iterable[Path], registry: Registry) -> int:
    """Add the records of other machines to the parts that they belong to; how many were new.

    Those that were broken off go to the folder `paused` of the part: they have a curve, and count
    as no run.
    """
    known = {
        config.run_key(): name
        for name, part in parts(registry).items()
        for config in part.configs(name, registry)
    }
    added = 0
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SystemExit(f"{path}: {error.strerror or error}") from None
        for number, line in enumerate(lines, 1):
            try:
                record = RunRecord.model_validate_json(line)
            except ValidationError:  # cut short when a program was ended
                print(f"{path}:{number}: no record")
                continue
            name = known.get(record.config.whole().run_key())
            if name is None:
                print(f"{path}: {line_of(record)} belongs to no part")
                continue
            whole = record.config.pause is None
            store = RunStore(RECORDS / name if whole else RECORDS / name / PAUSED)
            if store.get(record.key) is None and record.status != "failed":
                store.append(record)
                added += 1
    return added


def status(registry: Registry) -> None:
    for name, part in parts(registry).items():
        configs, store = part.configs(name, registry), RunStore(RECORDS / name)
        done = len(configs) - len(missing(configs, store))
        print(f"{name:16} {done:4} of {len(configs):4} runs  {part.title}")


def main() -> None:
    registry = load_registry(plugins=False)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status")
    runs = commands.add_parser("run")
    runs.add_argument("part", choices=list(parts(registry)))
    runs.add_argument("--minutes", type=float, default=10.0)
    runs.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    runs.add_argument("--variants", default="", help="of these alone, a,b")
    runs.add_argument("--seeds", type=int, help="of the first seeds alone")
    runs.add_argument("--again", action="store_true", help="what is recorded, once more")
    merging = commands.add_parser("merge")
    merging.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args()
    if given.command == "status":
        status(registry)
    elif given.command == "merge":
        print(f"{merge(given.files, registry)} records are new")
    else:
        part, variants = parts(registry)[given.part], filter(None, given.variants.split(","))
        run(
            given.part, part, registry, given.minutes, given.workers, variants, given.again,
            given.seeds,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
