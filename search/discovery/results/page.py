"""The page of a discovery: `discovery.html`, one file that fetches nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from attenergy.analysis.drawing import Picture
from attenergy.analysis.result import Table
from attenergy.energies.language import FormulaError
from attenergy.registry import EnergySpec, Registry, load_registry
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results import commands, inside, pictures, tables
from attenergy.search.discovery.results.discovery import Discovery, Formula
from attenergy.search.discovery.results.entries import entries_text, entry_of, provenance
from attenergy.search.discovery.results.family import family, family_picture, mathml_of
from attenergy.search.discovery.results.finding import Final, Finding, judge, read_finals
from attenergy.search.discovery.results.terminal import NOTES
from attenergy.search.report.html import forest
from attenergy.search.report.html.build import fill, shown
from attenergy.search.report.html.study_view import View
from attenergy.search.report.html.tables import leaderboard, shown_verdict
from attenergy.search.results import formats
from attenergy.search.results.study_folder import DISCOVERED

_MOST_RUNS = 2000  # formulas that are listed


def page(folder: Path, discovery: Discovery, registry: Registry | None = None) -> str:
    """The page of a discovery, from its data and the finals in its folder.

    Everything that came from a file is escaped; formulas are read by the language, which runs
    nothing. The same folder gives the same text.

    Args:
        folder: of the study.
        discovery: what stands in it.
        registry: where nearest known energies are looked up; the built-in one if None.

    Raises:
        NoMatplotlib: without matplotlib.
        NoTemplates: without jinja2.
        ValueError: a record of the finals is damaged.
    """
    known = registry or load_registry(plugins=False)
    finals = read_finals(folder, discovery)
    finding = judge(discovery, finals)
    winner = finding.winner
    drawn = pictures.draw(discovery, winner)
    return fill(
        "discovery.html.j2",
        title=discovery.name,
        discovery=discovery,
        verdict=shown_verdict(finding.verdict),
        tiles=tiles(discovery),
        against=_table(tables.against(finding)),
        winner=None if winner is None else _winner(discovery, winner, known),
        family=None if winner is None else family(discovery, winner),
        pictures={name: [shown(p) for p in group] for name, group in drawn.items()},
        best=_table(tables.best_formulas(discovery, winner)),
        equal=_table(tables.equal_seconds(discovery)),
        arms=_table(tables.arms(discovery)),
        filters=_table(tables.filters(discovery)),
        rungs=_table(tables.rungs(discovery)),
        ablation=_table(tables.ablation(discovery)),
        laws=_table(tables.laws(discovery)),
        finals=[_final(final, finding) for final in finals],
        notes=NOTES,
        every=_table(every(discovery)),
        hidden=max(0, len(discovery.population) - _MOST_RUNS),
        entries=entries_text(discovery, known),
        data=DISCOVERED,
        commands=commands.use(folder, discovery, finals, winner),
        again=commands.again(discovery),
    )


def drawings(folder: Path, discovery: Discovery) -> list[Picture]:
    """Every picture of the page that is not of a landscape, as a desk shows it."""
    finals = read_finals(folder, discovery)
    winner = judge(discovery, finals).winner
    drawn = [picture for group in pictures.draw(discovery, winner).values() for picture in group]
    if winner is not None:
        drawn.append(family_picture(discovery, winner))
    for final in finals:
        name = f"finals-{final.study.folder.name}"
        drawn += [replace(picture, name=name) for picture in forest.draw(View(final.study))]
    return [picture for picture in drawn if picture.screen != "phone"]


def write_pictures(folder: Path, discovery: Discovery, out: Path) -> list[Path]:
    """Write these pictures as PNG into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    return [picture.save(out) for picture in drawings(folder, discovery)]


def tiles(discovery: Discovery) -> list[tuple[str, str]]:
    """The discovery in a few numbers."""
    rejected = sum(each.count for each in discovery.rejected.values())
    arms = [formula.arm for formula in discovery.population]
    return [
        (f"{rejected + tables.written(discovery)}", "formulas written"),
        (f"{rejected}", "rejected before training"),
        (f"{arms.count('evolved')}", "evolved, evaluated"),
        (f"{arms.count('random')}", "random, evaluated"),
        (f"{arms.count('registry')}", "of the registry"),
        (formats.duration(discovery.seconds), "of computing"),
    ]


def every(discovery: Discovery) -> Table:
    """Every formula: where it came from, and its scores."""
    formulas = sorted(discovery.population, key=lambda f: f.number)[:_MOST_RUNS]
    rows = [
        [
            f"{formula.number}",
            formula.arm,
            formula.formula,
            formula.entry or formula.operation,
            " ".join(map(str, formula.parents)),
            *(tables.score(formula.scores.get(rung)) for rung in discovery.rungs),
            f"{formula.seconds:.1f}",
        ]
        for formula in formulas
    ]
    header = ["trial", "arm", "formula", "operation", "parents", *discovery.rungs, "s"]
    return Table("Every formula", header, rows, 5)


def _winner(discovery: Discovery, winner: Formula, registry: Registry) -> dict[str, Any]:
    """The winner's formula, entry, landscape and update."""
    about = {
        "name": winner.name,
        "tone": pictures.LOOKS[winner.arm][0],
        "formula": winner.formula,
        "mathml": mathml_of(winner),
        "settings": formats.settings(dict(winner.settings)),
        "facts": _facts(winner),
        "latex": "",
        "entry": "",
        "landscapes": (),
        "weights": None,
    }
    try:
        candidate = Candidate.from_formula(winner.formula)
        spec = entry_of(candidate, winner.settings, **provenance(discovery, winner))
    except (FormulaError, ValueError):
        return about
    return about | {
        "latex": candidate.latex,
        "guarantee": _guarantee(spec),
        "landscapes": inside.landscapes(winner.name, spec, winner.nearest, registry),
        "weights": inside.weights(winner.name, spec, winner.nearest, registry),
    }


def _facts(winner: Formula) -> list[tuple[str, str]]:
    near = formats.NOTHING
    cost = near if winner.cost is None else f"{formats.fixed(winner.cost, 2)} of softmax's"
    if winner.nearest:
        near = f"{winner.nearest}, at a distance of {formats.number(winner.distance)}"
    return [
        ("nearest known energy", near),
        ("cost of a step", cost),
        ("length", f"{winner.length} nodes"),
        ("made by", winner.entry or winner.operation or formats.NOTHING),
        ("spent on it", formats.rough_time(winner.seconds)),
    ]


def _guarantee(spec: EnergySpec) -> str:
    if spec.quadratic is None:
        return "It is not proven that its steps descend."
    return (
        f"Its quadratic part, {spec.quadratic}, is proven from the tree: "
        "no step of a size below 2 raises the energy."
    )


def _final(final: Final, finding: Finding) -> dict[str, Any]:
    """The finals on one task: forest and leaderboard."""
    view = View(final.study)
    prefix = re.sub(r"\W", "-", final.study.folder.name)
    return {
        "id": f"final-{prefix}",
        "task": final.task,
        "held_out": final.held_out,
        "verdict": shown_verdict(view.board.verdict),
        "forest": [
            shown(picture, f"{prefix}-") | {"title": f"{final.task}, {picture.title}"}
            for picture in forest.draw(view)
        ],
        "board": leaderboard(view),
    }


def _table(table: Table) -> dict[str, Any] | None:
    """A table for the template; None without rows."""
    if not table.rows:
        return None
    return {"header": list(table.header), "rows": table.rows, "texts": table.texts}
