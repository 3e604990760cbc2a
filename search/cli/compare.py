"""The command `compare`: fixed variants over the same seeds, on one task or several."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attenergy.search.cli.parameters.completion import (
    complete_bundle,
    complete_layers,
    complete_task,
)
from attenergy.search.cli.parameters.options import (
    JUDGING,
    TASK,
    BudgetOption,
    ExplainOption,
    FairnessOption,
    FinalBudgetOption,
    FixOption,
    FolderOption,
    Format,
    FormatOption,
    LimitOption,
    LogOption,
    ModelOption,
    ModelOptionsOption,
    PlainOption,
    RegistryOption,
    SecondsOption,
    SetOption,
    SplitSeedOption,
    StepsOption,
    StudyOption,
    TuneOption,
    load,
    name_model,
)
from attenergy.search.cli.parameters.values import assignments, grid, limits, names, numbers, sweeps
from attenergy.search.cli.parameters.where import (
    AddressOption,
    CheckpointFolderOption,
    CheckpointOption,
    CoresOption,
    EngineOption,
    GpusOption,
    HeartbeatOption,
    KeepCheckpointsOption,
    TrialMemoryOption,
    TrialSecondsOption,
    WorkersOption,
)
from attenergy.search.planning.final_budget import DEFAULT, NONE, REST

if TYPE_CHECKING:
    from attenergy.registry import Registry, Scalar
    from attenergy.search.comparison.multi_task import Comparison


def compare(  # noqa: PLR0913, PLR0917 - the signature is the command line
    context: typer.Context,
    variants: Annotated[
        str,
        typer.Option(
            *("--variants", "--energies", "-e"),
            help="Energies and mixers, a,b,c; the first is the reference.",
            rich_help_panel=TASK,
            autocompletion=complete_layers,
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            *("--task", "-t"),
            help="Name of the task, or several: a,b.",
            rich_help_panel=TASK,
            autocompletion=complete_task,
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            *("--bundle", "-b"),
            help="The tasks of a bundle (smoke); `tasks list` names them.",
            rich_help_panel=TASK,
            autocompletion=complete_bundle,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A,B",
            help="Go through values of the model, its training, a layer or the task (width=32,64); "
            "the task's own without =; repeatable for all combinations.",
            rich_help_panel=TASK,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            *("--seeds", "-s"),
            min=1,
            help="Seeds of each, exactly; by default 5 or the bundle's, and more if undecided.",
            rich_help_panel=JUDGING,
            metavar="N",
        ),
    ] = None,
    budget: BudgetOption = None,
    final_budget: FinalBudgetOption = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="Rates that every variant tries first, 1e-3,3e-3; by default the task's.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    tune: TuneOption = None,
    steps: StepsOption = None,
    registry: RegistryOption = None,
    split_seed: SplitSeedOption = 0,
    cost_limits: LimitOption = None,
    fix: FixOption = None,
    model: ModelOption = None,
    model_options: ModelOptionsOption = None,
    options: SetOption = None,
    study: StudyOption = None,
    folder: FolderOption = Path("runs"),
    fairness: FairnessOption = "steps",
    seconds: SecondsOption = None,
    workers: WorkersOption = 1,
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_trial: CoresOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    heartbeat: HeartbeatOption = 10,
    trial_seconds: TrialSecondsOption = None,
    trial_memory: TrialMemoryOption = None,
    checkpoint_every: CheckpointOption = 30.0,
    checkpoint_folder: CheckpointFolderOption = None,
    keep_checkpoints: KeepCheckpointsOption = False,
    log: LogOption = None,
    plain: PlainOption = None,
    explain: ExplainOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compare variants over the same seeds, with intervals and paired differences.

    With several tasks, a bundle or a sweep there is a table of variants and tasks, or values, too.
    The same command again goes on where it was stopped; more seeds or variants add to it. The exit
    codes are those of `search`.
    """
    begin = context.obj or time.monotonic()
    from attenergy.search.budgets.clock import TimeBudget
    from attenergy.search.cli.show import check_formulas, seeds_too_few, show, show_matrix
    from attenergy.search.comparison.compare import ComparePlan, run_compare
    from attenergy.search.comparison.multi_task import run_multi_task
    from attenergy.search.display.progress import make_progress

    name_model(model)
    loaded = load(registry)
    chosen = names(variants)
    if not chosen:
        raise typer.BadParameter("names no variant", param_hint="--variants")
    for variant in chosen:
        loaded.variant(variant)
    fixed, swept = assignments(fix, "--fix"), sweeps(sweep)
    parts = _parts(loaded, task, bundle, swept, chosen, fixed)
    _check_once(swept, parts, steps, task_options := assignments(options, "--set"))
    title = _title(parts, bundle, swept) if study is None else study
    several = bool(len(parts) > 1 or bundle or swept)
    default_seeds = (
        loaded.bundle(bundle).seeds if bundle else ComparePlan.model_fields["seeds"].default
    )
    plan = ComparePlan(
        name=title,
        folder=str(folder / title),
        task=parts[0].task,
        task_options=task_options,
        variants=chosen,
        budget=budget,
        seeds=seeds or default_seeds,
        final_budget=final_budget or _final_budget(bool(seeds), several, budget),
        learning_rates=numbers(learning_rates, "--learning-rates"),
        tune=grid(tune, "--tune"),
        steps=steps,
        workers=workers,
        engine=engine,
        address=address,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        heartbeat=heartbeat,
        trial_seconds=trial_seconds,
        trial_memory=trial_memory,  # type: ignore[arg-type] # a validator reads it
        checkpoint_seconds=checkpoint_every,
        checkpoint_folder=checkpoint_folder,
        keep_checkpoints=keep_checkpoints,
        fairness=fairness,
        seconds=seconds,
        split_seed=split_seed,
        fix=fixed,
        model=model,
        model_options=assignments(model_options, "--model-option"),
        cost_limits=limits(cost_limits),  # type: ignore[arg-type] # a validator reads them
    )
    check_formulas(loaded, chosen)
    if not several:
        with make_progress(plain, loaded, plan, chosen[0], log) as listener:
            if warning := seeds_too_few(plan):
                listener.message(warning)
            limit = TimeBudget.of(plan.budget, begin)
            records = run_compare(plan, loaded, listener, time_budget=limit)
        show(Path(plan.folder), form, records, export=False, explain=explain)
        return
    listen = partial(make_progress, plain, loaded, baseline=chosen[0], log=log)
    limit = TimeBudget.of(plan.budget, begin)
    matrix = run_multi_task(plan, parts, loaded, listen, limit)
    show_matrix(matrix, Path(plan.folder), form, explain=explain)


def _final_budget(exact: bool, several: bool, budget: str | None) -> str:
    """The budget of finals that nobody gave one."""
    if exact:
        return NONE
    return (NONE if several else DEFAULT) if budget is None else REST


def _title(parts: list[Comparison], bundle: str | None, swept: Iterable[str] = ()) -> str:
    """The name of a comparison that nobody named; a sweep is not the comparison on its task."""
    tasks = "-".join(dict.fromkeys(part.task for part in parts))
    return "-".join(filter(None, ("compare", bundle or tasks, *swept)))


def _parts(
    registry: Registry,
    task: str | None,
    bundle: str | None,
    swept: Mapping[str, tuple[Scalar, ...]],
    variants: tuple[str, ...],
    fix: Mapping[str, Scalar],
) -> list[Comparison]:
    """What `--task`, `--bundle` and `--sweep` ask for."""
    from attenergy.search.comparison.multi_task import comparisons_of_sweeps, comparisons_of_tasks

    if (task is None) == (bundle is None):
        raise typer.BadParameter("give either a task or a bundle", param_hint="--task / --bundle")
    if bundle is not None and swept:
        raise typer.BadParameter("a sweep is over one task, not a bundle", param_hint="--sweep")
    tasks = tuple(registry.bundle(bundle).tasks) if bundle is not None else names(task)
    if not tasks:
        raise typer.BadParameter("names no task", param_hint="--task")
    parts = comparisons_of_tasks(registry, tasks)
    if not swept:
        return parts
    if len(parts) > 1:
        raise typer.BadParameter("a sweep is over one task", param_hint="--sweep")
    return comparisons_of_sweeps(registry, parts[0].task, swept, variants=variants, fix=fix)


def _check_once(
    swept: Mapping[str, tuple[Scalar, ...]],
    parts: list[Comparison],
    steps: int | None,
    options: Mapping[str, Scalar],
) -> None:
    """Refuse a quantity that has one value by an option and several by `--sweep`."""
    for name in swept:
        if name in options:
            raise typer.BadParameter(f"{name!r} is in --set and in --sweep", param_hint="--sweep")
    if steps is not None and any(part.steps is not None for part in parts):
        raise typer.BadParameter(
            "the sweep says how many steps; drop --steps", param_hint="--steps"
        )
