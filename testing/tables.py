"""The pages of `docs/` that are made from the registry; run as a module, it prints one."""

from __future__ import annotations

from collections.abc import Iterable

from attenergy.energies import describe
from attenergy.registry import EnergySpec, Registry, load_registry
from attenergy.testing.extremes import EXTREMES, at_the_edges

_HEAD = """\
# The energies

Made from the registry by `python -m attenergy.testing.tables > docs/energies.md`; a test compares.
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

Energy, two steps and the gradients of both, in float32 unless said otherwise: finite, or refused
with a `ValueError`. *numbers x 100* scales states and patterns; in an *empty row* one state sees no
pattern. `-`: the energy has no such parameter.
"""


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
    parts = [_HEAD, _CATALOGUE, _table(header, catalogue), _EDGES]
    return "\n".join([*parts, _table(("name", *EXTREMES), edges)])


def _path(spec: EnergySpec) -> str:
    found = describe(spec)
    if found["attention"]:
        return "sdpa"
    return "weights" if found["score_path"] else "autograd"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    print(energies_page(load_registry(plugins=False)), end="")
