"""`python -m attenergy.testing.modes docs` computes the table of modes and writes its pages."""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from attenergy.registry import load_registry
from attenergy.testing.modes.page import page, read, write
from attenergy.testing.modes.table import Cells, row_of, rows


def main() -> None:
    """Compute the rows that are wanted, keep each as soon as it is there, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m attenergy.testing.modes", description=__doc__)
    parser.add_argument("folder", type=Path, help="where modes.json and modes.md are written")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    parser.add_argument(
        "--only", metavar="PATTERN", help="compute these rows anew and keep the others: 'lse/*'"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry, path = load_registry(plugins=False), given.folder / "modes.json"
    keeps = (given.resume or given.only) and path.is_file()
    found: Cells = read(path) if keeps else {}
    if given.only:
        found = {r: cells for r, cells in found.items() if not fnmatchcase(r, given.only)}
    names = rows(registry)
    for row in names:
        if row not in found:
            found[row] = row_of(registry, row)
            write(path, {name: found[name] for name in names if name in found})
            print(row, file=sys.stderr, flush=True)
    cells = {name: found[name] for name in names}
    write(path, cells)
    (given.folder / "modes.md").write_text(page(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
