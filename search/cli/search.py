"""The command `search`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from attenergy.registry import AttenergyError
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.cli.parameters.options import (
    BUDGET,
    JUDGING,
    OUTPUT,
    PROPOSALS,
    TASK,
    WHERE,
    EnergiesOption,
    ExplainOption,
    FairnessOption,
    FinalBudgetOption,
    FixOption,
    FolderOption,
    Format,
    FormatOption,
    LimitOption,
    LogOption,
    MatchOption,
    ModelOption,
    ModelOptionsOption,
    PlainOption,
    PrunerOption,
    RegistryOption,
    ResumeOption,
    RungsOption,
    SamplerOption,
    SecondsOption,
    SeedOption,
    SetOption,
    SplitSeedOption,
    StepsOption,
    StudyOption,
    TaskOption,
    load,
    name_model,
)
from attenergy.search.cli.parameters.values import assignments, limits, names
from attenergy.search.cli.parameters.where import (
    AddressOption,
    CheckpointFolderOption,
    CheckpointOption,
    CoresOption,
    EngineOption,
    GpusOption,
    HeartbeatOption,
    KeepCheckpointsOption,
    StorageOption,
    TrialMemoryOption,
    TrialSecondsOption,
    WorkersOption,
)
from attenergy.search.planning.option_names import OPTIONS


def search(  # noqa: PLR0913, PLR0917 - the signature is the command line
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A search file in YAML; options here win over it.")
    ] = None,
    task: TaskOption = None,
    trials: Annotated[
        int | None,
        typer.Option(
            *("--trials", "-n"),
            min=1,
            help="Trials in all; by default 50, or with --budget as many as fit.",
            rich_help_panel=BUDGET,
            metavar="N",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time for everything, from the start of the command to its report: 30m, 2h, 90s; "
            "it is said beforehand what fits. With --resume, so much more. Or 40trials.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    energies: EnergiesOption = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="What else is varied (sizes, stacks); by default the task's space.",
            rich_help_panel=TASK,
        ),
    ] = None,
    registry: RegistryOption = None,
    seed: SeedOption = 0,
    split_seed: SplitSeedOption = 0,
    finalists: Annotated[
        int,
        typer.Option(
            min=0,
            help="Variants, each by its best, run over seeds beside the baseline.",
            rich_help_panel=JUDGING,
            metavar="N",
        ),
    ] = 3,
    seeds: Annotated[
        int,
        typer.Option(
            *("--seeds", "-s"),
            min=1,
            help="First seeds of every finalist.",
            rich_help_panel=JUDGING,
            metavar="N",
        ),
    ] = 3,
    final_budget: FinalBudgetOption = None,
    steps: StepsOption = None,
    final_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training steps of a finalist; by default those of a trial.",
            rich_help_panel=JUDGING,
            metavar="N",
        ),
    ] = None,
    fairness: FairnessOption = "steps",
    seconds: SecondsOption = None,
    sampler: SamplerOption = "tpe",
    control: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of these, trials drawn at random to judge the sampler; by default a fifth.",
            rich_help_panel=PROPOSALS,
            metavar="N",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="Metrics and costs, a,b (accuracy,flops); by default the task's metric.",
            rich_help_panel=PROPOSALS,
        ),
    ] = None,
    pruner: PrunerOption = "none",
    pause: Annotated[
        str | None,
        typer.Option(
            help="Share of the steps after which trials pause; the best go on. With a budget in "
            "time 3/8, else 0.",
            rich_help_panel=BUDGET,
            metavar="SHARE",
        ),
    ] = None,
    survivors: Annotated[
        str,
        typer.Option(
            help="Share of the paused trials that go on to their ends.",
            rich_help_panel=BUDGET,
            metavar="SHARE",
        ),
    ] = "1/8",
    rungs: RungsOption = 1,
    baseline: Annotated[
        str, typer.Option(help="The variant to beat.", rich_help_panel=TASK)
    ] = "softmax",
    match: MatchOption = None,
    cost_limits: LimitOption = None,
    earlier: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY,STUDY",
            help="Earlier studies: their best configurations are tried first (5 at most), and "
            "their order shapes what the sampler tpe proposes at the beginning.",
            rich_help_panel=PROPOSALS,
        ),
    ] = None,
    fix: FixOption = None,
    model: ModelOption = None,
    model_options: ModelOptionsOption = None,
    options: SetOption = None,
    study: StudyOption = None,
    resume: ResumeOption = False,
    folder: FolderOption = Path("runs"),
    workers: WorkersOption = 1,
    storage: StorageOption = None,
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Work on the study beside other drivers; or begin it.",
            rich_help_panel=WHERE,
        ),
    ] = False,
    heartbeat: HeartbeatOption = 10,
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_trial: CoresOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    trial_seconds: TrialSecondsOption = None,
    trial_memory: TrialMemoryOption = None,
    checkpoint_every: CheckpointOption = 30.0,
    checkpoint_folder: CheckpointFolderOption = None,
    keep_checkpoints: KeepCheckpointsOption = False,
    export: Annotated[
        bool, typer.Option(help="Export the best model.", rich_help_panel=OUTPUT)
    ] = True,
    log: LogOption = None,
    plain: PlainOption = None,
    explain: ExplainOption = False,
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
    from attenergy.search.cli.show import check_formulas, show
    from attenergy.search.display.progress import make_progress
    from attenergy.search.planning.search_file import complete_plan, read_search_file
    from attenergy.search.runs.plugin_needs import check_needs

    begin = context.obj or time.monotonic()
    content = read_search_file(file) if file is not None else None
    given = {
        "study": study,
        "folder": str(folder),
        "task": task,
        "task_options": assignments(options, "--set"),
        "space": space,
        "variants": names(energies),
        "trials": trials,
        "budget": budget,
        "workers": workers,
        "seed": seed,
        "split_seed": split_seed,
        "sampler": sampler,
        "control": control,
        "objectives": names(objective),
        "pruner": pruner,
        "pause": pause,
        "survivors": survivors,
        "rungs": rungs,
        "finalists": finalists,
        "seeds": seeds,
        "final_budget": final_budget,
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
        "checkpoint_seconds": checkpoint_every,
        "checkpoint_folder": checkpoint_folder,
        "keep_checkpoints": keep_checkpoints,
        "fix": assignments(fix, "--fix"),
        "model": model,
        "model_options": assignments(model_options, "--model-option"),
        "earlier": names(earlier),
        "cost_limits": limits(cost_limits),
    }
    name_model(model)
    plan = complete_plan(content, given, _typed(context))
    check_needs(Path(plan.folder))
    try:
        loaded = load([*(content.registry if content else ()), *(registry or ())])
        loaded.task(plan.task)
        for name in (*plan.variants, plan.baseline):
            loaded.variant(name)
    except AttenergyError:
        from attenergy.search.study.open import check_stored

        check_stored(plan)  # a plug-in of the study may be all that is missing
        raise
    from attenergy.search.study.run import run_search

    chosen = (*plan.variants, plan.baseline) if plan.variants else (*loaded.energies,)
    check_formulas(loaded, chosen)
    with make_progress(plain, loaded, plan, plan.baseline, log) as listener:
        limit = TimeBudget.of(plan.budget, begin)
        records = run_search(plan, loaded, listener, resume=resume, time_budget=limit)
    show(Path(plan.folder), form, records, export=export, explain=explain)


def _typed(context: typer.Context) -> set[str]:
    """Fields of the plan that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = {
        n for n, source in sources.items() if source is not None and source.name == "COMMANDLINE"
    }
    fields = {option: field for field, option in OPTIONS.items()}
    return {fields.get("set" if name == "options" else name, name) for name in typed}
