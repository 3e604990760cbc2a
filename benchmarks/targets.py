"""Every target of speed, throughput, deciding and learning: `name, target, measured, verdict`.

    python benchmarks/targets.py          # as they were recorded in results/
    python benchmarks/targets.py --run    # measured anew: over an hour, on an idle machine

Each benchmark writes its own targets; this prints them together, with the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHMARKS = ("layer_speed", "throughput", "study_size", "deciding", "flagship")


def recorded(name: str) -> list[str]:
    """The lines of a benchmark; one that says so where it has no record."""
    path = HERE / "results" / f"{name}.json"
    if not path.is_file():
        return [f"# {name}: not measured yet; python benchmarks/{name}.py"]
    data: dict[str, Any] = json.loads(path.read_text())
    about = {**data.get("machine", {}), **data.get("versions", {})}
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    rows = [list(row.values()) if isinstance(row, dict) else row for row in data.get("targets", [])]
    if not rows:
        return [f"# {name}: measured in part; python benchmarks/{name}.py goes on"]
    return [f"# {name}: {facts}", *(", ".join(map(str, row)) for row in rows)]


def main() -> None:
    """Print the targets; exit with 1 if one is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", action="store_true", help="measure them first")
    if parser.parse_args().run:
        for name in BENCHMARKS:
            subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False)
    print("name, target, measured, verdict")
    lines = [line for name in BENCHMARKS for line in recorded(name)]
    print(*lines, sep="\n")
    sys.exit(any(line.endswith(", missed") for line in lines))


if __name__ == "__main__":
    main()
