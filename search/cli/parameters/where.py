"""Options that say where and how runs are done, which decides no result."""

from __future__ import annotations

from typing import Annotated

import typer

from attenergy.search.cli.parameters.options import OUTPUT, WHERE
from attenergy.search.engines.base import Engine

WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        min=0,
        help="Worker processes; 0 for none but this one, with Ray for as many as fit.",
        rich_help_panel=WHERE,
        metavar="N",
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Optuna storage; by default a file.", rich_help_panel=WHERE),
]
EngineOption = Annotated[
    Engine, typer.Option(help="Processes here, or a Ray cluster.", rich_help_panel=WHERE)
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Of the Ray cluster; else one is started.", rich_help_panel=WHERE
    ),
]
CoresOption = Annotated[
    float,
    typer.Option(
        min=0.001, help="Cores of every run, with Ray.", rich_help_panel=WHERE, metavar="X"
    ),
]
GpusOption = Annotated[
    float,
    typer.Option(
        min=0, help="GPUs of every run (0.25), with Ray.", rich_help_panel=WHERE, metavar="X"
    ),
]
HeartbeatOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="S",
        help="Between heartbeats: a driver that joined may miss 3 of them, a worker 6.",
        rich_help_panel=WHERE,
    ),
]
TrialSecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="S",
        help="A run that takes longer fails, without a second try; by default one that makes no "
        "training step for 10 minutes and 10 times as long as the longest finished run took.",
        rich_help_panel=WHERE,
    ),
]
TrialMemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="A run whose process uses more fails (4G, 800M; PyTorch takes about 0.4G of it).",
        rich_help_panel=WHERE,
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        min=0, metavar="S", help="Between checkpoints of a run; 0: none.", rich_help_panel=WHERE
    ),
]
CheckpointFolderOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Of checkpoints, for machines to share.", rich_help_panel=WHERE
    ),
]
KeepCheckpointsOption = Annotated[
    bool,
    typer.Option(
        "--keep-checkpoints",
        help="Keep what a longer run can go on from (schedule=constant_tail).",
        rich_help_panel=OUTPUT,
    ),
]
