"""Commands that train: `search` and `compare`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attenergy.search.options import (
    FixOption,
    FolderOption,
    Format,
    FormatOption,
    RegistryOption,
    SetOption,
    assignments,
    emit,
    load,
    names,
    numbers,
)

if TYPE_CHECKING:
    from attenergy.registry import Registry
    from attenergy.search.compare import ComparePlan
    from attenergy.search.leaderboard import Leaderboard
    from attenergy.search.matrix import Matrix
    from attenergy.search.plan import SearchPlan
    from attenergy.search.progress import SafeListener
    from attenergy.search.report import Study
    from attenergy.search.several import Part


class Sampler(StrEnum):
    """Who proposes trials."""

    TPE = "tpe"
    RANDOM = "random"


TaskOption = Annotated[str, typer.Option("--task", "-t", help="Name of the task.")]
WorkersOption = Annotated[
    int, typer.Option("--workers", "-w", min=0, help="Worker processes; 0 for none but this one.")
]
SplitSeedOption = Annotated[int, typer.Option(min=0, help="Which combinations are held out.")]
EnergiesOption = Annotated[
    str | None,
    typer.Option("--energies", "-e", help="Energies and mixers, a,b,c; by default all."),
]
StepsOption = Annotated[
    int | None, typer.Option(min=1, help="Training steps of a run; by default the task's.")
]
FinalStepsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Training steps of a finalist; by default those of a trial."),
]
StorageOption = Annotated[
    str | None, typer.Option(metavar="URL", help="Optuna storage; by default a file.")
]
PlainOption = Annotated[
    bool | None, typer.Option("--plain/--live", help="Plain lines or a live display.")
]


def search(  # noqa: PLR0913, PLR0917 - the signature is the command line
    task: TaskOption,
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Trials in all.")] = 50,
    study: Annotated[str | None, typer.Option(help="Name; by default the task's.")] = None,
    energies: EnergiesOption = None,
    registry: RegistryOption = None,
    workers: WorkersOption = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of its trials.")] = 0,
    split_seed: SplitSeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study.")] = False,
    finalists: Annotated[int, typer.Option(min=0, help="Winners run again over seeds.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every finalist.")] = 3,
    steps: StepsOption = None,
    final_steps: FinalStepsOption = None,
    sampler: Annotated[Sampler, typer.Option(help="Who proposes trials.")] = Sampler.TPE,
    baseline: Annotated[str, typer.Option(help="The variant to beat.")] = "softmax",
    fix: FixOption = None,
    options: SetOption = None,
    folder: FolderOption = Path("runs"),
    storage: StorageOption = None,
    export: Annotated[bool, typer.Option(help="Export the best model.")] = True,
    plain: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Search the registry for the best attention layer on a task.

    Trials are proposed, trained and scored on the valid split; the best configurations and the
    baseline are then trained again over several seeds. What has finished is kept in FOLDER/STUDY
    whatever happens; --resume goes on from there.
    """
    from attenergy.search.plan import SearchPlan

    found = load(registry)
    found.task(task)
    variants = names(energies)
    for name in (*variants, baseline):
        found.layer(name)
    plan = SearchPlan(
        study=study or task,
        folder=str(folder / (study or task)),
        task=task,
        task_options=assignments(options, "--set"),
        variants=variants,
        trials=trials,
        workers=workers,
        seed=seed,
        split_seed=split_seed,
        sampler=sampler.value,
        finalists=finalists,
        seeds=seeds,
        final_steps=final_steps,
        train_steps=steps,
        baseline=baseline,
        storage=storage,
        fix=assignments(fix, "--fix"),
    )
    from attenergy.search.study import run_search

    _check_formulas(found, (*variants, baseline) if variants else (*found.energies,))
    with _listener(plain, found, plan, baseline) as listener:
        run_search(plan, found, listener, resume=resume)
    _show(Path(plan.folder), form, export=export)


def compare(  # noqa: PLR0913, PLR0917 - the signature is the command line
    variants: Annotated[
        str,
        typer.Option(
            "--variants", "-e", help="Energies and mixers, a,b,c; the first is the reference."
        ),
    ],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Name of the task, or several: a,b.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", "-b", help="The tasks of a bundle (smoke).")
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(help="An option of the task whose values are gone through (pairs)."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", "-n", min=1, help="Seeds of each; by default 5, or the bundle's."),
    ] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="Rates that every variant tries first, 1e-3,3e-3; by default the task's."
        ),
    ] = None,
    steps: StepsOption = None,
    name: Annotated[str | None, typer.Option("--study", help="Name; by default made up.")] = None,
    registry: RegistryOption = None,
    workers: WorkersOption = 1,
    split_seed: SplitSeedOption = 0,
    fix: FixOption = None,
    options: SetOption = None,
    folder: FolderOption = Path("runs"),
    plain: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compare variants over the same seeds, with intervals and paired differences.

    With several tasks, a bundle or a sweep there is a table of variants and tasks as well. The same
    command again goes on where it was stopped; more seeds or variants add to it.
    """
    from attenergy.search.compare import ComparePlan, run_compare
    from attenergy.search.several import run_several

    found = load(registry)
    chosen = names(variants)
    if not chosen:
        raise typer.BadParameter("names no variant", param_hint="--variants")
    for variant in chosen:
        found.layer(variant)
    parts = _parts(found, task, bundle, sweep)
    title = name or f"compare-{bundle or '-'.join(dict.fromkeys(part.task for part in parts))}"
    default_seeds = (
        found.bundle(bundle).seeds if bundle else ComparePlan.model_fields["seeds"].default
    )
    plan = ComparePlan(
        name=title,
        folder=str(folder / title),
        task=parts[0].task,
        task_options=assignments(options, "--set"),
        variants=chosen,
        seeds=seeds or default_seeds,
        learning_rates=numbers(learning_rates, "--learning-rates"),
        steps=steps,
        workers=workers,
        split_seed=split_seed,
        fix=assignments(fix, "--fix"),
    )
    _check_formulas(found, chosen)
    if len(parts) == 1 and not bundle and not sweep:
        with _listener(plain, found, plan, chosen[0]) as listener:
            run_compare(plan, found, listener)
        _show(Path(plan.folder), form, export=False)
        return
    listen = partial(_listener, plain, found, baseline=chosen[0])
    _show_matrix(run_several(plan, parts, found, listen), Path(plan.folder), form)


def _parts(
    registry: Registry, task: str | None, bundle: str | None, sweep: str | None
) -> list[Part]:
    """What `--task`, `--bundle` and `--sweep` ask for."""
    from attenergy.search.several import parts_of_sweep, parts_of_tasks

    if (task is None) == (bundle is None):
        raise typer.BadParameter("give either a task or a bundle", param_hint="--task / --bundle")
    if bundle is not None and sweep is not None:
        raise typer.BadParameter("a sweep is over one task, not a bundle", param_hint="--sweep")
    tasks = tuple(registry.bundle(bundle).tasks) if bundle is not None else names(task)
    if not tasks:
        raise typer.BadParameter("names no task", param_hint="--task")
    parts = parts_of_tasks(registry, tasks)
    if sweep is None:
        return parts
    if len(parts) > 1:
        raise typer.BadParameter("a sweep is over one task", param_hint="--sweep")
    return parts_of_sweep(registry, parts[0].task, sweep)


def _show_matrix(matrix: Matrix, folder: Path, form: Format) -> None:
    from attenergy.search.several import write_matrix

    write_matrix(matrix, folder)
    emit(form, matrix.json(), matrix.table())
    parts = ", ".join(column.name for column in matrix.columns)
    typer.echo(
        f"\nkept in {folder}: matrix.md, matrix.json, and one comparison each: {parts}",
        err=form is Format.JSON,
    )


def _check_formulas(registry: Registry, chosen: tuple[str, ...]) -> None:
    from attenergy.energies import formula_problems
    from attenergy.registry import RegistryError

    problems = formula_problems(registry, [n for n in chosen if n in registry.energies])
    if problems:
        raise RegistryError(problems)


def _listener(
    plain: bool | None, registry: Registry, plan: SearchPlan | ComparePlan, baseline: str
) -> SafeListener:
    from attenergy.search.progress import make_listener
    from attenergy.search.records import RunStore
    from attenergy.tasks import make_task

    options: dict[str, Any] = dict(plan.task_options)
    metric = make_task(plan.task, registry=registry, **options).metric
    known = RunStore(plan.folder).all() if Path(plan.folder).is_dir() else []
    return make_listener(plain, metric=metric, baseline=baseline, known=known)


def _show(folder: Path, form: Format, *, export: bool) -> None:
    from attenergy.search.report import read_study, write_leaderboard

    study = read_study(folder)
    board = write_leaderboard(study)
    emit(form, board.json(), board.table())
    # JSON stands alone on the output stream.
    say = partial(typer.echo, err=form is Format.JSON)
    say(f"\nkept in {folder}: records.jsonl, leaderboard.md, leaderboard.json")
    if export:
        _export_best(study, board, say)


def _export_best(study: Study, board: Leaderboard, say: Callable[[str], None]) -> None:
    from attenergy.search.export import choose_run, export_run

    if not board.rows:
        say("nothing to export: no run has a score")
        return
    record = choose_run(study.records, "best", board)
    out = study.folder / "exported"
    export_run(record, study.folder, out, force=True, say=say)
    say(f'the best model: attenergy.load("{out}")')
