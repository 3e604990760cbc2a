"""The gallery: every energy, mixer and task as a picture."""

from __future__ import annotations

from collections.abc import Iterable

from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.markdown import bullets

_HEAD = """\
# Gallery

Made by `make docs` from the registry and from pictures that
`python -m attenergy.testing.docs_pages.pictures docs` draws. Each name leads to the page of the
entry, which says what one sees.
"""
_ABOUT = {
    "energies": (
        "Energies",
        "The energy over one state with a few stored patterns: dark is low, a state slides from "
        "light to dark. Spins have levels instead of a surface.",
    ),
    "mixers": (
        "Mixers",
        "Which patterns (across) each state (down) reads, with random weights: dark is much.",
    ),
    "tasks": ("Tasks", "The first sample of the training stream."),
}


def gallery_page(facts: Facts) -> str:
    """All pictures with links, and the entries that have none."""
    parts = [_HEAD]
    for kind, (title, about) in _ABOUT.items():
        names = [n for n in getattr(facts.registry, kind) if f"{kind}/{n}" in facts.pictures]
        drawn = [n for n in names if "why not" not in facts.pictures[f"{kind}/{n}"]]
        others = [n for n in names if n not in drawn]
        parts.append(f"## {title}\n\n{about}\n\n{_grid(facts, kind, drawn)}")
        if others:
            parts.append(
                "Without a picture:\n\n"
                + bullets(
                    f"[`{n}`]({kind}/{n}.md): {facts.pictures[f'{kind}/{n}']['why not']}"
                    for n in others
                )
            )
    return "\n".join(parts)


def _grid(facts: Facts, kind: str, names: Iterable[str]) -> str:
    """Pictures in lines that wrap, which a phone and a desk both show."""
    lines = [
        f'<a href="{kind}/{name}.md"><img src="pictures/entries/{kind}/{name}.png" '
        f'alt="{facts.pictures[f"{kind}/{name}"]["alt"]}" title="{name}" width="240"></a>'
        for name in names
    ]
    return "\n".join(lines) + "\n"
