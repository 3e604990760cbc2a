"""`python -m attenergy.testing.compatibility docs` computes the table of modes and its pages."""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from attenergy.registry import load_registry
from attenergy.testing.compatibility.page import page, read, write
from attenergy.testing.compatibility.table import Cells, row_of, rows


def main() -> None:
    """Compute the rows that are wanted, keep each as soon as it is there, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m attenergy.testing.compatibility", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="where modes.json and modes.md are written")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    parser.add_argument(
        "--only", metavar="PATTERN", help="compute these rows anew and keep the others: 'lse/*'"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry, path = load_registry(plugins=False), given.folder / "modes.json"
    keeps = (given.resume or given.only) and path.is_file()
    computed: Cells = read(path) if keeps else {}
    if given.only:
        computed = {r: c for r, c in computed.items() if not fnmatchcase(r, given.only)}
    names = rows(registry)
    for row in names:
        if row not in computed:
            computed[row] = row_of(registry, row)
            write(path, {name: computed[name] for name in names if name in computed})
            print(row, file=sys.stderr, flush=True)
    cells = {name: computed[name] for name in names}
    write(path, cells)
    (given.folder / "modes.md").write_text(page(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
