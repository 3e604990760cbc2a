"""The page of one mixer, and the table of all."""

from __future__ import annotations

from attenergy.attention.mixers import CLASSES, Mixer
from attenergy.registry import MixerSpec, as_written
from attenergy.testing.docs_pages.entries import sections, use
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.markdown import (
    bullets,
    display,
    fence,
    linked,
    paragraphs,
    plain,
    prose,
)
from attenergy.testing.docs_pages.markdown import table as markdown_table

_HEAD = """\
# The mixers

Made from the registry by `make docs`; a test compares. A mixer is a layer whose update is written
by hand: it is the gradient of no energy, as far as anybody declares one. A search and a comparison
take mixers by name like energies. `attenergy energies show NAME` says more about one of them.

*Asymmetry* is that of the Jacobian of what a head reads, by the states, with the patterns as keys
and values and without projections: 0 is the gradient of an energy of the states, about 1.4 a random
field. *Cost* is that of 64 tokens beside attention by hand. All as pictures:
[the gallery](gallery.md).
"""


def mixers_page(facts: Facts) -> str:
    """The table of all mixers."""
    times = facts.speed["time / SDPA layer by hand"]
    rows = [
        (
            f"[`{name}`](mixers/{name}.md)",
            spec.title,
            _asymmetry(facts, name) or "-",
            f"{times[name]['64']:.2f}" if name in times else "-",
            linked(spec.reference),
        )
        for name, spec in facts.registry.mixers.items()
    ]
    return _HEAD + "\n" + markdown_table(("name", "title", "asymmetry", "cost", "source"), rows)


def mixer_page(facts: Facts, name: str) -> str:
    """What a mixer computes, and what was recorded of it."""
    spec = facts.registry.mixers[name]
    cls = CLASSES[spec.class_]
    section = sections.section
    blocks = paragraphs(cls)
    return sections.joined(
        sections.head(name, spec.title),
        _about(spec),
        sections.picture(facts, "mixers", name),
        section("What it computes", _formula(spec, blocks)),
        section("Options", _options(spec)),
        section("Not a gradient", _not_a_gradient(facts, name)),
        section("What it takes", bullets(_takes(cls))),
        section("Cost", sections.cost(facts, name)),
        section("Modes of PyTorch", sections.modes(facts, name)),
        section(
            "Recorded runs",
            sections.scored(facts, [s for s in facts.scores if s.variant == name], by_task=False),
        ),
        section("Use it", use.mixer_code(name, cls.needs_length)),
        section("Your own version", use.copied(facts, "mixers", name)),
        section("Reference", sections.reference(spec.reference)),
        section("See also", _neighbours(facts, name)),
    )


def _about(spec: MixerSpec) -> str:
    """What the entry says; where it is silent, what it sets of its class."""
    if spec.doc:
        return plain(spec.doc)
    chosen = [
        f"`{n}: {as_written(o.default)}`" for n, o in spec.options.items() if o.search is None
    ]
    if chosen:
        return f"The class `{spec.class_}` with {' and '.join(chosen)}."
    return ""


def _formula(spec: MixerSpec, blocks: list[str]) -> str:
    legend = (
        "States $i$, patterns $j$, heads $h$; $q$, $k$, $v$ are queries, keys and values, $d$ "
        "their width, $\\varphi$ is the field. Where nothing else is said, a head reads "
        "$\\sum_j a_{ij} v_j$, and an output projection joins the heads."
    )
    latex = CLASSES[spec.class_].latex
    shown = display(latex) if latex else ""
    return "\n".join([shown, fence(blocks[0]), legend + "\n", prose(blocks[1:])])


def _options(spec: MixerSpec) -> str:
    if not spec.options:
        return ""
    return markdown_table(("option", "default", "searched"), sections.options(spec))


def _takes(cls: type[Mixer]) -> list[str]:
    said = (
        (cls.has_weights, "Weights over patterns: `need_weights=True` gives them.",
         "It has no weights over patterns."),
        (cls.reads_field, "A field is added to the scores, so relative positions reach it.",
         "It reads no field: give positions with the inputs."),
        (cls.takes_context, "The patterns may be others than the states (cross attention).",
         "It mixes the states with each other and takes no context."),
        (cls.takes_rotary, "Rotary positions turn queries and keys.", "No rotary positions."),
    )  # fmt: skip
    lines = [yes if flag else no for flag, yes, no in said]
    if cls.always_causal:
        lines.append("It is causal whatever is asked for.")
    if cls.needs_length:
        lines.append("It needs the greatest length of a sequence, `length`.")
    return lines


def _asymmetry(facts: Facts, name: str) -> str:
    value = facts.curls["asymmetry"].get(name)
    return "" if value is None else f"{value:.2f}"


def _not_a_gradient(facts: Facts, name: str) -> str:
    value = facts.curls["asymmetry"].get(name)
    if value is None:
        return ""
    if value < 0.005:
        what = (
            "The Jacobian is symmetric: with keys and values tied it is the gradient of an energy. "
            "In a layer the values are free, which makes it none."
        )
    else:
        what = "It is not symmetric, so no energy of the states has this as its gradient."
    of = (
        "Of what the heads read, by the states, with the patterns as keys and as values"
        if CLASSES[facts.registry.mixers[name].class_].takes_context
        else "Of what the heads read of all states, as one map of them,"
    )
    return (
        f"Asymmetry of the Jacobian, $|J - J^\\top|/|J|$: **{value:.2f}**. {what}\n\n"
        f"{of} without projections, at random states; 0 is a gradient, about 1.4 a random field. "
        "From [curls.json](../../benchmarks/results/curls.json), measured by "
        "`python benchmarks/curves/curls.py`; `attenergy.analysis.curl` measures your own."
    )


def _neighbours(facts: Facts, name: str) -> str:
    registry = facts.registry
    spec = registry.mixers[name]
    same = [n for n, s in registry.mixers.items() if s.class_ == spec.class_ and n != name]
    near = same or [n for n in registry.mixers if n in {"softmax", "linear", "mean"} - {name}]
    rows = [f"[`{n}`]({n}.md): {plain(registry.mixers[n].title)}" for n in near]
    return bullets([*rows, *sections.indexes(facts, "mixers")])
