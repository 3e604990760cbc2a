"""The command `discover`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.cli.parameters.completion import complete_layers, complete_task
from attenergy.search.cli.parameters.options import (
    BUDGET,
    JUDGING,
    PROPOSALS,
    TASK,
    ExplainOption,
    FolderOption,
    Format,
    FormatOption,
    PlainOption,
    RegistryOption,
    ResumeOption,
    SeedOption,
    StudyOption,
    load,
)
from attenergy.search.cli.parameters.values import names
from attenergy.search.cli.parameters.where import (
    AddressOption,
    CheckpointFolderOption,
    CheckpointOption,
    CoresOption,
    EngineOption,
    GpusOption,
    HeartbeatOption,
    StorageOption,
    TrialMemoryOption,
    TrialSecondsOption,
    WorkersOption,
)

#: Instead of names: no energy of the registry at all.
_NO_SEEDS = "none"


def discover(  # noqa: PLR0913, PLR0917 - the signature is the command line
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Option(
            *("--task", "-t"),
            help="Tasks to train on, a,b, the cheapest first.",
            rich_help_panel=TASK,
            autocompletion=complete_task,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time for everything, from the start of the command to its report: 30m, 2h, 90s; "
            "by default an hour. With --resume, so much more.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="New energies that pass the filters, in all, instead of a time: then no clock "
            "decides anything.",
            rich_help_panel=BUDGET,
            metavar="N",
        ),
    ] = None,
    registry: RegistryOption = None,
    seed: SeedOption = 0,
    seed_energies: Annotated[
        str | None,
        typer.Option(
            help="Energies of the registry to begin with, a,b,c; 'none' to begin with random "
            "trees; by default all that a formula of the search can say.",
            rich_help_panel=PROPOSALS,
            autocompletion=complete_layers,
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            help="Functions of the formula language that are not used, a,b (lse,max_n).",
            rich_help_panel=PROPOSALS,
        ),
    ] = None,
    control: Annotated[
        str,
        typer.Option(
            help="Share of the time for random trees, which evolution is judged by.",
            rich_help_panel=PROPOSALS,
            metavar="SHARE",
        ),
    ] = "1/2",
    finalists: Annotated[
        int,
        typer.Option(
            min=0,
            help="New energies that are compared with softmax over seeds, beside the registry's "
            "best and the best random tree; 0 for no finals.",
            rich_help_panel=JUDGING,
            metavar="N",
        ),
    ] = 3,
    held_out: Annotated[
        str | None,
        typer.Option(
            help="Tasks of the finals that the search does not see, a,b.",
            rich_help_panel=JUDGING,
            autocompletion=complete_task,
        ),
    ] = None,
    study: StudyOption = None,
    resume: ResumeOption = False,
    folder: FolderOption = Path("runs"),
    workers: WorkersOption = 1,
    storage: StorageOption = None,
    heartbeat: HeartbeatOption = 10,
    engine: EngineOption = "local",
    address: AddressOption = None,
    cpus_per_trial: CoresOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    trial_seconds: TrialSecondsOption = None,
    trial_memory: TrialMemoryOption = None,
    checkpoint_every: CheckpointOption = 30.0,
    checkpoint_folder: CheckpointFolderOption = None,
    plain: PlainOption = None,
    explain: ExplainOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Let the search write energies of its own, and see whether they are worth having.

    Formulas evolve: they are filtered in milliseconds, scored without training, and the better
    ones trained for longer and longer, on one --task or several (a,b, the cheapest first). Random
    formulas have the same time. The best are compared over seeds at the end. What has finished is
    kept in FOLDER/STUDY whatever happens; --resume goes on from there. Ctrl-C, SIGTERM and SIGHUP
    stop it in order.

    Exit code 0: there is a result. 1: no energy gave one. 2: it cannot be done as it was asked for.
    130, 143, 129: stopped by Ctrl-C, SIGTERM, SIGHUP.
    """
    from functools import partial

    from attenergy.search.cli.show import show_discovery
    from attenergy.search.discovery.plan import DiscoverPlan
    from attenergy.search.discovery.run import run_discovery
    from attenergy.search.display.discovery import make_discovery_listener
    from attenergy.search.display.progress import make_progress
    from attenergy.search.runs.plugin_needs import check_needs

    begin = context.obj or time.monotonic()
    tasks = names(task)
    if not tasks:
        raise typer.BadParameter("name a task, or several: a,b", param_hint="--task")
    name = study or f"discover-{'-'.join(tasks)}"
    seeds = None if seed_energies is None else names(seed_energies)
    plan = DiscoverPlan.model_validate(
        {
            "study": name,
            "folder": str(folder / name),
            "tasks": tasks,
            "budget": budget,
            "candidates": candidates,
            "seed": seed,
            "seed_energies": () if seeds == (_NO_SEEDS,) else seeds,
            "without": names(without),
            "control": control,
            "finalists": finalists,
            "held_out": names(held_out),
            "storage": storage,
            "workers": workers,
            "heartbeat": heartbeat,
            "engine": engine,
            "address": address,
            "cpus_per_trial": cpus_per_trial,
            "gpus_per_trial": gpus_per_trial,
            "trial_seconds": trial_seconds,
            "trial_memory": trial_memory,
            "checkpoint_seconds": checkpoint_every,
            "checkpoint_folder": checkpoint_folder,
        }
    )
    check_needs(Path(plan.folder))
    loaded = load(registry)
    limit = None if plan.seconds is None else TimeBudget(plan.seconds, plan.budget_text, begin)
    run_discovery(
        plan,
        loaded,
        make_discovery_listener(plain, ",".join(tasks)),
        listen=partial(make_progress, plain, loaded, baseline="softmax"),
        resume=resume,
        time_budget=limit,
    )
    show_discovery(Path(plan.folder), form, explain=explain)
