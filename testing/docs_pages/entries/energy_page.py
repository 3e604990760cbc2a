"""The page of one energy."""

from __future__ import annotations

import inspect

from attenergy.energies import Energy, make_energy
from attenergy.energies.factory import class_of
from attenergy.registry import EnergySpec
from attenergy.testing.docs_pages.entries import sections, use
from attenergy.testing.docs_pages.entries.capacities import measured
from attenergy.testing.docs_pages.entries.descent import descent
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.entries.formulas import energy_formula, of_gradient, update
from attenergy.testing.docs_pages.entries.neighbours import neighbours
from attenergy.testing.docs_pages.markdown import bullets, paragraphs, plain, prose, table
from attenergy.testing.known_answers import KNOWN_ANSWERS

_EMPTY_ROW = (
    "A {stored} that the mask hides has no influence at all ([law 2](../laws.md#law-masking)); a "
    "state that sees no {stored} stays where it is, with finite gradients."
)


def energy_page(facts: Facts, name: str) -> str:
    """Everything that is known of an energy without training it, and what was recorded of it."""
    spec = facts.registry.energies[name]
    energy = make_energy(name, dim=8, registry=facts.registry)
    section = sections.section
    return sections.joined(
        sections.head(name, spec.title),
        plain(spec.doc) + "\n",
        sections.picture(facts, "energies", name),
        section("Energy", energy_formula(spec)),
        section("Update", update(spec)),
        section("Symbols, parameters and options", _parameters(spec)),
        section("Steps and descent", descent(spec)),
        section("States and weights", bullets(_states(spec, energy))),
        section("Known answers", _answers(spec)),
        section("At the edges", _edges(facts, name, energy.reads_patterns)),
        section(
            "Capacity" if spec.capacity else "Measured",
            sections.joined(sections.sentence(spec.capacity), measured(name, facts.result)),
        ),
        section("Cost", sections.cost(facts, name)),
        section("Modes of PyTorch", sections.modes(facts, f"{name}/auto", "auto")),
        section(
            "Recorded runs",
            sections.scored(facts, [s for s in facts.scores if s.variant == name], by_task=False),
        ),
        section("Use it", use.energy_code(name, energy)),
        section("Your own version", use.copied(facts, "energies", name)),
        section("In detail", _class(spec)),
        section("Reference", sections.reference(spec.reference)),
        section("See also", _neighbours(facts, name)),
    )


def _parameters(spec: EnergySpec) -> str:
    rows = [
        (
            f"`{name}`",
            plain(parameter.doc) or "-",
            f"`{parameter.init}`",
            parameter.constraint,
            {"per_head": "for each head", "no": "no"}.get(
                str(parameter.learnable), str(parameter.learnable)
            ),
            "x".join(parameter.shape) if parameter.shape else "1",
            sections.span(parameter.search),
        )
        for name, parameter in spec.parameters.items()
    ]
    parts = []
    if rows:
        header = ("parameter", "meaning", "starts at", "values", "learned", "shape", "searched")
        parts.append(table(header, rows))
    for name, choice in spec.choices.items():
        parts.append(
            f"The choice `{name}` ({plain(choice.doc)}), `{choice.default}` unless set:\n\n"
            + table(
                ("option", f"`{name}({choice.argument})`"),
                [(f"`{option}`", f"`{formula}`") for option, formula in choice.options.items()],
            )
        )
    if spec.options:
        parts.append(table(("option", "default", "searched"), sections.options(spec)))
    if spec.symbols:
        parts.append(bullets(f"`{s}`: {plain(text)}" for s, text in spec.symbols.items()))
    return "\n".join(parts)


def _states(spec: EnergySpec, energy: Energy) -> list[str]:
    lines = [
        "One number for all states together: they act on each other."
        if energy.states_interact
        else "One number for each state; no state acts on another one."
    ]
    if not energy.reads_patterns:
        lines.append(
            "It reads no stored patterns: the states are each other's patterns, and it takes no "
            "context."
        )
    if energy.patterns_interact:
        lines.append(
            "The patterns' order, or their places on a graph, counts."
            if energy.reads_patterns
            else "The order of the states counts."
        )
    if energy.is_attention:
        lines.append(
            "Its weights over patterns are a softmax, so a step runs through "
            "`scaled_dot_product_attention`."
        )
    elif energy.has_weights:
        lines.append("It has weights over patterns in closed form.")
    elif energy.has_coupling:
        lines.append("It has no weights over patterns; the step is there in closed form.")
    else:
        lines.append("It has no weights over patterns: the step differentiates the energy.")
    by_weights = spec.read == "weights" or (spec.read is None and energy.has_weights)
    lines.append(
        "A layer reads projected values with the weights of the last step."
        if by_weights
        else "A layer projects the relaxed state itself; there is no value projection."
    )
    lines.append(
        "It reads a field `h`, so relative positions reach it as an additive mask does."
        if energy.reads_field
        else "It reads no field: give positions with the inputs."
    )
    lines.append(
        "It has derivatives of all orders."
        if energy.smooth
        else "It has kinks (a rectifier, an absolute value or a sign)."
    )
    return lines


def _answers(spec: EnergySpec) -> str:
    lines = []
    for name in spec.known_answers:
        text = " ".join(
            inspect.cleandoc(KNOWN_ANSWERS[name].__doc__ or "").split("\n\n")[0].split()
        )
        lines.append(f"`{name}`: {plain(text)}")
    if not lines:
        return ""
    return "The tests compare it with what is known without the toolkit:\n\n" + bullets(lines)


def _edges(facts: Facts, name: str, reads_patterns: bool) -> str:
    verdicts = facts.edges[name]
    finite = [case for case, verdict in verdicts.items() if verdict == "finite"]
    refused = {c: v for c, v in verdicts.items() if v not in {"finite", "-"}}
    lines = [
        _EMPTY_ROW.format(stored="pattern" if reads_patterns else "state"),
        "Energy, two steps and the gradients of both are finite at: "
        f"{', '.join(plain(case) for case in finite)}.",
        *(f"{plain(case)}: {plain(verdict)}." for case, verdict in refused.items()),
    ]
    return (
        bullets(lines)
        + "\nThe cases are explained in [The energies](../energies.md#at-the-edges).\n"
    )


def _class(spec: EnergySpec) -> str:
    """What the docstring of a class says beyond its formula."""
    if spec.formula is not None:
        return ""
    blocks = [
        block
        for block in paragraphs(class_of(spec))[1:]
        if not block.startswith(("Options", "Shapes")) and not of_gradient(block)
    ]
    return prose(blocks)


def _neighbours(facts: Facts, name: str) -> str:
    rows = [
        f"[`{other}`]({other}.md): {plain(facts.registry.energies[other].title)}"
        for other in neighbours(facts.registry.energies, name)
    ]
    return bullets([*rows, *sections.indexes(facts, "energies")])
