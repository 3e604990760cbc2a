"""The page of `docs/` on energies, made from the registry."""

from __future__ import annotations

from attenergy.energies import describe
from attenergy.registry import EnergySpec, Registry
from attenergy.testing.docs_pages.markdown import table
from attenergy.testing.edge_cases import EXTREMES, at_the_edges

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
    edges = [(f"`{name}`", *verdict.values()) for name, verdict in verdicts.items()]
    header = ("name", "title", "domain", "steps that never raise E", "fast path", "known answers")
    parts = [_HEAD, _CATALOGUE, table(header, catalogue), _EDGES]
    return "\n".join([*parts, table(("name", *EXTREMES), edges)])


def _path(spec: EnergySpec) -> str:
    said = describe(spec)
    if said["attention"]:
        return "sdpa"
    return "weights" if said["score_path"] else "autograd"
