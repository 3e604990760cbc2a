"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attenergy.search.cli.parameters.completion import (
    complete_layers,
    complete_study,
    complete_task,
)
from attenergy.search.planning.final_budget import DEFAULT
from attenergy.search.planning.plan import Fairness
from attenergy.search.planning.pruners import PRUNERS
from attenergy.search.planning.samplers import SAMPLERS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.registry import Registry


#: Groups of options in the help of `search` and `compare`.
TASK = "Task and variants"
BUDGET = "Trials and training"
PROPOSALS = "Who proposes, and for what"
JUDGING = "Finalists and verdict"
WHERE = "Where it runs"
OUTPUT = "What is shown and kept"


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="How to print the result.", rich_help_panel=OUTPUT)
]
RegistryOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--registry",
        metavar="FILE",
        help="Registry file to add to the built-in one; repeatable.",
        rich_help_panel=TASK,
    ),
]
StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study", help="Name of the study; by default the task's.", rich_help_panel=OUTPUT
    ),
]
FolderOption = Annotated[
    Path, typer.Option("--folder", help="Where the studies are kept.", rich_help_panel=OUTPUT)
]
LogOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="LOGGER:PLACE",
        help="Copy curves to tensorboard:DIR, wandb:PROJECT or mlflow:EXPERIMENT; repeatable.",
        rich_help_panel=OUTPUT,
    ),
]
FixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="NAME=VALUE",
        help="Pin a quantity (heads=4, lse.steps=2); repeatable.",
        rich_help_panel=TASK,
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="COST=MOST",
        help="The most that a configuration may cost (params=100k, flops=5M, state_bytes=64K, "
        "ms_per_step=40), a=1,b=2; repeatable. What is known to be beyond is not trained.",
        rich_help_panel=TASK,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FUNCTION",
        help="Your own model: build(make_layer, task) returns a module that uses make_layer() for "
        "attention; build(task) one whose nn.MultiheadAttention is replaced.",
        rich_help_panel=TASK,
    ),
]
ModelOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option",
        metavar="NAME=VALUE",
        help="Set an argument of that function (depth=3); repeatable.",
        rich_help_panel=TASK,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="Set an option of the task (features=3); repeatable.",
        rich_help_panel=TASK,
    ),
]

SamplerOption = Annotated[
    str,
    typer.Option(
        metavar=f"[{'|'.join(SAMPLERS)}]", help="Who proposes trials.", rich_help_panel=PROPOSALS
    ),
]
PrunerOption = Annotated[
    str,
    typer.Option(
        metavar=f"[{'|'.join(PRUNERS)}]",
        help="Who ends hopeless trials early.",
        rich_help_panel=PROPOSALS,
    ),
]
RungsOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=16,
        help="Of training lengths, each half of the next: the better half goes on.",
        rich_help_panel=BUDGET,
        metavar="N",
    ),
]
MatchOption = Annotated[
    str | None,
    typer.Option(
        help="Variants given as many trials as the most tried of the others, a,b; by default "
        "softmax, linear, hyla and the baseline; '' for none.",
        rich_help_panel=PROPOSALS,
    ),
]
SplitSeedOption = Annotated[
    int,
    typer.Option(min=0, help="Which combinations are held out.", rich_help_panel=TASK, metavar="N"),
]
StudyArgument = Annotated[
    str, typer.Argument(help="Name of a study, or its folder.", autocompletion=complete_study)
]
RunArgument = Annotated[
    str,
    typer.Argument(
        help="'best', a row of the leaderboard, a variant, the key of a run, or trial-7."
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        *("--task", "-t"),
        help="Name of the task.",
        rich_help_panel=TASK,
        autocompletion=complete_task,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        min=0, help="Seed of the search and of its trials.", rich_help_panel=BUDGET, metavar="N"
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the study.", rich_help_panel=OUTPUT)
]
EnergiesOption = Annotated[
    str | None,
    typer.Option(
        "--energies",
        "--variants",
        "-e",
        help="Energies and mixers, a,b,c; by default all.",
        rich_help_panel=TASK,
        autocompletion=complete_layers,
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time for everything, from the start of the command to its report: 30m, 2h, 90s. It "
        "is said beforehand what fits.",
        rich_help_panel=BUDGET,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Training steps of a run; by default the task's.",
        rich_help_panel=BUDGET,
        metavar="N",
    ),
]
FairnessOption = Annotated[
    Fairness,
    typer.Option(
        help="What is equal for all runs: training steps, FLOPs or seconds.", rich_help_panel=BUDGET
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Of training, with --fairness seconds; by default those of the baseline's first run.",
        rich_help_panel=BUDGET,
        metavar="X",
    ),
]
FinalBudgetOption = Annotated[
    str | None,
    typer.Option(
        metavar="BUDGET",
        help="Seeds are added in rounds to whatever is undecided, up to so much: 24runs in all, "
        f"10m, or none; by default {DEFAULT}, as many runs as make that for each, or with --budget "
        "what is left of it.",
        rich_help_panel=JUDGING,
    ),
]
TuneOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tune",
        metavar="NAME=A,B",
        help="Values of the training that every variant tries first (weight_decay=.03,.1), in all "
        "combinations with others; repeatable.",
        rich_help_panel=JUDGING,
    ),
]
PlainOption = Annotated[
    bool | None,
    typer.Option("--plain/--live", help="Plain lines or a live display.", rich_help_panel=OUTPUT),
]

ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Print how to read the result, too.", rich_help_panel=OUTPUT),
]


def load(files: Sequence[Path] | None) -> Registry:
    """The built-in registry, those of plug-ins, and the given files.

    Raises:
        RegistryError: one of the files is wrong; mistakes in formulas are among its problems.
    """
    from attenergy.registry import RegistryError, load_registry

    try:
        return load_registry(*(files or ()))
    except RegistryError as error:
        from attenergy.energies import formula_problems
        from attenergy.registry.loader import readable_energies

        problems = [*error.problems, *formula_problems(readable_energies(*(files or ())))]
    raise RegistryError(problems)


def name_model(model: str | None) -> None:
    """Let the module of a model be a plug-in of this process, from this folder if it is there."""
    if model:
        from attenergy.registry import name_plugins
        from attenergy.registry.plugins import search_folder

        module = model.partition(":")[0]
        name_plugins([module])
        search_folder([module], Path.cwd())


def emit(form: Format, data: Any, table: RenderableType) -> None:
    """Print a result to the output stream."""
    if form is Format.JSON:
        import json

        typer.echo(data if isinstance(data, str) else json.dumps(data, indent=2))
        return
    from rich.console import Console

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a result is not lost for the sake of a ±
    Console(highlight=False).print(table)
