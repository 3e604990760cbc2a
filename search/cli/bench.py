"""The command `bench policies`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from attenergy.registry import ArgumentError
from attenergy.registry.printable import printable
from attenergy.search.cli.parameters.options import Format, FormatOption, emit
from attenergy.search.cli.parameters.values import names, numbers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.search.bench.evaluate import BenchResult, Progress

bench = typer.Typer(help="Compare ways to search, without training.", no_args_is_help=True)


@bench.command()
def policies(
    chosen: Annotated[
        str | None,
        typer.Option(
            "--policies",
            "-p",
            metavar="A,B",
            help="Names, perhaps with fields and minutes of their own: default@30,short+steps=1/4; "
            "by default all. The first is what the others are compared with.",
        ),
    ] = None,
    table: Annotated[
        str, typer.Option("--table", "-t", help="Name of a table of curves, or a file of one.")
    ] = "raven-one",
    minutes: Annotated[
        str, typer.Option("--minutes", "-m", metavar="A,B", help="Lengths of the searches.")
    ] = "10,30",
    repeats: Annotated[
        int, typer.Option("--repeats", "-n", min=2, help="Searches of each policy and length.")
    ] = 200,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Runs at a time.")] = 2,
    run_seconds: Annotated[
        float | None,
        typer.Option(
            "--run-seconds",
            min=0.001,
            metavar="S",
            help="What a run of full length costs on average, all others in proportion; by default "
            "what those of the table did.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the result there as JSON, after every policy and length; what it holds of "
            "the same table and sizes is not replayed again.",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Draw it (PNG, SVG, PDF).")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Replay searches on curves of real runs: which policy comes near the best, and when?

    The samplers, pruners and races are those of a real search; the runs, and what they cost, come
    from a table of runs that were trained. Regret is the best true score of the table minus that of
    the configuration that a search names. The same command gives the same figures.
    """
    from attenergy.search.bench.evaluate import BenchResult, evaluate
    from attenergy.search.bench.policy import POLICIES, read_policy
    from attenergy.search.bench.table import load_table
    from attenergy.search.bench.world import World

    searches = []
    for text in names(chosen) or tuple(POLICIES):
        name, _, own = text.partition("@")
        policy = read_policy(name)
        lengths = numbers(own or minutes, "--policies" if own else "--minutes")
        if not lengths or min(lengths) <= 0:
            raise ArgumentError(f"minutes must be numbers above 0, got {own or minutes!r}")
        searches += [(name, policy, length) for length in lengths]
    world = World(load_table(table), run_seconds=run_seconds)
    if picture is not None:
        from attenergy.search.bench.picture import check_ending, draw

        check_ending(picture)
    with _shown() as progress:
        result = evaluate(
            searches,
            world,
            repeats=repeats,
            workers=workers,
            progress=progress,
            made=None if out is None else partial(_write, out),
            earlier=BenchResult.read(out) if out is not None and out.exists() else None,
        )
    if picture is not None:
        draw(result, picture)
    emit(form, result.data(), _table(result))
    typer.echo(_note(result), err=form is Format.JSON)


def _write(path: Path, result: BenchResult) -> None:
    from attenergy.registry.files import write_atomically

    write_atomically(path, json.dumps(result.data(), indent=1) + "\n")


@contextmanager
def _shown() -> Iterator[Progress]:
    """What is replayed: a line that is redrawn on a terminal, else one for each policy."""
    from rich.console import Console

    from attenergy.search.results import formats

    console = Console(stderr=True)
    with console.status("") as status:

        def show(policy: str, minutes: float, done: int, total: int) -> None:
            what = f"{policy}, {minutes:g} minutes"
            status.update(f"{escape(what)}: {done} of {total} searches")
            if done == total and not console.is_terminal:
                typer.echo(f"{printable(what)}: {formats.counted(done, 'replay')}", err=True)

        yield show


def _table(result: BenchResult) -> RenderableType:
    from attenergy.search.results import formats

    header = ("policy", "minutes", "regret", "beyond the reference", "trials", "finals", "used")
    rows = [
        [
            each.policy,
            f"{each.minutes:g}",
            formats.score(each.regret),
            formats.difference(
                None if each is result.reference else each.more_than(result.reference)
            ),
            f"{each.trials:.1f}",
            f"{each.finals:.1f}",
            f"{each.used:.1f}",
        ]
        for each in result.outcomes
    ]
    return formats.rich_table(header, rows)


def _note(result: BenchResult) -> str:
    from attenergy.search.results import formats

    reference = result.reference
    return (
        f"{result.table}: the best true score is {result.best:.3f}, the mean {result.mean:.3f}. "
        f"Means of {result.repeats} searches on {formats.counted(result.workers, 'worker')}, with "
        f"95 % intervals; the reference is {reference.policy} at {reference.minutes:g} minutes, "
        "and differences to it are paired by seed."
    )
