"""Pages made from the registry are up to date, and what they promise holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.registry import EnergySpec, load_registry
from attenergy.testing.docs_pages import energies
from attenergy.testing.docs_pages.formulas import formulas_page
from attenergy.testing.docs_pages.tasks import tasks_page
from attenergy.testing.edge_cases import EXTREMES, at_the_edges

REGISTRY = load_registry(plugins=False)
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_page_on_energies_is_up_to_date(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue of all entries, the edges of a part of them; of all in the slow run."""
    page = (DOCS / "energies.md").read_text(encoding="utf-8")
    table = [line for line in page.split("## At the edges")[1].splitlines() if line[:3] == "| `"]
    assert len(table) == len(REGISTRY.energies)
    written = {}
    for spec, line in zip(REGISTRY.energies.values(), table, strict=True):
        verdicts = line.removesuffix(" |").split(" | ")[1:]
        assert len(verdicts) == len(EXTREMES), line
        for verdict in verdicts:
            assert verdict in {"finite", "-"} or verdict.startswith("refused: "), line
        written[id(spec)] = dict(zip(EXTREMES, verdicts, strict=True))
    computed = {id(spec) for spec in list(REGISTRY.energies.values())[::every]}

    def edges(spec: EnergySpec) -> dict[str, str]:
        return at_the_edges(spec) if id(spec) in computed else written[id(spec)]

    monkeypatch.setattr(energies, "at_the_edges", edges)
    assert page == energies.energies_page(REGISTRY), "run `make docs`"


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
