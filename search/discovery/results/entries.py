"""`discovered.yaml`: the best formulas as entries of a registry, with where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attenergy.energies.language import FormulaError
from attenergy.registry import (
    EnergySpec,
    PluginNeed,
    Range,
    Registry,
    Scalar,
    layer_uses,
    load_registry,
    needed,
)
from attenergy.registry.printable import printable
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.discovery import Discovery, Formula
from attenergy.search.discovery.results.order import ancestry, best
from attenergy.search.results import formats
from attenergy.search.runs.plugin_needs import modules_of

#: Entries of a file, besides finalists.
MOST = 8
_ABOUT = (
    "# Energies that `attenergy discover` wrote, the best first. In every command that takes\n"
    "# --registry, and in Python by load_registry(FILE), they are energies like all others.\n"
)
_SHOWN = 6  # ancestors that are named


def entry_of(
    candidate: Candidate,
    settings: Mapping[str, Scalar],
    *,
    title: str,
    doc: str = "",
    reference: str = "",
) -> EnergySpec:
    """The entry of a candidate, whose defaults are the settings that it had when it was best.

    Parameters keep their own initial values, as on every rung on which they are learned: what suits
    a memory without training is too sharp to begin a training with.

    Args:
        candidate: with its best numbers.
        settings: of its layer: `steps`, `step_size`. Others are passed over, and so is a value that
            lies outside of what the entry lets a search try.
        title: of the entry.
        doc: of the entry.
        reference: of the entry.
    """
    spec = candidate.entry(title=title, doc=doc, reference=reference)
    data: dict[str, Any] = spec.model_dump(by_alias=True, exclude_none=True)
    for name, value in settings.items():
        if name in {"steps", "step_size"}:
            _set(data[name], "default", value, getattr(spec, name).search)
    return EnergySpec.model_validate(data)


def entries_of(discovery: Discovery, registry: Registry | None = None) -> dict[str, EnergySpec]:
    """The entries of a discovery: finalists that it wrote, then the best formulas that evolved.

    Names are those of the finals, `discovered_17` and `random_17` after the number of the formula.
    One that the registry has already gets an underscore behind it. A formula that the language does
    not read, as in a file that somebody changed, is left out.

    Args:
        discovery: from its folder, or from the search.
        registry: whose names are taken; the built-in one if None.
    """
    return _read(discovery, registry)[0]


def _read(
    discovery: Discovery, registry: Registry | None
) -> tuple[dict[str, EnergySpec], dict[str, str]]:
    """The entries, and by the names of those that are left out the reason."""
    taken = registry or load_registry(plugins=False)
    names = {*taken.energies, *taken.mixers, *taken.stacks}
    entries: dict[str, EnergySpec] = {}
    lost: dict[str, str] = {}
    for formula in _chosen(discovery):
        try:
            candidate = Candidate.from_formula(formula.formula)
            spec = entry_of(candidate, formula.settings, **provenance(discovery, formula))
        except (FormulaError, ValueError) as error:
            lost[formula.name] = _reason(error)
            continue
        name = formula.name
        while name in names:
            name += "_"
        entries[name] = spec
        names.add(name)
    return entries, lost


def entries_text(discovery: Discovery, registry: Registry | None = None) -> str:
    """The registry file with the entries of a discovery; without any it holds none.

    Comments say which plug-ins they need, and what is left out.

    Args:
        discovery: from its folder, or from the search.
        registry: whose names are taken; the built-in one if None.
    """
    import yaml

    specs, lost = _read(discovery, registry)
    entries = {
        name: spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
        for name, spec in specs.items()
    }
    about = [*map(_need, needed(use for s in specs.values() for use in layer_uses(s, {})))]
    about += [f"{name} is left out: {reason}" for name, reason in lost.items()]
    comments = "".join(f"# {printable(text, lines=False)}\n" for text in about)
    content = {"version": 1, "energies": entries}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return _ABOUT + comments + text


def _reason(error: Exception) -> str:
    """Why a formula is left out, without all that it could have said."""
    text = f"{error}".splitlines()[0]
    for unsaid in ("; known:", " (known:"):
        text = text.partition(unsaid)[0]
    return text


def _need(need: PluginNeed) -> str:
    """What a file says of a plug-in, to whom an unknown function would say nothing."""
    things = ", ".join(f"{kind} {name!r}" for kind, name in need.items())
    modules = modules_of([need])
    if not modules:
        return f"Needs what a script registered: {things}."
    package = f"{need.name} {need.version}".strip()
    return f"Needs the plug-in {package} ({things}): attenergy --plugin {modules[0]} ..."


def provenance(discovery: Discovery, formula: Formula) -> dict[str, str]:
    """Title, doc and reference of an entry: study, trial, parents, operations, scores, date."""
    how = "at random" if formula.arm == "random" else "by evolution"
    scores = ", ".join(f"{rung} {formats.fixed(score)}" for rung, score in _finite(formula.scores))
    near = ""
    if formula.nearest and formula.distance is not None:
        near = f" Nearest known energy: {formula.nearest}, at a distance of {formula.distance:.3g}."
    lines = ancestry(discovery, formula)
    line = "; ".join(_origin(each) for each in lines[:_SHOWN])
    older = f"; and {len(lines) - _SHOWN} older ones" if len(lines) > _SHOWN else ""
    doc = (
        f"Written {how}: {line}{older}. Scores of one seed, 0 chance and 1 the ceiling: "
        f"{scores or 'none'}.{near}"
    )
    reference = (
        f"attenergy discover, study {discovery.name}, trial {formula.number}, tasks "
        f"{', '.join(discovery.tasks)}, seed {discovery.seed}"
    ) + (f", {discovery.date}" if discovery.date else "")
    title = f"{'Random' if formula.arm == 'random' else 'Discovered'} energy {formula.number}"
    texts = {"title": title, "doc": doc, "reference": reference}
    return {name: printable(text, lines=False) for name, text in texts.items()}


def _origin(formula: Formula) -> str:
    """`17 by crossover of 12 and 4`, `4 from lse`."""
    if formula.arm == "registry":
        return f"{formula.number} from {formula.entry or 'the registry'}"
    parents = " and ".join(map(str, formula.parents))
    return f"{formula.number} by {formula.operation or '?'}" + (f" of {parents}" if parents else "")


def _chosen(discovery: Discovery) -> list[Formula]:
    """Finalists that the search wrote, then the best that evolved, each form of them once."""
    named = [discovery.by_name.get(f.name) for f in discovery.finalists]
    chosen = [f for f in named if f is not None and f.arm != "registry"]
    forms, most = {_form(f) for f in chosen}, len(chosen) + MOST
    for formula in best(discovery, "evolved"):
        if _form(formula) not in forms and len(chosen) < most:
            forms.add(_form(formula))
            chosen.append(formula)
    return chosen


def _form(formula: Formula) -> str:
    return formula.key or formula.formula


def _finite(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(rung, score) for rung, score in scores.items() if math.isfinite(score)]


def _set(entry: dict[str, Any], name: str, value: Scalar, search: Range | None) -> None:
    """Set a default, if a search could give it as well."""
    if search is None or not search.objection(value):
        entry[name] = value
