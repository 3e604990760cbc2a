"""Sections that pages of several kinds have: parameters, cost, modes, scores, pictures."""

from __future__ import annotations

from attenergy.registry import EnergySpec, MixerSpec, Range, as_written
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.entries.results import Score
from attenergy.testing.docs_pages.markdown import linked, plain, table

_LENGTHS = ("18", "64", "256", "1024")
#: Splits that outputs call by another name: `iid` stands beside `ood`.
_SHOWN = {"test": "iid"}


def head(name: str, title: str) -> str:
    """The name and the title, and where the page comes from."""
    made = "<!-- Made from the registry by `make docs`; a test compares. -->"
    return f"# `{name}`: {plain(title)}\n\n{made}\n"


def section(title: str, text: str) -> str:
    """A heading and what stands under it; nothing if there is nothing."""
    return f"## {title}\n\n{text.strip()}\n" if text.strip() else ""


def sentence(text: str) -> str:
    """A note of an entry as a sentence; nothing if there is none."""
    return f"{plain(text[:1].upper() + text[1:])}." if text else ""


def joined(*parts: str) -> str:
    """The parts of a page that are there, an empty line between them."""
    return "\n".join(part.strip("\n") + "\n" for part in parts if part.strip())


def picture(facts: Facts, kind: str, name: str) -> str:
    """The picture of an entry with its caption; nothing if there is none."""
    about = facts.pictures.get(f"{kind}/{name}")
    if about is None:
        return ""
    if "why not" in about:
        return f"No picture: {plain(about['why not'])}\n"
    shown = f"![{about['alt']}](../pictures/entries/{kind}/{name}.png)"
    words = f"{plain(about['caption'])} Drawn by `{about['command']}`."
    return f"{shown}\n\n{words}\n"


def indexes(facts: Facts, kind: str) -> list[str]:
    """Links to the page on all entries of a kind, and to the gallery if there is one."""
    lines = [f"[All {kind}](../{kind}.md)"]
    return [*lines, "[The gallery](../gallery.md)"] if facts.pictures else lines


def span(values: Range | None) -> str:
    """The values that a search tries."""
    if values is None:
        return "not searched"
    if values.choices is not None:
        return ", ".join(f"`{as_written(value)}`" for value in values.choices)
    return f"{values.low} to {values.high}" + (", logarithmic" if values.log else "")


def options(spec: EnergySpec | MixerSpec) -> list[tuple[str, ...]]:
    """A row for each option of a class: name, default, what a search tries."""
    return [
        (f"`{name}`", f"`{as_written(option.default)}`", span(option.search))
        for name, option in spec.options.items()
    ]


def cost(facts: Facts, name: str) -> str:
    """The time of a layer over that of attention by hand, by the number of tokens."""
    times = facts.speed["time / SDPA layer by hand"].get(name)
    if times is None:
        return ""
    row = [f"{t:.2f}" if (t := times[length]) < 10 else f"{t:.0f}" for length in _LENGTHS]
    why = facts.speed["why above 3"].get(name, "")
    lines = [
        "Time of a layer with projections, forward and backward, over the same around "
        "`scaled_dot_product_attention` written by hand:",
        table(["tokens", *_LENGTHS], [["times as long", *row]]),
        f"Processor time of one thread, the two in turn, median of {facts.speed['rounds']} rounds; "
        f"width {facts.speed['width']}, {facts.speed['heads']} heads, {facts.speed['tokens']} "
        "tokens in all, float32, one step, on a shared machine: differences below 0.1 are noise. "
        "From [layer_speed.json](../../benchmarks/results/layer_speed.json), measured by "
        "`python benchmarks/layer_speed.py`; more in [What a layer costs](../speed.md).",
    ]
    if why:
        lines.insert(2, f"Above 3 because of: {plain(why)}.\n")
    return "\n\n".join(line.strip() for line in lines)


def modes(facts: Facts, row: str, backend: str = "") -> str:
    """What does not work, in words; all else does."""
    cells = facts.modes.get(row, {})
    failing = {mode: why for mode, why in cells.items() if why != "yes"}
    with_backend = f" with backend `{backend}`" if backend else ""
    table_of = "[What works under which mode](../modes.md)"
    if not cells:
        return ""
    if not failing:
        return (
            f"All {len(cells)} modes of {table_of} work{with_backend}: `torch.compile`, `vmap`, "
            "export, second derivatives and the others."
        )
    by_reason: dict[str, list[str]] = {}
    for mode, why in failing.items():
        by_reason.setdefault(why, []).append(f"*{mode.replace('_', ' ')}*")
    lines = [f"* {', '.join(names)}: {plain(why)}." for why, names in by_reason.items()]
    count = len(cells) - len(failing)
    start = f"{count} of the {len(cells)} modes of {table_of} work{with_backend}. The others:"
    return "\n".join([start, "", *lines])


def scored(facts: Facts, rows: list[Score], *, by_task: bool) -> str:
    """Recorded scores; for a task the best variants first, for a variant the tasks in turn."""
    if not rows:
        return ""
    what = "variant" if by_task else "task"
    body = []
    for row in rows:
        folder, name = ("", row.variant) if by_task else ("tasks", row.task)
        if by_task:
            folder = "energies" if name in facts.registry.energies else "mixers"
        metric = row.metric or "score"
        body.append((
            f"[`{name}`](../{folder}/{name}.md)", f"{row.mean:.3f}",
            f"{metric}, {_SHOWN.get(row.split, row.split)}", str(row.seeds), row.how,
            f"[{row.file}](../../benchmarks/results/{row.file})",
        ))  # fmt: skip
    header = (what, "mean", "of", "seeds", "trained", "from")
    return (
        "Runs whose records are in the repository; no ranking, as they had different recipes.\n\n"
        + table(header, body)
    )


def reference(text: str) -> str:
    """Where it comes from, with links."""
    return f"{linked(text)}.\n" if text else ""
