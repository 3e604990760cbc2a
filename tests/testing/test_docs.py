"""Pages made from the registry are up to date, and what they promise holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from attenergy.registry import load_registry
from attenergy.testing.docs_pages.__main__ import all_ceilings
from attenergy.testing.docs_pages.energies import energies_page
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.entries.pages import pages
from attenergy.testing.docs_pages.formulas import formulas_page
from attenergy.testing.docs_pages.tasks import tasks_page
from attenergy.testing.edge_cases import EXTREMES, at_the_edges

REGISTRY = load_registry(plugins=False)
DOCS = Path(__file__).resolve().parents[2] / "docs"


def committed_edges() -> dict[str, dict[str, str]]:
    """What the table "At the edges" of the committed page says, by name and case."""
    page = (DOCS / "energies.md").read_text(encoding="utf-8")
    table = [line for line in page.split("## At the edges")[1].splitlines() if line[:3] == "| `"]
    edges = {}
    for name, line in zip(REGISTRY.energies, table, strict=True):
        verdicts = line.removesuffix(" |").split(" | ")[1:]
        assert len(verdicts) == len(EXTREMES), line
        for verdict in verdicts:
            assert verdict in {"finite", "-"} or verdict.startswith("refused: "), line
        edges[name] = dict(zip(EXTREMES, verdicts, strict=True))
    return edges


def committed_ceilings() -> dict[str, dict[str, str]]:
    """What the committed pages of tasks say of their ceilings, by name and split."""
    row = re.compile(r"^\| ceiling, `(\w+)` \| (.+) \|$", re.MULTILINE)
    return {
        name: {
            "test" if split == "iid" else split: text
            for split, text in row.findall((DOCS / f"tasks/{name}.md").read_text(encoding="utf-8"))
        }
        for name in REGISTRY.tasks
    }


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_page_on_energies_is_up_to_date(every: int) -> None:
    """The catalogue of all entries, the edges of a part of them; of all in the slow run."""
    edges = committed_edges()
    for name in list(REGISTRY.energies)[::every]:
        edges[name] = at_the_edges(REGISTRY.energies[name])
    page = (DOCS / "energies.md").read_text(encoding="utf-8")
    assert page == energies_page(REGISTRY, edges), "run `make docs`"


def test_every_entry_has_a_page_that_is_up_to_date() -> None:
    """All but what takes long to compute: that is read from the pages, and checked elsewhere."""
    written = dict(pages(Facts(DOCS, REGISTRY, committed_edges(), committed_ceilings())))
    folders = ("energies", "mixers", "tasks")
    addresses = {p.relative_to(DOCS).as_posix() for f in folders for p in (DOCS / f).glob("*.md")}
    assert addresses == {address for address in written if "/" in address}
    for address, text in written.items():
        assert (DOCS / address).read_text(encoding="utf-8") == text, f"{address}: run `make docs`"


def test_no_page_of_an_entry_has_an_empty_section() -> None:
    for folder in ("energies", "mixers", "tasks"):
        for path in (DOCS / folder).glob("*.md"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^## .*\n\n(## |\Z)", text, re.MULTILINE), path.name
            assert text.count("```") % 2 == text.count("$$") % 2 == 0, path.name


@pytest.mark.slow
def test_the_ceilings_on_the_pages_are_those_of_the_tasks() -> None:
    assert all_ceilings(REGISTRY) == committed_ceilings(), "run `make docs`"


def test_the_page_on_tasks_is_up_to_date() -> None:
    assert (DOCS / "tasks.md").read_text(encoding="utf-8") == tasks_page(REGISTRY), (
        "run `make docs`"
    )


def test_the_page_on_formulas_is_up_to_date() -> None:
    page = (DOCS / "formulas.md").read_text(encoding="utf-8")
    assert page == formulas_page(), "run `make docs`"


@pytest.mark.slow  # what the page on energies says already
@pytest.mark.parametrize("name", REGISTRY.energies)
def test_every_energy_is_finite_at_the_edges_or_refuses_clearly(name: str) -> None:
    for case, verdict in at_the_edges(REGISTRY.energies[name]).items():
        assert verdict in {"finite", "-"} or verdict.startswith("refused: "), case
