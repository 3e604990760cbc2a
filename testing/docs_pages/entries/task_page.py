"""The page of one task."""

from __future__ import annotations

import math

from attenergy.registry import Registry, TaskSpec, as_written
from attenergy.tasks import CLASSES, Task, make_task, needs_data
from attenergy.testing.docs_pages.entries import sections, use
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.markdown import bullets, fence, paragraphs, plain, prose, table

#: Most of a sample that is printed.
_LINES, _COLUMNS = 24, 110
#: Splits that outputs call by another name: `iid` stands beside `ood`.
_SHOWN = {"test": "iid"}
#: Classes whose instances are read from the Python that runs them.
_OF_THE_MACHINE = frozenset({"Text"})
_KINDS = {"vector": "vectors of {} numbers", "token": "tokens below {}", "memory": "patterns of {}"}


def task_page(facts: Facts, name: str) -> str:
    """What is asked, how it is scored, and with what it is trained."""
    spec = facts.registry.tasks[name]
    section = sections.section
    own = needs_data(spec)
    task = None if own else make_task(name, registry=facts.registry)
    parts = [
        sections.head(name, spec.title),
        _about(spec),
        sections.picture(facts, "tasks", name),
    ]
    if task is not None:
        parts += [
            section("A sample", _sample(name, task, spec.class_)),
            section("Inputs and answers", bullets(_shapes(task))),
            section("Scores", _scores(facts, name, spec, task)),
        ]
    else:
        parts.append(
            section(
                "Your data", "How the files look and are split: [Your own data](../own_data.md)."
            )
        )
    parts += [
        section("In detail", prose(_blocks(spec)[1:])),
        section("Options", _options(spec)),
        section("Model and recipe", _recipe(facts.registry, spec)),
        section(
            "Recorded runs",
            sections.scored(facts, [s for s in facts.scores if s.task == name], by_task=True),
        ),
        section("Use it", _use(name, spec, own=own)),
        section("Reference", sections.reference(spec.reference)),
        section("See also", _neighbours(facts, name)),
    ]
    return sections.joined(*parts)


def _about(spec: TaskSpec) -> str:
    """What is asked, in the first words of the class, and what the entry adds."""
    return sections.joined(prose(_blocks(spec)[:1]), plain(spec.doc))


def _blocks(spec: TaskSpec) -> list[str]:
    return paragraphs(CLASSES.lookup(spec.class_))


def ceilings(task: Task) -> dict[str, str]:
    """The best mean of the metric that any model can reach, by split, as text."""
    out = {}
    for split in task.splits:
        best = None if split == "train" else task.ceiling(split)
        if best is not None:
            out[split] = f"{best.value:.3f}" + (f" ± {best.error:.3f}" if best.error else "")
    return out


def _sample(name: str, task: Task, cls: str) -> str:
    if cls in _OF_THE_MACHINE:
        return f"`attenergy tasks sample {name}` prints one; it depends on the texts installed."
    lines = str(task.sample("train", 0)).splitlines()
    shown = [line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]} ..." for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"... ({len(lines) - _LINES} more lines)")
    return (
        f"The first one of the training stream, as `attenergy tasks sample {name}` prints it:\n\n"
        + fence("\n".join(line.rstrip() for line in shown))
    )


def _shapes(task: Task) -> list[str]:
    inputs, outputs = task.inputs, task.outputs
    each = f", {inputs.channels} in a place" if inputs.channels > 1 else ""
    reads = _KINDS[inputs.kind].format(f"{inputs.size:,}")
    answers = (
        f"one of {outputs.size:,} classes"
        if outputs.kind == "class"
        else ("a number" if outputs.size == 1 else f"{outputs.size} numbers")
    )
    splits = ", ".join(f"`{_SHOWN.get(split, split)}`" for split in task.splits)
    return [
        f"Reads {inputs.length:,} places: {reads}{each}.",
        f"Answers {answers} at each scored place.",
        f"Splits: {splits}."
        + (" In Python `iid` is called `test`." if "test" in task.splits else ""),
    ]


def _scores(facts: Facts, name: str, spec: TaskSpec, task: Task) -> str:
    headline = _SHOWN.get(task.headline, task.headline)
    lines = [f"The metric is `{task.metric}`; in a comparison of tasks `{headline}` stands for it."]
    rows = [(f"chance, `{metric}`", f"{value:.3g}") for metric, value in task.chance.items()]
    rows += [
        (f"ceiling, `{_SHOWN.get(split, split)}`", text)
        for split, text in facts.ceilings[name].items()
    ]
    lines.append(table(("", "value"), rows))
    if facts.ceilings[name]:
        lines.append("The ceiling is the best mean of the metric that any model can reach.")
    if spec.seconds:
        lines.append(f"A run of softmax attention takes about {_time(spec.seconds)} on one core.")
    return "\n\n".join(line.strip() for line in lines)


def _time(seconds: float) -> str:
    """A rough time in words."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{math.ceil(seconds)} s"


def _options(spec: TaskSpec) -> str:
    rows = [
        (
            f"`{name}`",
            f"`{as_written(value)}`" if value != "" else "-",
            ", ".join(f"`{as_written(v)}`" for v in spec.sweeps.get(name, ())) or "-",
        )
        for name, value in spec.options.items()
    ]
    if not rows:
        return ""
    return "Set one with `--set NAME=VALUE`, go through the sweep with `--sweep NAME`.\n\n" + table(
        ("option", "value", "sweep"), rows
    )


def _recipe(registry: Registry, spec: TaskSpec) -> str:
    model, training = (
        ", ".join(
            f"{name} {as_written(value)}"
            for name, value in part.model_dump().items()
            if value is not None
        )
        for part in (spec.model, spec.training)
    )
    space = [(f"`{n}`", sections.span(r)) for n, r in registry.space(spec.space).items()]
    return "\n".join([
        bullets([f"Model: {plain(model)}.", f"Training: {plain(training)}."]),
        f"Besides the layer a search varies, by the space `{spec.space}`:\n",
        table(("quantity", "values"), space),
    ])  # fmt: skip


def _use(name: str, spec: TaskSpec, *, own: bool) -> str:
    if own:
        return "See [Your own data](../own_data.md): `--task " + name + " --set path=FILE`."
    return f"{use.task_code(name)}\n{use.task_commands(name, next(iter(spec.sweeps), None))}"


def _neighbours(facts: Facts, name: str) -> str:
    registry = facts.registry
    spec = registry.tasks[name]
    same = [n for n, s in registry.tasks.items() if s.class_ == spec.class_ and n != name]
    homes = [f"`{n}`" for n, bundle in registry.bundles.items() if name in bundle.tasks]
    rows = [f"[`{n}`]({n}.md): {plain(registry.tasks[n].title)}" for n in same[:8]]
    if homes:
        rows.append(f"In the bundle{'s' if len(homes) > 1 else ''} {', '.join(homes)}")
    return bullets([*rows, *sections.indexes(facts, "tasks")])
