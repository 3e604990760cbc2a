"""The command `explain`: what an error or a law means, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from attenergy.search.cli.parameters.completion import complete_explanation


def explain(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="As a message gives it, in parentheses at its end; or the number of a law. "
            "Without one, all names are listed.",
            autocompletion=complete_explanation,
        ),
    ] = None,
) -> None:
    """Explain errors and laws: what they mean, the usual cause, what to do, an example."""
    from attenergy.registry import UnknownName
    from attenergy.registry.explained import EXPLAINED, GROUPS, LAWS

    if not names:
        width = max(map(len, EXPLAINED))
        headings = {topics[0].name: heading for heading, topics in GROUPS.items()}
        headings[LAWS[0].name] = "Laws"
        for name, entry in EXPLAINED.items():
            if name in headings:
                typer.echo(f"{headings[name]}:")
            typer.echo(f"  {name:<{width}}  {entry.title}")
        return
    known = EXPLAINED | {law.label.split()[0]: law for law in LAWS}
    for name in names:
        if name not in known:
            raise UnknownName("explanation", name, EXPLAINED)
    typer.echo("\n\n\n".join(known[name].plain() for name in names))
