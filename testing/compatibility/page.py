"""The table as a page for readers, and as data.

In `modes.json` a cell is "yes" or a letter, and `reasons` says what the letters stand for; the page
`modes.md` shows the same.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch

from attenergy.testing.compatibility.checks import MODES
from attenergy.testing.compatibility.table import BACKENDS, YES, Cells
from attenergy.testing.markdown_table import table

_HEAD = """\
# What works under which mode of PyTorch

Computed by `make modes` with PyTorch {version} on a CPU; a test compares. Every layer has two heads
of width 4, two steps if it has an energy, and random parameters. *yes*: it ran, and its values and,
where the mode has any, its derivatives equal those of the plain form, in float64 unless said
otherwise: for an energy `torch.func.grad` in every step, for a mixer the weights written out. A
letter: see *Reasons*. `docs/modes.json` has the same as data.

## Modes

"""

_SECTIONS = {
    "auto": "the default: takes one of the others, by the energy, the sizes and the mode",
    "eager": "`torch.func.grad` of the energy",
    "traced": "the same as a graph of plain operations, which is made at the first call; so call a "
    "layer before compiling it",
    "scores": "weights over patterns in closed form",
    "sdpa": "the same through `scaled_dot_product_attention`",
    "chunked": "some states at a time (here two)",
    "flex": "through FlexAttention",
}


def read(path: Path) -> Cells:
    """The cells in a file that `write` wrote, with reasons in place of letters."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    reasons = {YES: YES, **data["reasons"]}
    return {name: {m: reasons[c] for m, c in row.items()} for name, row in data["cells"].items()}


def write(path: Path, cells: Cells) -> None:
    """Write the cells as data."""
    letters = _letters(cells)
    data = {
        "torch": torch.__version__.partition("+")[0],
        "reasons": {letter: text for text, letter in letters.items() if text != YES},
        "cells": {r: {m: letters[c] for m, c in row.items()} for r, row in cells.items()},
    }
    lines = [f"{json.dumps(r)}: {json.dumps(row)}" for r, row in data.pop("cells").items()]  # type: ignore[attr-defined]
    head = json.dumps(data, indent=1).removesuffix("\n}")
    path.write_text(f'{head},\n "cells": {{\n  ' + ",\n  ".join(lines) + "\n }\n}\n", "utf-8")


def page(cells: Cells) -> str:
    """The page `modes.md`."""
    letters = _letters(cells)
    about = [(f"*{name}*", str(check.__doc__).partition("\n")[0]) for name, check in MODES.items()]
    parts = [_HEAD.format(version=torch.__version__.partition("+")[0]), table(("mode", ""), about)]
    for backend in BACKENDS:
        title = f"\n## Energies, backend `{backend}`\n\n{_SECTIONS[backend].capitalize()}.\n\n"
        suffix = f"/{backend}"
        names = [row for row in cells if row.endswith(suffix)]
        parts += [title, _rows(cells, {row.removesuffix(suffix): row for row in names}, letters)]
    mixers = {row: row for row in cells if "/" not in row}
    parts += ["\n## Mixers\n\n", _rows(cells, mixers, letters), "\n## Reasons\n\n"]
    parts += [f"- **{letter}**: {text}.\n" for text, letter in letters.items() if text != YES]
    return "".join(parts)


def _letters(cells: Cells) -> dict[str, str]:
    """A letter for every reason, the most frequent first."""
    uses = Counter(cell for row in cells.values() for cell in row.values())
    del uses[YES]
    names = ("".join(n) for size in count(1) for n in product(ascii_lowercase, repeat=size))
    ordered = sorted(uses, key=lambda text: (-uses[text], text))
    return {YES: YES, **dict(zip(ordered, names, strict=False))}


def _rows(cells: Cells, titles: dict[str, str], letters: dict[str, str]) -> str:
    body = [
        (f"`{title}`", *(letters[cells[row][mode]] for mode in MODES))
        for title, row in titles.items()
    ]
    return table(("", *(mode.replace("_", " ") for mode in MODES)), body)
