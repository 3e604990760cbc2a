"""The gallery: every energy, mixer and task as a picture."""

from __future__ import annotations

from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.markdown import bullets, table

_COLUMNS = 3
_HEAD = """\
# Gallery

Made from the registry by `make docs`; a test compares. Each picture leads to the page of its entry,
which says what one sees.
"""
_ABOUT = {
    "energies": (
        "Energies",
        "The energy over one state with a few stored patterns, the darker the lower; a state moves "
        "from light to dark. Where states have a fixed length, the energy around a circle; spins "
        "have levels. All energies of real states have the same five patterns.",
    ),
    "mixers": (
        "Mixers",
        "What each of 16 places (down) reads of each (across), in a row of four symbols in turn: "
        "violet is above 0, orange below.",
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
        made = f"{about} Drawn by `python -m attenergy.testing.docs_pages.pictures docs`."
        parts.append(f"## {title}\n\n{made}\n\n{_grid(facts, kind, drawn)}")
        if others:
            parts.append(
                "Without a picture:\n\n"
                + bullets(
                    f"[`{n}`]({kind}/{n}.md): {facts.pictures[f'{kind}/{n}']['why not']}"
                    for n in others
                )
            )
    return "\n".join(parts)


def _grid(facts: Facts, kind: str, names: list[str]) -> str:
    """Pictures that are links, some side by side: a table, as Markdown has no other grid."""
    cells = [
        f"[![{facts.pictures[f'{kind}/{n}']['alt']}](pictures/entries/{kind}/{n}.png)]({kind}/{n}.md)"
        for n in names
    ]
    cells += [""] * (-len(cells) % _COLUMNS)
    rows = [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)]
    return table([""] * _COLUMNS, rows)
