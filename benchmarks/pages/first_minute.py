"""How long it takes from a clone to a first leaderboard, and to an energy of one's own in a search.

    python benchmarks/pages/first_minute.py [--repository .] [--out FILE] [--page FILE]

A fresh clone in a temporary folder, with the variables of a login shell and no more, goes through
the commands of the page one after the other; each is timed from outside. Downloads depend on the
network and on pip's cache, so they are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attenergy.search.runs import provenance
from attenergy.testing.docs_pages import markdown

ROOT = Path(__file__).resolve().parents[2]
MARK = "<!-- below: python benchmarks/pages/first_minute.py -->\n"
ENTRY = """\
version: 1
energies:
  my_energy:
    title: Log-sum-exp with a quartic term
    formula: 0.5*|xi|^2 - lse(beta * X @ xi + h)/beta + 0.1 * sum_d(xi^4)
    parameters:
      beta: {init: 1/sqrt(D), constraint: positive, search: {low: 0.1, high: 10, log: true}}
"""
SEARCH = "attenergy search --task stacked-recall-small --budget 1m --workers 2"
#: What is done, in order: a name, a command of a shell, and what it is good for.
STEPS = (
    ("install", "make install", "PyTorch and the rest, once"),
    ("help", "attenergy --help", ""),
    ("leaderboard", f"{SEARCH} --energies lse,rbm", "a first leaderboard"),
    ("check", "attenergy energies check my.yaml", "the laws, of an energy of your own"),
    (
        "own",
        f"{SEARCH} --study mine --registry my.yaml --energies my_energy",
        "your energy in a search",
    ),
)


def measured(repository: str, folder: Path) -> list[dict[str, Any]]:
    """Go through the steps in a fresh clone; stop at the first that fails."""
    place = folder / "attenergy"
    home = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    environment = {**home, "PATH": f"{place}/.venv/bin:{home['PATH']}", "TERM": "dumb"}
    clone = f"git clone --quiet {repository} {place}"
    rows = []
    for name, command, about in (("clone", clone, ""), *STEPS):
        if name == "check":
            (place / "my.yaml").write_text(ENTRY, encoding="utf-8")
        cwd = folder if name == "clone" else place
        began = time.perf_counter()
        done = subprocess.run(command, shell=True, cwd=cwd, env=environment, check=False)
        seconds = time.perf_counter() - began
        shown = "git clone ... && cd attenergy" if name == "clone" else command
        rows.append({"name": name, "command": shown, "about": about, "seconds": round(seconds, 1)})
        if done.returncode:
            raise SystemExit(f"{command}: exit code {done.returncode}")
    return rows


def table(result: dict[str, Any]) -> str:
    """Return the times as a Markdown table."""
    rows, total = [], 0.0
    for row in result["steps"]:
        total += row["seconds"]
        rows.append([f"`{row['command']}`", f"{row['seconds']:g}", f"{total:.0f}", row["about"]])
    machine = result["machine"]
    below = f"({machine['platform']}, {machine['cores']} cores; {result['when']}.)"
    return f"{markdown.table(['command', 'seconds', 'in all', ''], rows)}\n{below}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repository", default=str(ROOT), help="what is cloned")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/first_minute.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/first_minute.md")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        steps = measured(given.repository, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "command": "python benchmarks/pages/first_minute.py",
        "when": provenance.now()[:10],
        "steps": steps,
        "machine": provenance.machine(),
        "versions": provenance.versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    above = given.page.read_text(encoding="utf-8").split(MARK, maxsplit=1)[0]
    given.page.write_text(f"{above}{MARK}\n{table(result)}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
