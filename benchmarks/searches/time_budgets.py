"""Do searches and comparisons under a budget in time end in it? Recorded runs of the command line.

    python benchmarks/searches/time_budgets.py 3m            # search and compare, 3 minutes each
    python benchmarks/searches/time_budgets.py 10m --only search
    python benchmarks/searches/time_budgets.py 30m --task raven-small --label idle

Every run is a process of its own, timed from outside, with its start, report and export. A row for
each is added to `results/time_budgets.json`, with its command and the load of the machine;
`--label` says in a word what else the machine did.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.planning.search_budget import seconds_of
from attenergy.search.runs.provenance import machine, now

RESULTS = Path(__file__).parents[1] / "results" / "time_budgets.json"
_CODE = "from attenergy.search.cli.app import main; main()"
VARIANTS = "softmax,linear,lse,rbm"


def command(kind: str, task: str, budget: str, workers: int) -> list[str]:
    """The words after `attenergy`."""
    words = [kind, "--task", task, "--energies", VARIANTS, "--budget", budget]
    return [*words, "--workers", f"{workers}"]


def measure(kind: str, task: str, budget: str, workers: int, label: str) -> dict[str, Any]:
    """Run one command to its end and time it."""
    seconds = seconds_of(budget)
    if seconds is None:
        raise SystemExit(f"{budget} is not a time")
    words = command(kind, task, budget, workers)
    with tempfile.TemporaryDirectory() as folder:
        before, begin = os.getloadavg()[0], time.monotonic()
        call = [sys.executable, "-c", _CODE, *words, "--folder", folder, "--plain"]
        ended = subprocess.run(call, check=False, stdout=subprocess.DEVNULL)
        took, after = time.monotonic() - begin, os.getloadavg()[0]
        sessions = [s for study in Path(folder).iterdir() for s in read_sessions(study).sessions]
        if len(sessions) != 1:
            raise SystemExit(f"{shlex.join(words)}: refused, exit code {ended.returncode}")
        [session] = sessions
    return {
        "command": shlex.join(["attenergy", *words]),
        "budget": budget,
        "seconds": round(took, 1),
        "share": round(took / seconds, 3),
        "exit_code": ended.returncode,
        "expected": session.expected,
        "trials": session.trials,
        "finals": session.finals,
        "steps": session.steps,
        "spent_on_runs": round(session.spent, 1),
        "load_before": round(before, 1),
        "load_after": round(after, 1),
        "label": label,
        "when": now(),
        "machine": machine(),
    }


def main() -> None:
    """Measure, and add what was measured to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("budget", help="a time: 3m, 10m, 30m")
    parser.add_argument("--only", choices=("search", "compare"))
    parser.add_argument("--task", default="stacked-recall-small")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--label", default="")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for kind in [arguments.only] if arguments.only else ["search", "compare"]:
        task, workers = arguments.task, arguments.workers
        rows.append(measure(kind, task, arguments.budget, workers, arguments.label))
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")
        last = rows[-1]
        print(f"{last['command']}: {last['seconds']} s, {last['share']:.3f} of the budget")


if __name__ == "__main__":
    main()
