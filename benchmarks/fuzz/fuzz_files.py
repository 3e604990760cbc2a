"""Reads files that nobody should trust: does anything but a documented error come of it?

    python benchmarks/fuzz/fuzz_files.py [--registries 10000] [--folders 3000] [--seed 0] [--out F]

Registries and formulas go through `load_registry`, the compiler and `make_energy`; spoiled copies
of exports and studies through `attenergy.load`, report (Markdown and JSON, the page of every 50th),
replay and export as far as they read, and the storage. A case is bad if it raises anything but
ValueError or OSError, takes over a second of CPU time, over 500 MB of memory more than before, or
ends the process. The exit code is 1 then. Every case has a seed, `KIND-SEED-NUMBER`; `--only KIND
NUMBER` runs one. The same command goes on from what the file of `--out` holds already.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_inputs import hostile_folder, registry

from attenergy.attention.loading import build, load
from attenergy.attention.saving.format import LayerArguments, ModelArguments, save
from attenergy.energies import formula_problems, make_energy
from attenergy.registry import load_registry
from attenergy.registry.files import builtin_source, read_text, write_atomically
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs import provenance
from attenergy.search.runs.events import Listener

SECONDS, MEGABYTES, PAGE_SECONDS = 1.0, 500, 8.0
BATCH, SHARE = 50, 500
DOCUMENTED = (ValueError, OSError)


def main() -> int:
    """Run all cases in batches, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--registries", type=int, default=10_000)
    parser.add_argument("--folders", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs=2, metavar=("KIND", "NUMBER"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as temporary:
        cases = Cases(Path(temporary), options.seed)
        if options.only:
            kind, number = options.only
            print(getattr(cases, kind)(int(number)))
            return 0
        result = _begun(options.out, options.seed)
        for kind, count in (("registry", options.registries), ("folder", options.folders)):
            while (done := result[kind])["cases"] < count:
                run(getattr(cases, kind), min(done["cases"] + SHARE, count), done)
                print(kind, json.dumps(done), flush=True)
                if options.out:
                    write_atomically(options.out, json.dumps(result, indent=2) + "\n")
    return int(any(result[kind]["bad"] for kind in ("registry", "folder")))


def _begun(out: Path | None, seed: int) -> dict[str, Any]:
    """What a file holds of an earlier part of the same run, or nothing yet."""
    if out is not None and out.exists():
        result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        if result["seed"] == seed:
            return result
    return {
        "seed": seed,
        "limits": {"seconds": SECONDS, "megabytes": MEGABYTES, "seconds_of_a_page": PAGE_SECONDS},
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        **{kind: nothing_yet() for kind in ("registry", "folder")},
    }


def nothing_yet() -> dict[str, Any]:
    """The record of no case."""
    return {"cases": 0, "outcomes": {}, "worst": {"seconds": 0.0, "megabytes": 0.0}, "bad": []}


class Cases:
    """What is done with the file, or the folder, of each number; returns what came of it."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.seed = place, seed
        self.builtin = read_text(builtin_source())
        self.bases = [*_exports(place / "exports"), _study(place / "study")]

    def registry(self, number: int) -> str:
        """Read a registry, compile its formulas, build its energies."""
        chance = random.Random(f"registry-{self.seed}-{number}")
        path = self.place / "case.yaml"
        path.write_bytes(registry(chance, self.builtin))
        entries = load_registry(path, builtin=False, plugins=False)
        if problems := formula_problems(entries):
            raise ValueError(str(problems[0]))
        for spec in entries.energies.values():
            make_energy(spec, dim=4)
        return "accepted"

    def folder(self, number: int) -> str:
        """Load an export, or read a study in every way that trains nothing."""
        chance = random.Random(f"folder-{self.seed}-{number}")
        base, target = chance.choice(self.bases), self.place / "case"
        shutil.rmtree(target, ignore_errors=True)
        hostile_folder(chance, base, target)
        if base.name == "study":
            return _read_study(target, page=number % 50 == 0)
        load(target, part=chance.choice(["layer", "model"]))
        return "accepted"


def _exports(place: Path) -> list[Path]:
    entries = load_registry(plugins=False)
    made = []
    for name in ("lse", "rbm", "random_features", "graph_hopfield", "hyla"):
        layer = LayerArguments(name=name, spec=entries.layer(name), embed_dim=8, num_heads=2)
        model = ModelArguments(
            layer=layer, kind="token", size=5, length=6, outputs=3, layers=1, mlp=8,
            positions="relative",
        )  # fmt: skip
        made.append(save(place / name, model=build(model), arguments=model))
    return made


def _study(place: Path) -> Path:
    from attenergy.search.study.run import run_search

    plan = SearchPlan(
        study="study", folder=str(place), task="stacked-recall", workers=0, trials=3, finalists=1,
        task_options={"vocabulary": 16, "pairs": 4}, variants=("lse", "rbm", "softmax"), seeds=2,
        final_budget="none", train_steps=2,
        fix={"valid_instances": 8, "test_instances": 8, "heads": 1, "width": 8},
    )  # fmt: skip
    run_search(plan, load_registry(plugins=False), Listener())
    for path in place.glob("study.db-*"):
        path.unlink()
    return place


def _read_study(folder: Path, *, page: bool) -> str:
    from attenergy.search.artifacts.export import export_run, weights_of
    from attenergy.search.artifacts.select_run import choose_run, find_run
    from attenergy.search.report.text import as_json, as_markdown
    from attenergy.search.results.study_folder import read_study
    from attenergy.search.storage.database import latest, open_storage

    outcomes = []

    def attempt(name: str, action: Callable[[], object]) -> None:
        try:
            action()
            outcomes.append(name)
        except DOCUMENTED:
            outcomes.append(f"{name} refused")

    study = read_study(folder)
    attempt("markdown", lambda: as_markdown(study))
    attempt("json", lambda: as_json(study))
    attempt("trial", lambda: find_run(study, "trial-0"))

    def export() -> None:
        record = choose_run(study.records, "best", study.leaderboard())
        if weights_of(record, folder) is not None:  # else it would be trained
            export_run(record, folder, folder.parent / "out", force=True, say=lambda _: None)

    attempt("export", export)
    if page:
        from attenergy.search.report.html.build import page as html

        attempt("page", lambda: html(study))
    if isinstance(study.plan, SearchPlan) and study.plan.storage is None:
        plan = study.plan.model_copy(update={"folder": str(folder)})

        def open_it() -> None:
            with open_storage(plan) as storage:
                newest, _ = latest(storage, plan)
                if newest is not None:
                    newest.get_trials(deepcopy=False)

        attempt("storage", open_it)
    return ", ".join(outcomes)


def run(case: Callable[[int], str], count: int, done: dict[str, Any]) -> None:
    """Go on to `count` cases of a kind: how they ended, the worst figures, those that are bad."""
    while (number := done["cases"]) < count:
        lines = _batch(case, range(number, min(number + BATCH, count)))
        for line in lines:
            outcome = line["outcome"]
            done["outcomes"][outcome] = done["outcomes"].get(outcome, 0) + 1
            for name, most in done["worst"].items():
                done["worst"][name] = max(most, line[name])
            limit = PAGE_SECONDS if "page" in outcome else SECONDS
            if line["wrong"] or line["seconds"] > limit or line["megabytes"] > MEGABYTES:
                done["bad"].append(line)
                print(line, file=sys.stderr, flush=True)
        done["cases"] += len(lines)


def _batch(case: Callable[[int], str], numbers: range) -> list[dict[str, Any]]:
    """Some cases in a process of their own; if it ends, the case that it was at is bad."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "w") as file:
            _work(case, numbers, file)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        lines = [json.loads(line) for line in file if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    if len(lines) < len(numbers):
        number = numbers[len(lines)]
        ended = {"number": number, "outcome": "ended the process", "wrong": f"status {status}"}
        lines.append({**ended, "seconds": 0.0, "megabytes": 0.0})
    return lines


def _work(case: Callable[[int], str], numbers: range, file: Any) -> None:
    sys.stdin.close()
    for number in numbers:
        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + 30, resource.RLIM_INFINITY))
        resource.setrlimit(
            resource.RLIMIT_AS, (_status("VmSize") * 1024 + 2**31, resource.RLIM_INFINITY)
        )
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="utf-8"
        )  # the highest use, forgotten
        before, begin, wrong = _status("VmRSS"), time.process_time(), ""
        try:
            outcome = case(number)
        except DOCUMENTED as error:
            outcome = f"refused: {type(error).__name__}"
        except BaseException as error:
            outcome, wrong = f"undocumented: {type(error).__name__}", traceback.format_exc()[-1500:]
            if isinstance(error, KeyboardInterrupt):
                raise
        line = {"number": number, "outcome": outcome, "wrong": wrong}
        line["seconds"] = round(time.process_time() - begin, 3)
        line["megabytes"] = round((_status("VmHWM") - before) / 1024, 1)
        file.write(json.dumps(line) + "\n")
        file.flush()


def _status(name: str) -> int:
    """Kilobytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
