"""Commands that look at the registry: `energies`, `mixers`, `tasks`, `schema`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attenergy.registry import ArgumentError
from attenergy.search.cli.parameters.completion import (
    complete_bundle,
    complete_layers,
    complete_task,
)
from attenergy.search.cli.parameters.options import (
    Format,
    FormatOption,
    RegistryOption,
    SetOption,
    emit,
    load,
)
from attenergy.search.cli.parameters.values import assignments

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.registry import EnergySpec, MixerSpec, Range, TaskSpec, VariantSpec

energies = typer.Typer(help="List, show and check energies.", no_args_is_help=True)
mixers = typer.Typer(help="List the layers that are not made from an energy.", no_args_is_help=True)
TaskArgument = Annotated[str, typer.Argument(help="Name of a task.", autocompletion=complete_task)]
tasks = typer.Typer(help="List, show and sample tasks.", no_args_is_help=True)

#: Seconds of one run on one core -> the title of a group of tasks.
_LENGTHS = {
    60.0: "within a minute",
    600.0: "minutes",
    math.inf: "hours and days",
}
#: The group of tasks that read a user's files.
_OWN = "your own data: --set path=FILE"
_ANSWERS = {"class": "classes", "number": "numbers"}


@energies.command("list")
def list_energies(registry: RegistryOption = None, form: FormatOption = Format.TABLE) -> None:
    """List every energy: name, title, formula."""
    loaded = load(registry).energies
    rows = [[name, e.title, e.formula or f"class {e.class_}"] for name, e in loaded.items()]
    _list(form, ("name", "title", "energy"), rows)


@mixers.command("list")
def list_mixers(registry: RegistryOption = None, form: FormatOption = Format.TABLE) -> None:
    """List every mixer: name, title, reference."""
    rows = [[name, m.title, m.reference] for name, m in load(registry).mixers.items()]
    _list(form, ("name", "title", "reference"), rows)


@tasks.command("list")
def list_tasks(
    bundle: Annotated[
        str | None,
        typer.Option(
            *("--bundle", "-b"),
            help="Only the tasks of a bundle.",
            autocompletion=complete_bundle,
        ),
    ] = None,
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List every task by the time of one run on one core: name, that time, title, [bundles]."""
    from attenergy.search.results import formats

    loaded = load(registry)
    wanted = loaded.tasks if bundle is None else loaded.bundle(bundle).tasks
    homes = {
        name: ", ".join(b for b, spec in loaded.bundles.items() if name in spec.tasks)
        for name in wanted
    }
    specs = {name: loaded.task(name) for name in wanted}
    if form is Format.JSON:
        rows = [[n, t.title, formats.rough_time(t.seconds), homes[n]] for n, t in specs.items()]
        emit(
            form,
            [dict(zip(("name", "title", "time", "bundles"), r, strict=True)) for r in rows],
            "",
        )
        return
    emit(form, None, _tasks(specs, homes))


@energies.command("show")
def show_energy(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of an energy, mixer or stack (lse/hyla).", autocompletion=complete_layers
        ),
    ],
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show an energy: formula, update, parameters, ranges, known answers."""
    from attenergy.registry import EnergySpec
    from attenergy.search.cli.entries.in_the_study import in_the_study

    spec = load(registry).variant(name)
    facts: dict[str, Any] = {"name": name, "title": spec.title}
    facts["in_the_study"] = in_the_study(name, spec)
    if isinstance(spec, EnergySpec):
        from attenergy.energies import describe

        facts |= describe(spec)
    data = {**facts, "entry": spec.model_dump(mode="json", by_alias=True)}
    emit(form, data, _spec_page(facts, spec))


@tasks.command("show")
def show_task(
    name: TaskArgument,
    options: SetOption = None,
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show a task: inputs, outputs, splits, chance, ceiling, model and training."""
    from attenergy.search.results import formats
    from attenergy.tasks import make_task

    loaded = load(registry)
    spec = loaded.task(name)
    chosen: dict[str, Any] = assignments(options, "--set")
    task = make_task(name, registry=loaded, **chosen)
    ceilings = {split: task.ceiling(split) for split in task.splits if split != "train"}
    known = {s: {"value": c.value, "error": c.error} for s, c in ceilings.items() if c is not None}
    lines = {
        "title": spec.title,
        "about": spec.doc,
        "reference": spec.reference,
        "metric": task.metric,
        "chance": formats.settings(task.chance),
        "ceiling": " ".join(f"{formats.split(s)}={formats.estimate(**c)}" for s, c in known.items())
        or "unknown",
        "splits": ", ".join(s if s != "test" else "iid (in Python: test)" for s in task.splits),
        "inputs": f"{task.inputs.length} positions, {task.inputs.kind} of size {task.inputs.size}",
        "outputs": f"{task.outputs.size} {_ANSWERS[task.outputs.kind]} per position",
        "options": formats.settings({**spec.options, **chosen}),
        "data": "\n".join(task.notes),
        "model": formats.settings(spec.model.model_dump()),
        "training": formats.settings(spec.training.model_dump()),
        "time": formats.rough_time(spec.seconds),
        "sweeps": "; ".join(f"{n}: {', '.join(map(str, v))}" for n, v in spec.sweeps.items()),
        "space": "; ".join(f"{n}: {_range(r)}" for n, r in loaded.space(spec.space).items()),
    }
    data = {
        "name": name,
        "metric": task.metric,
        "chance": task.chance,
        "ceiling": known,
        "splits": task.splits,
        "notes": task.notes,
        "entry": spec.model_dump(mode="json", by_alias=True),
    }
    emit(form, data, _facts(lines))


@tasks.command("sample")
def sample_task(
    name: TaskArgument,
    split: Annotated[str, typer.Option(help="train, valid, iid (or test) or ood.")] = "train",
    index: Annotated[int, typer.Option(min=0, help="Which instance.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training stream.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a Raven matrix (.png, .svg, .pdf).")
    ] = None,
    options: SetOption = None,
    registry: RegistryOption = None,
) -> None:
    """Print one instance of a task as people write it, and draw it if it is a Raven matrix."""
    from attenergy.tasks import RavenInstance, make_task

    chosen: dict[str, Any] = assignments(options, "--set")
    task = make_task(name, registry=load(registry), seed=seed, **chosen)
    instance = task.sample("test" if split == "iid" else split, index)
    if picture is not None:
        if not isinstance(instance, RavenInstance):
            raise ArgumentError(f"only Raven matrices can be drawn, and task '{name}' has none")
        from attenergy.tasks.raven.picture import draw

        draw(instance, picture)
    typer.echo(str(instance))


def schema() -> None:
    """Print the JSON schema of registry files, for editors."""
    from attenergy.registry.schema import schema_text

    typer.echo(schema_text(), nl=False)


def _group(task: TaskSpec) -> int:
    """Which of the groups a task belongs to: one that waits for a path, or one of its length."""
    if task.options.get("path") == "":
        return len(_LENGTHS)
    seconds = math.inf if task.seconds is None else task.seconds
    return next(place for place, most in enumerate(_LENGTHS) if seconds <= most)


def _tasks(specs: dict[str, TaskSpec], homes: dict[str, str]) -> RenderableType:
    """Tasks under the titles of their groups, in one set of columns; bundles in brackets."""
    from attenergy.search.results import formats

    table = formats.rich_table(("name", "time", "title"), [], left=3)
    table.columns[0].no_wrap = True
    titles = [f"one run: {title}" for title in _LENGTHS.values()]
    for place, title in enumerate([*titles, _OWN]):
        group = {name: spec for name, spec in specs.items() if _group(spec) == place}
        if group:
            table.add_row()
            table.add_row(formats.plain_text(title, "bold"))
        for name, spec in group.items():
            about = f"{spec.title} [{homes[name]}]" if homes[name] else spec.title
            cells = (name, formats.rough_time(spec.seconds), about)
            table.add_row(*map(formats.plain_text, cells))
    return table


def _list(form: Format, header: tuple[str, ...], rows: list[list[str]]) -> None:
    """Each entry in a line: its name and its title; below, dim, what else there is to say."""
    if form is Format.JSON:
        emit(form, [dict(zip(header, row, strict=True)) for row in rows], "")
        return
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from attenergy.search.results import formats

    parts: list[RenderableType] = []
    for name, title, *rest in rows:
        first = Text.assemble(formats.plain_text(name, "bold"), "  ", formats.plain_text(title))
        parts.append(first)
        parts += [Padding(formats.plain_text(text, "dim"), (0, 0, 0, 4)) for text in rest if text]
    emit(form, None, Group(*parts))


def _facts(lines: dict[str, str]) -> RenderableType:
    from attenergy.search.results import formats

    rows = [[name, text] for name, text in lines.items() if text]
    table = formats.rich_table(("", ""), rows, left=2)
    table.show_header = False
    return table


def _spec_page(facts: dict[str, Any], spec: VariantSpec) -> RenderableType:
    from rich.console import Group

    from attenergy.registry import EnergySpec, StackSpec
    from attenergy.registry.stacks import parts, stack_text
    from attenergy.search.results import formats

    lines = {"name": facts["name"], "title": spec.title, "about": spec.doc}
    lines |= {key: str(facts[key]) for key in ("formula", "update", "latex") if facts.get(key)}
    if "attention" in facts:
        without = "in closed form" if facts["closed_form"] else "by autograd"
        path = "from weights over the patterns" if facts["score_path"] else without
        lines["computed"] = f"{path}; one step is softmax attention" if facts["attention"] else path
    lines["reference"] = spec.reference
    if isinstance(spec, StackSpec):
        lines["layers"] = stack_text(spec)
        lines["settings"] = formats.settings(spec.settings)
        rows = [row for part in parts(spec) for row in _parameters(part.spec, part.prefix)]
    else:
        rows = _parameters(spec)
    if isinstance(spec, EnergySpec):
        lines["symbols"] = "; ".join(f"{name}: {text}" for name, text in spec.symbols.items())
        lines |= {"domain": spec.domain, "quadratic part": str(spec.quadratic or "")}
        lines |= {"safe step sizes": str(facts["safe_steps"]), "capacity": spec.capacity}
        lines["known answers"] = ", ".join(spec.known_answers)
    lines["in the study"] = facts["in_the_study"]
    header = ("parameter", "default", "search range", "meaning")
    return Group(_facts(lines), "", formats.rich_table(header, rows, left=4))


def _parameters(spec: EnergySpec | MixerSpec, prefix: str = "") -> list[list[str]]:
    from attenergy.registry import EnergySpec, as_written
    from attenergy.search.results import formats

    rows: list[list[str]] = []
    for name, parameter in getattr(spec, "parameters", {}).items():
        about = f"{parameter.doc or parameter.constraint}; learnable: {parameter.learnable}"
        rows.append([name, str(parameter.init), _range(parameter.search), about])
    for name, choice in getattr(spec, "choices", {}).items():
        rows.append([name, choice.default, ", ".join(choice.options), choice.doc])
    for name, option in spec.options.items():
        rows.append([name, as_written(option.default), _range(option.search), ""])
    if isinstance(spec, EnergySpec):
        for name, tunable in (("steps", spec.steps), ("step_size", spec.step_size)):
            rows.append([name, str(tunable.default), _range(tunable.search), ""])
        offered = spec.solver.search
        choices = formats.NOTHING if offered is None else ", ".join(offered.choices)
        rows.append(["solver", spec.solver.default, choices, "how the states relax"])
    return [[f"{prefix}{row[0]}", *row[1:]] for row in rows]


def _range(span: Range | None) -> str:
    from attenergy.registry import as_written
    from attenergy.search.results import formats

    if span is None:
        return formats.NOTHING
    if span.choices is not None:
        return ", ".join(map(as_written, span.choices))
    return f"{span.low} to {span.high}" + (", logarithmic" if span.log else "")
