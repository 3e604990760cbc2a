"""The pages of `docs/` that are made from the registry and the language.

`python -m attenergy.testing.tables docs` writes them into a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from attenergy.energies import describe
from attenergy.energies.language import PUBLIC, TABLE
from attenergy.registry import EnergySpec, Registry, load_registry
from attenergy.testing.extremes import EXTREMES, at_the_edges

_HEAD = """\
# The energies

Made from the registry by `make docs`; a test compares.
`attenergy energies show NAME` says more about one of them.
"""

_CATALOGUE = """\
## Catalogue

*Steps that never raise E*: step sizes for which law 4 holds, all states at once or one after the
other. *Fast path*: `sdpa` reaches `scaled_dot_product_attention`, `weights` has weights over
patterns in closed form, `autograd` differentiates the energy in every step.
"""

_EDGES = """\
## At the edges

Energy, two steps and the gradients of both, for every choice and option, in float32 unless said
otherwise: finite, or refused with a `ValueError`. *numbers x 100* scales states and patterns; in an
*empty row* one state sees no pattern. `-`: the energy has no such parameter.
"""


_FORMULAS = """\
# The language of formulas

Made from the language itself by `make docs`; a test compares.

A formula is an energy E for one state; batches, heads and masks are the compiler's business.

| name | axes | meaning |
| --- | --- | --- |
| `xi` | [D] | the state |
| `X` | [N, D] | the stored patterns, one in a row |
| `h` | [N] | an external field on the patterns; 0 where none is given |
| a parameter | scalar, [D] or [D, D] | as the entry declares it, under any name not used here |
| a choice | a function of one argument | filled by one of the entry's options |

Every part of a formula is a scalar, a vector [D] or [N], or a matrix [N, D], [D, N], [N, N] or
[D, D]; the whole is a scalar and depends on `xi`. Numbers are written `0.5`, `1e-3`; there are `+`,
`-`, `*`, `/`, powers `^`, contractions `@`, transposes `X'`, lengths `|v|` and `|v|^2`, and the
functions below. Scalars are repeated over vectors; a vector over D never joins one over N. A matrix
may not depend on `xi`. A formula has at most 500 characters; nothing in it is executed as code.

A formula that reads `xi` only through `|xi|^2`, `X @ xi` and `sqdist(X, xi)` is derived once and
takes the fast path (`attenergy energies show NAME` tells).

## Functions

Those over the patterns leave out what the mask hides. All others are kept from it too where they
might overflow or have a pole, so that it acts on no derivative.

"""


def formulas_page() -> str:
    """The page on the language of formulas."""
    rows = [(f"`{name}`", str(TABLE[name].arity), TABLE[name].doc) for name in PUBLIC]
    return _FORMULAS + table(("name", "arguments", "meaning"), rows)


def energies_page(registry: Registry) -> str:
    """The page on all energies of a registry."""
    catalogue = [
        (
            f"`{name}`",
            spec.title,
            spec.domain,
            str(describe(spec)["safe_steps"]),
            _path(spec),
            ", ".join(spec.known_answers).replace("_", " "),
        )
        for name, spec in registry.energies.items()
    ]
    verdicts = {name: at_the_edges(spec) for name, spec in registry.energies.items()}
    edges = [(f"`{name}`", *found.values()) for name, found in verdicts.items()]
    header = ("name", "title", "domain", "steps that never raise E", "fast path", "known answers")
    parts = [_HEAD, _CATALOGUE, table(header, catalogue), _EDGES]
    return "\n".join([*parts, table(("name", *EXTREMES), edges)])


def _path(spec: EnergySpec) -> str:
    found = describe(spec)
    if found["attention"]:
        return "sdpa"
    return "weights" if found["score_path"] else "autograd"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(header)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write(folder: Path) -> None:
    """Write all pages."""
    from attenergy.testing.task_page import tasks_page  # it needs `table`

    registry = load_registry(plugins=False)
    (folder / "energies.md").write_text(energies_page(registry), encoding="utf-8")
    (folder / "tasks.md").write_text(tasks_page(registry), encoding="utf-8")
    (folder / "formulas.md").write_text(formulas_page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
