"""What `make search` teaches, and how long it takes: run anew and held to its targets.

    python benchmarks/flagship.py

Writes results/flagship.json. Nothing else should run on the machine: the time is of two idle cores.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from attenergy.registry.files import write_atomically
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.runs import provenance

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "flagship.json"
MOST_SECONDS = 360
LEAST_SOFTMAX = 0.45


def targets(study: Study, seconds: float) -> list[tuple[str, str, str, str]]:
    """name, target, measured, verdict."""
    board = study.leaderboard()
    (softmax,) = (row for row in board.rows if row.final and row.baseline)
    decided = [f"{r.variant} {r.call}" for r in board.verdict.rows if r.call != "undecided"]
    tried = [r.config.settings for r in study.records if r.config.variant == "lse"]
    steps, betas = ({x.get(name) for x in tried} for name in ("steps", "beta"))
    valid = softmax.scores["valid"].mean

    def row(name: str, target: str, measured: str, met: bool) -> tuple[str, str, str, str]:
        return name, target, measured, "met" if met else "missed"

    return [
        row(
            "make search, seconds", f"<= {MOST_SECONDS}", f"{seconds:.0f}", seconds <= MOST_SECONDS
        ),
        row("softmax on valid", f">= {LEAST_SOFTMAX}", f"{valid:.3f}", valid >= LEAST_SOFTMAX),
        row("variants decided", ">= 1", ", ".join(decided) or "0", bool(decided)),
        row("step counts of lse tried", ">= 2", f"{len(steps)}", len(steps) >= 2),
        row("betas of lse tried", ">= 2", f"{len(betas)}", len(betas) >= 2),
    ]


def main() -> None:
    """Run the search, print and write the targets."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        done = subprocess.run(
            ["make", "--silent", "search", f"RUNS={folder}"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.monotonic() - begin
        printed = done.stdout.replace(f"{folder}/", "runs/")  # as in a checkout
        study = read_study(Path(folder) / "make-search")
        rows = targets(study, seconds)
        sentence = study.leaderboard().verdict.sentence
    result: dict[str, Any] = {
        "command": "python benchmarks/flagship.py",
        "verdict": sentence,
        "targets": rows,
        "output": printed.splitlines(),
        "machine": provenance.machine(),
        "versions": provenance.versions(),
    }
    write_atomically(RESULT, json.dumps(result, indent=1) + "\n")
    print(sentence, *(", ".join(row) for row in rows), sep="\n")


if __name__ == "__main__":
    main()
