"""The page of `docs/` on energies, made from the registry."""

from __future__ import annotations

from collections.abc import Mapping

from attenergy.energies import describe
from attenergy.registry import EnergySpec, Registry
from attenergy.testing.docs_pages.markdown import table
from attenergy.testing.edge_cases import EXTREMES

_HEAD = """\
# The energies

Made from the registry by `make docs`; a test compares.
A name leads to a page of its own; `attenergy energies show NAME` says the same in short.
All as pictures: [the gallery](gallery.md). Layers without an energy: [the mixers](mixers.md).
"""

_CATALOGUE = """\
## Catalogue

*Steps that never raise E*: step sizes for which law 4 holds, all states at once or one after the
other. *Fast path*: `sdpa` reaches `scaled_dot_product_attention`, `weights` has weights over
patterns in closed form, `closed form` has the gradient without them, `autograd` differentiates the
energy in every step.
"""

_EDGES = """\
## At the edges

Energy, two steps and the gradients of both, for every choice and option, in float32 unless said
otherwise: finite, or refused with a `ValueError`. *numbers x 100* scales states and patterns; in an
*empty row* one state sees no pattern. `-`: the energy has no such parameter.
"""


def energies_page(registry: Registry, edges: Mapping[str, Mapping[str, str]]) -> str:
    """The page on all energies of a registry.

    Args:
        registry: whose energies.
        edges: what every one does at the edges, by name and case.
    """
    catalogue = [
        (
            f"[`{name}`](energies/{name}.md)",
            spec.title,
            spec.domain,
            str(describe(spec)["safe_steps"]),
            _path(spec),
            ", ".join(spec.known_answers).replace("_", " "),
        )
        for name, spec in registry.energies.items()
    ]
    rows = [(f"`{name}`", *edges[name].values()) for name in registry.energies]
    header = ("name", "title", "domain", "steps that never raise E", "fast path", "known answers")
    parts = [_HEAD, _CATALOGUE, table(header, catalogue), _EDGES]
    return "\n".join([*parts, table(("name", *EXTREMES), rows)])


def _path(spec: EnergySpec) -> str:
    said = describe(spec)
    if said["attention"]:
        return "sdpa"
    if said["score_path"]:
        return "weights"
    return "closed form" if said["closed_form"] else "autograd"
