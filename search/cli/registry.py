"""Commands that look at the registry: `energies`, `mixers`, `tasks`, `schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attenergy.registry import ArgumentError
from attenergy.search.cli.options import Format, FormatOption, RegistryOption, emit, load

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.registry import EnergySpec, MixerSpec, Range, Registry
    from attenergy.testing import LawResult

energies = typer.Typer(help="List, show and check energies.", no_args_is_help=True)
mixers = typer.Typer(help="List the layers that are not made from an energy.", no_args_is_help=True)
tasks = typer.Typer(help="List, show and sample tasks.", no_args_is_help=True)

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
        str | None, typer.Option("--bundle", "-b", help="Only the tasks of a bundle.")
    ] = None,
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List every task: name, title, typical time of one run on one core, bundles."""
    from attenergy.search.results import formats

    loaded = load(registry)
    wanted = loaded.tasks if bundle is None else loaded.bundle(bundle).tasks
    homes = {
        name: ", ".join(b for b, spec in loaded.bundles.items() if name in spec.tasks)
        for name in wanted
    }
    specs = {name: loaded.task(name) for name in wanted}
    rows = [[n, t.title, formats.rough_time(t.seconds), homes[n]] for n, t in specs.items()]
    _list(form, ("name", "title", "time", "bundles"), rows)


@energies.command("show")
def show_energy(
    name: Annotated[str, typer.Argument(help="Name of an energy or mixer.")],
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show an energy: formula, update, parameters, ranges, known answers."""
    from attenergy.registry import EnergySpec

    spec = load(registry).layer(name)
    facts: dict[str, Any] = {"name": name, "title": spec.title}
    if isinstance(spec, EnergySpec):
        from attenergy.energies import describe

        facts |= describe(spec)
    data = {**facts, "entry": spec.model_dump(mode="json", by_alias=True)}
    emit(form, data, _spec_page(facts, spec))


@tasks.command("show")
def show_task(
    name: Annotated[str, typer.Argument(help="Name of a task.")],
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show a task: inputs, outputs, splits, chance, ceiling, model and training."""
    from attenergy.search.results import formats
    from attenergy.tasks import make_task

    loaded = load(registry)
    spec = loaded.task(name)
    task = make_task(name, registry=loaded)
    ceilings = {split: task.ceiling(split) for split in task.splits if split != "train"}
    known = {s: {"value": c.value, "error": c.error} for s, c in ceilings.items() if c is not None}
    lines = {
        "title": spec.title,
        "about": spec.doc,
        "reference": spec.reference,
        "metric": task.metric,
        "chance": formats.settings(task.chance),
        "ceiling": " ".join(f"{s}={formats.estimate(**c)}" for s, c in known.items()) or "unknown",
        "splits": ", ".join(task.splits),
        "inputs": f"{task.inputs.length} positions, {task.inputs.kind} of size {task.inputs.size}",
        "outputs": f"{task.outputs.size} {_ANSWERS[task.outputs.kind]} per position",
        "options": formats.settings(spec.options),
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
        "entry": spec.model_dump(mode="json", by_alias=True),
    }
    emit(form, data, _facts(lines))


@tasks.command("sample")
def sample_task(
    name: Annotated[str, typer.Argument(help="Name of a task.")],
    split: Annotated[str, typer.Option(help="train, valid, test or ood.")] = "train",
    index: Annotated[int, typer.Option(min=0, help="Which instance.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training stream.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a Raven matrix (.png, .svg, .pdf).")
    ] = None,
    registry: RegistryOption = None,
) -> None:
    """Print one instance of a task as people write it, and draw it if it is a Raven matrix."""
    from attenergy.tasks import RavenInstance, make_task

    task = make_task(name, registry=load(registry), seed=seed)
    instance = task.sample(split, index)
    if picture is not None:
        if not isinstance(instance, RavenInstance):
            raise ArgumentError(f"only Raven matrices can be drawn, and task '{name}' has none")
        from attenergy.tasks.raven.picture import draw

        draw(instance, picture)
    typer.echo(str(instance))


@energies.command("check")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE[:NAME]", help="Registry file, one energy.")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Check that energies obey the laws of the toolkit; exit code 1 if one does not."""
    from attenergy.attention.solvers.catalogue import solver_problems
    from attenergy.energies import formula_problems
    from attenergy.registry import RegistryError

    path, chosen = _file_and_name(file)
    registry = load([path])
    names = _energies_of(registry, path, chosen)
    problems = formula_problems(registry, names) + solver_problems(registry, names)
    if problems:
        raise RegistryError(problems)
    from attenergy.testing import check_energy

    results = {name: check_energy(name, registry) for name in names}
    laws = [(name, law) for name, outcomes in results.items() for law in outcomes]
    data = [
        {"energy": name, "law": r.law, "passed": r.passed, "figure": r.figure, "note": r.note}
        for name, r in laws
    ]
    emit(form, data, _laws(laws))
    if any(law.passed is False for _, law in laws):
        raise typer.Exit(1)


def schema() -> None:
    """Print the JSON schema of registry files, for editors."""
    from attenergy.registry.schema import schema_text

    typer.echo(schema_text(), nl=False)


def _list(form: Format, header: tuple[str, ...], rows: list[list[str]]) -> None:
    from attenergy.search.results import formats

    data = [dict(zip(header, row, strict=True)) for row in rows]
    emit(form, data, formats.rich_table(header, rows, left=len(header)))


def _facts(lines: dict[str, str]) -> RenderableType:
    from attenergy.search.results import formats

    rows = [[name, text] for name, text in lines.items() if text]
    table = formats.rich_table(("", ""), rows, left=2)
    table.show_header = False
    return table


def _spec_page(facts: dict[str, Any], spec: EnergySpec | MixerSpec) -> RenderableType:
    from rich.console import Group

    from attenergy.registry import EnergySpec
    from attenergy.search.results import formats

    lines = {"name": facts["name"], "title": spec.title, "about": spec.doc}
    lines |= {key: str(facts[key]) for key in ("formula", "update", "latex") if facts.get(key)}
    if "attention" in facts:
        lines["score path"] = "yes" if facts["score_path"] else "no"
        lines["attention"] = "one step is softmax attention" if facts["attention"] else "no"
    lines["reference"] = spec.reference
    rows = _parameters(spec)
    if isinstance(spec, EnergySpec):
        lines["symbols"] = "; ".join(f"{name}: {text}" for name, text in spec.symbols.items())
        lines |= {"domain": spec.domain, "quadratic part": str(spec.quadratic or "")}
        lines |= {"safe steps": str(facts["safe_steps"]), "capacity": spec.capacity}
        lines["known answers"] = ", ".join(spec.known_answers)
    header = ("parameter", "default", "search range", "meaning")
    return Group(_facts(lines), "", formats.rich_table(header, rows, left=4))


def _parameters(spec: EnergySpec | MixerSpec) -> list[list[str]]:
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
    return rows


def _range(span: Range | None) -> str:
    from attenergy.registry import as_written
    from attenergy.search.results import formats

    if span is None:
        return formats.NOTHING
    if span.choices is not None:
        return ", ".join(map(as_written, span.choices))
    return f"{span.low} to {span.high}" + (", logarithmic" if span.log else "")


def _file_and_name(text: str) -> tuple[Path, str | None]:
    # A colon may be part of a path (a drive letter), so the whole text is tried as a file first.
    path, _, name = text.rpartition(":")
    if path and name and not Path(text).exists():
        return Path(path), name
    return Path(text), None


def _energies_of(registry: Registry, path: Path, chosen: str | None) -> list[str]:
    from attenergy.registry import UnknownName

    def here(name: str) -> bool:
        place = registry.places.get(("energies", name))
        return place is not None and Path(place.file).resolve() == path.resolve()

    names = [name for name in registry.energies if here(name)]
    if chosen is not None:
        if chosen not in names:
            raise UnknownName(f"energy in {path}", chosen, names)
        return [chosen]
    if not names:
        raise ArgumentError(f"{path}: holds no energies")
    return names


def _laws(laws: list[tuple[str, LawResult]]) -> RenderableType:
    from attenergy.search.results import formats

    words = {True: "ok", False: "FAILS", None: formats.NOTHING}
    rows = [
        [
            name,
            law.law,
            words[law.passed],
            "" if law.figure is None else f"{law.figure:.1e}",
            law.note,
        ]
        for name, law in laws
    ]
    return formats.rich_table(("energy", "law", "result", "figure", "note"), rows, left=5)
