"""What a search costs against the number of its trials, up to 100,000, and against other sizes.

    python benchmarks/study_size.py [--trials 1000 3000 10000 30000 100000] [--quick]

The objective is synthetic: nothing is trained. For each size a study of so many trials is written
into the records and the database as a search would have left them, and then:

* resume: opening it again, until the first trial is asked for;
* ask, tell: 40 more trials through the queue of a search, one after another (medians);
* report: the page in HTML, the Markdown and the JSON;
* memory: the largest of the process that did each (`resume` and the trials in one).

Then what a trial of real training costs against the length of the sequence and the number of steps,
and what the driver costs against the number of workers. Each series is fitted by c n^e, and e is
printed: 1 means in proportion. Seconds are those of the processor, and each size has a process of
its own. Results go to `--out`; what is there already is not measured again without `--again`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from searches.synthetic_study import fill, open_queue, synthetic

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.engines.worker import one_thread
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.report.html.build import page
from attenergy.search.report.text import as_json, as_markdown
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs import provenance
from attenergy.search.runs.records import RECORDS
from attenergy.search.training.train import train

RESULT = Path(__file__).parent / "results" / "study_size.json"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
WORKERS, STEPS, LENGTHS = (1, 2, 4, 8, 16, 32, 64), (50, 100, 200, 400), (64, 128, 256, 512, 1024)
ASKS = 40
#: Of the largest study; the report is its page, JSON and Markdown of every trial stand beside it.
TARGETS = {"ask_ms": 50.0, "html_seconds": 60.0, "resume_seconds": 60.0}
Figures = dict[str, Any]


def go_on(folder: Path, trials: int) -> Figures:
    """Open the study and run it until it has so many trials; what that cost."""
    begin = time.process_time()
    with open_queue(folder, trials, resume=True) as queue:
        records = queue.recorded()
        times = list[tuple[float, float]]()
        opened, at = time.process_time() - begin, time.process_time()
        while (job := queue.take()) is not None:
            asked = time.process_time()
            queue.end(job, synthetic(job.config))
            times.append((asked - at, time.process_time() - asked))
            at = time.process_time()
    return {
        "resume_seconds": opened,
        "trials": len(records),
        "ask_ms": 1000 * median(ask for ask, _ in times[1:]),
        "tell_ms": 1000 * median(tell for _, tell in times[1:]),
        "first_ask_ms": 1000 * times[0][0],
        "search_megabytes": _megabytes(),
    }


def report(folder: Path) -> Figures:
    """What a report costs."""
    begin, figures = time.process_time(), Figures()
    for name, write in (("html", page), ("markdown", as_markdown), ("json", as_json)):
        text = write(read_study(folder))
        now = time.process_time()
        figures |= {f"{name}_seconds": now - begin, f"{name}_size_megabytes": len(text) / 1e6}
        begin = now
    seconds = sum(value for name, value in figures.items() if name.endswith("_seconds"))
    return {"report_seconds": seconds, **figures, "report_megabytes": _megabytes()}


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


PARTS: dict[str, Callable[[Path, int], Figures | None]] = {
    "fill": fill,
    "search": lambda folder, trials: go_on(folder, trials + ASKS),
    "report": lambda folder, _: report(folder),
}


def with_workers(workers: int) -> Figures:
    """What the driver spends on a trial while so many run."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), 300)
        with open_queue(Path(folder), 1000, resume=True) as queue:
            running = deque(job for _ in range(workers) if (job := queue.take()) is not None)
            begin = time.process_time()
            for _ in range(ASKS):
                job = running.popleft()
                queue.end(job, synthetic(job.config))
                running += filter(None, [queue.take()])
            seconds = time.process_time() - begin
    return {"workers": workers, "ms_per_trial": 1000 * seconds / ASKS}


def of_size(trials: int) -> Figures:
    """Everything of a study of so many trials; each part in a process of its own."""
    figures: Figures = {"trials": trials}
    with tempfile.TemporaryDirectory() as folder:
        for part in ("fill", "report", "search"):
            command = [sys.executable, __file__, "--part", part, "--folder", folder]
            command += ["--trials", f"{trials}"]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            figures |= json.loads(output.splitlines()[-1])
        figures["record_kilobytes"] = (Path(folder) / RECORDS).stat().st_size / trials / 1e3
        figures["database_kilobytes"] = (Path(folder) / "study.db").stat().st_size / trials / 1e3
    return figures


def training(name: str, size: int) -> Figures:
    """Seconds of one run of softmax attention against `steps`, or against `length`, its states."""
    steps, length = (size, 64) if name == "steps" else (10, size)
    plan = SearchPlan(
        study="training",
        folder="",
        task="mqar",
        task_options={"length": length, "vocabulary": max(256, 2 * length)},
        variants=("softmax",),
        train_steps=steps,
        fix={"batch_size": 16, "valid_instances": 16, "test_instances": 16},
    )
    (config,) = Space(load_registry(plugins=False), plan).each()
    with one_thread():
        begin = time.process_time()
        record = train(config)
        seconds = time.process_time() - begin
    if record.status != "complete":
        raise RuntimeError(record.reason)
    return {name: size, "seconds": seconds, "ms_per_step": record.cost["ms_per_step"]}


#: The series that are fitted: where it stands in the result, the size and the cost.
SERIES = (
    ("by_trials", "trials", "ask_ms"),
    ("by_trials", "trials", "tell_ms"),
    ("by_trials", "trials", "resume_seconds"),
    ("by_trials", "trials", "html_seconds"),
    ("by_trials", "trials", "report_seconds"),
    ("by_trials", "trials", "search_megabytes"),
    ("by_trials", "trials", "report_megabytes"),
    ("by_workers", "workers", "ms_per_trial"),
    ("by_steps", "steps", "seconds"),
    ("by_length", "length", "ms_per_step"),
)


def targets(largest: Figures) -> list[tuple[str, str, str, str]]:
    """name, target, measured, verdict."""
    return [
        (
            f"{name} of {largest['trials']:,} trials".replace(",", " "),
            f"<= {most:g}",
            f"{largest[name]:.3g}",
            "met" if largest[name] <= most else "missed",
        )
        for name, most in TARGETS.items()
    ]


def exponent(rows: Sequence[Figures], size: str, cost: str) -> float:
    """e of the fit cost = c size^e, by least squares of the logarithms."""
    x = np.log([row[size] for row in rows])
    y = np.log([max(row[cost], 1e-9) for row in rows])
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    """Measure the sizes that are missing; print the figures, the exponents and the targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        print(json.dumps(PARTS[arguments.part](arguments.folder, arguments.trials[0]) or {}))
        return
    quick = Path(tempfile.gettempdir()) / "study_size_quick.json"
    path = arguments.out or (quick if arguments.quick else RESULT)
    sizes = (100, 300) if arguments.quick else tuple(arguments.trials)
    result: Figures = {}
    if path.exists() and not (arguments.again or arguments.quick):
        result = json.loads(path.read_text())
    result |= {"machine": provenance.machine(), "versions": provenance.versions()}

    def measured(name: str, key: str, wanted: Sequence[int], one: Callable[[int], Figures]) -> None:
        rows: list[Figures] = result.setdefault(name, [])
        for size in wanted:
            if not any(row[key] == size for row in rows):
                rows.append(one(size))
                rows.sort(key=lambda row: row[key])
                write_atomically(path, json.dumps(result, indent=2) + "\n")
            row = next(row for row in rows if row[key] == size)
            print("  ".join(f"{n} {x:.4g}" for n, x in row.items()), flush=True)

    some = slice(2) if arguments.quick else slice(None)
    measured("by_trials", "trials", sizes, of_size)
    measured("by_workers", "workers", WORKERS[some], with_workers)
    measured("by_steps", "steps", STEPS[some], partial(training, "steps"))
    measured("by_length", "length", LENGTHS[some], partial(training, "length"))
    result["exponents"] = {
        f"{cost} ~ {size}": exponent(result[name], size, cost) for name, size, cost in SERIES
    }
    result["targets"] = targets(result["by_trials"][-1])
    write_atomically(path, json.dumps(result, indent=2) + "\n")
    print("cost ~ size: exponent")
    for name, value in result["exponents"].items():
        print(f"{name}: {value:.2f}")
    print("name, target, measured, verdict")
    for row in result["targets"]:
        print(", ".join(row))


if __name__ == "__main__":
    main()
