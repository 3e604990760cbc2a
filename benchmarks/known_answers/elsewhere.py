"""Known answers, asked of other people's packages: what docs/trust.md says was seen there.

    pip install --target /tmp/others --no-deps \
        entmax==1.3 difflayers==0.1.1 torchdeq==0.1.0 hamux==0.2.2 x-transformers==2.31.10
    # and what they import: jax jaxlib equinox ..., einops einx ...
    python benchmarks/known_answers/elsewhere.py --packages /tmp/others

writes results/known_answers.json. A package that is not there is named and left out.
hopfield-layers is not on PyPI; difflayers has its update loop, and the lines that update, mask and
stop were compared with hflayers/functional.py at commit 5231d29: they are the same.
Lemon-cmd/energy-transformer-torch is not there either: the line that masks was read at commit
4e6417d, and is written out here.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from checks import CHECKS, Check

from attenergy.search.runs import provenance

RESULTS = Path(__file__).parents[1] / "results" / "known_answers.json"


def row(check: Check) -> dict[str, Any]:
    """What one check gives, as it stands in the results."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        holds, seen = check.run()
    finally:
        torch.set_default_dtype(before)
    version = f"{check.package} {metadata.version(check.package)}" if check.package else ""
    return {
        "claim": check.claim,
        "project": check.project,
        "version": version,
        "read": check.read,
        "holds": holds,
        "seen": seen,
    }


def main() -> None:
    """Ask what is there, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, help="where the packages were installed")
    given = parser.parse_args()
    if given.packages is not None:
        sys.path.append(str(given.packages))
    rows = []
    for check in CHECKS:
        try:
            rows.append(row(check))
        except ImportError as error:
            print(f"left out, {check.package} is not there: {error}")
            continue
        print(*rows[-1].values(), sep=" | ")
    result = {"versions": provenance.versions(), "machine": provenance.machine(), "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
