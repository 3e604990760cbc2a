"""Commands that train: `search` and `compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attenergy.registry import AttenergyError
from attenergy.search.cli.options import (
    AddressOption,
    CoresOption,
    EnergiesOption,
    EngineOption,
    FairnessOption,
    FixOption,
    FolderOption,
    Format,
    FormatOption,
    GpusOption,
    HeartbeatOption,
    LogOption,
    PlainOption,
    PrunerOption,
    RegistryOption,
    SamplerOption,
    SecondsOption,
    SetOption,
    SplitSeedOption,
    StepsOption,
    TrialMemoryOption,
    TrialSecondsOption,
    WorkersOption,
    assignments,
    load,
    names,
    numbers,
)
from attenergy.search.planning.option_names import OPTIONS

if TYPE_CHECKING:
    from attenergy.registry import Registry
    from attenergy.search.comparison.multi_task import Comparison


def search(  # noqa: PLR0913, PLR0917 - the signature is the command line
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A search file in YAML; options here win over it.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Name of the task.")] = None,
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Trials in all.")] = 50,
    study: Annotated[str | None, typer.Option(help="Name; by default the task's.")] = None,
    energies: EnergiesOption = None,
    space: Annotated[
        str | None, typer.Option(help="What else is varied (sizes); by default the task's space.")
    ] = None,
    registry: RegistryOption = None,
    workers: WorkersOption = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of its trials.")] = 0,
    split_seed: SplitSeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study.")] = False,
    finalists: Annotated[int, typer.Option(min=0, help="Winners run again over seeds.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every finalist.")] = 3,
    steps: StepsOption = None,
    final_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps of a finalist; by default those of a trial."),
    ] = None,
    fairness: FairnessOption = "steps",
    seconds: SecondsOption = None,
    sampler: SamplerOption = "tpe",
    control: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of these, trials drawn at random to judge the sampler; by default a fifth."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="Metrics and costs, a,b (accuracy,flops); by default the task's metric."),
    ] = None,
    pruner: PrunerOption = "none",
    baseline: Annotated[str, typer.Option(help="The variant to beat.")] = "softmax",
    match: Annotated[
        str | None,
        typer.Option(
            help="Variants given as many trials as the most tried of the others, a,b; by default "
            "softmax, linear, hyla and the baseline; '' for none."
        ),
    ] = None,
    fix: FixOption = None,
    options: SetOption = None,
    folder: FolderOption = Path("runs"),
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Optuna storage; by default a file.")
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Work on the study beside other drivers; or begin it.")
    ] = False,
    heartbeat: HeartbeatOption = 10,
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_trial: CoresOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    trial_seconds: TrialSecondsOption = None,
    trial_memory: TrialMemoryOption = None,
    export: Annotated[bool, typer.Option(help="Export the best model.")] = True,
    log: LogOption = None,
    plain: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Search the registry for the best attention layer on a task.

    Trials are proposed, trained and scored on the valid split; the best configurations and the
    baseline are then trained again over several seeds. What has finished is kept in FOLDER/STUDY
    whatever happens; --resume goes on from there. With --join the same command, given again
    anywhere, helps with the same study. Ctrl-C, SIGTERM and SIGHUP stop it in order.

    Exit code 0: there is a result. 1: no run gave one. 2: it cannot be done as it was asked for.
    130, 143, 129: stopped by Ctrl-C, SIGTERM, SIGHUP.
    """
    from attenergy.search.cli.show import check_formulas, show, too_few
    from attenergy.search.display.progress import make_progress
    from attenergy.search.planning.search_file import complete_plan, read_search_file
    from attenergy.search.runs.plugin_needs import check_needs

    content = read_search_file(file) if file is not None else None
    given = {
        "study": study,
        "folder": str(folder),
        "task": task,
        "task_options": assignments(options, "--set"),
        "space": space,
        "variants": names(energies),
        "trials": trials,
        "workers": workers,
        "seed": seed,
        "split_seed": split_seed,
        "sampler": sampler,
        "control": control,
        "objectives": names(objective),
        "pruner": pruner,
        "finalists": finalists,
        "seeds": seeds,
        "final_steps": final_steps,
        "train_steps": steps,
        "fairness": fairness,
        "seconds": seconds,
        "baseline": baseline,
        "matched": None if match is None else names(match),
        "storage": storage,
        "join": join,
        "heartbeat": heartbeat,
        "engine": engine,
        "address": address,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "trial_seconds": trial_seconds,
        "trial_memory": trial_memory,
        "fix": assignments(fix, "--fix"),
    }
    plan = complete_plan(content, given, _typed(context))
    check_needs(Path(plan.folder))
    try:
        loaded = load([*(content.registry if content else ()), *(registry or ())])
        loaded.task(plan.task)
        for name in (*plan.variants, plan.baseline):
            loaded.layer(name)
    except AttenergyError:
        from attenergy.search.study.open import check_stored

        check_stored(plan)  # a plug-in of the study may be all that is missing
        raise
    from attenergy.search.study.run import run_search

    chosen = (*plan.variants, plan.baseline) if plan.variants else (*loaded.energies,)
    check_formulas(loaded, chosen)
    with make_progress(plain, loaded, plan, plan.baseline, log) as listener:
        if warning := too_few(plan, loaded):
            listener.message(warning)
        records = run_search(plan, loaded, listener, resume=resume)
    show(Path(plan.folder), form, records, export=export)


def _typed(context: typer.Context) -> set[str]:
    """Fields of the plan that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = {
        n for n, source in sources.items() if source is not None and source.name == "COMMANDLINE"
    }
    fields = {option: field for field, option in OPTIONS.items()}
    return {fields.get("set" if name == "options" else name, name) for name in typed}


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
        str | None,
        typer.Option(
            "--bundle", "-b", help="The tasks of a bundle (smoke); `tasks list` names them."
        ),
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
    fairness: FairnessOption = "steps",
    seconds: SecondsOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_trial: CoresOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    heartbeat: HeartbeatOption = 10,
    trial_seconds: TrialSecondsOption = None,
    trial_memory: TrialMemoryOption = None,
    log: LogOption = None,
    plain: PlainOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compare variants over the same seeds, with intervals and paired differences.

    With several tasks, a bundle or a sweep there is a table of variants and tasks as well. The same
    command again goes on where it was stopped; more seeds or variants add to it. The exit codes are
    those of `search`.
    """
    from attenergy.search.cli.show import check_formulas, show, show_matrix
    from attenergy.search.comparison.compare import ComparePlan, run_compare
    from attenergy.search.comparison.multi_task import run_multi_task
    from attenergy.search.display.progress import make_progress

    loaded = load(registry)
    chosen = names(variants)
    if not chosen:
        raise typer.BadParameter("names no variant", param_hint="--variants")
    for variant in chosen:
        loaded.layer(variant)
    parts = _parts(loaded, task, bundle, sweep)
    title = _title(parts, bundle, sweep) if name is None else name
    default_seeds = (
        loaded.bundle(bundle).seeds if bundle else ComparePlan.model_fields["seeds"].default
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
        engine=engine,
        address=address,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        heartbeat=heartbeat,
        trial_seconds=trial_seconds,
        trial_memory=trial_memory,  # type: ignore[arg-type] # a validator reads it
        fairness=fairness,
        seconds=seconds,
        split_seed=split_seed,
        fix=assignments(fix, "--fix"),
    )
    check_formulas(loaded, chosen)
    if len(parts) == 1 and not bundle and not sweep:
        with make_progress(plain, loaded, plan, chosen[0], log) as listener:
            records = run_compare(plan, loaded, listener)
        show(Path(plan.folder), form, records, export=False)
        return
    listen = partial(make_progress, plain, loaded, baseline=chosen[0], log=log)
    show_matrix(run_multi_task(plan, parts, loaded, listen), Path(plan.folder), form)


def _title(parts: list[Comparison], bundle: str | None, sweep: str | None) -> str:
    """The name of a comparison that nobody named; a sweep is not the comparison on its task."""
    tasks = "-".join(dict.fromkeys(part.task for part in parts))
    return "-".join(filter(None, ("compare", bundle or tasks, sweep)))


def _parts(
    registry: Registry, task: str | None, bundle: str | None, sweep: str | None
) -> list[Comparison]:
    """What `--task`, `--bundle` and `--sweep` ask for."""
    from attenergy.search.comparison.multi_task import comparisons_of_sweep, comparisons_of_tasks

    if (task is None) == (bundle is None):
        raise typer.BadParameter("give either a task or a bundle", param_hint="--task / --bundle")
    if bundle is not None and sweep is not None:
        raise typer.BadParameter("a sweep is over one task, not a bundle", param_hint="--sweep")
    tasks = tuple(registry.bundle(bundle).tasks) if bundle is not None else names(task)
    if not tasks:
        raise typer.BadParameter("names no task", param_hint="--task")
    parts = comparisons_of_tasks(registry, tasks)
    if sweep is None:
        return parts
    if len(parts) > 1:
        raise typer.BadParameter("a sweep is over one task", param_hint="--sweep")
    return comparisons_of_sweep(registry, parts[0].task, sweep)
