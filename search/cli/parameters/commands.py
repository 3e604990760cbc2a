"""Commands that take a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

#: What `--analyse` stands for without names.
ALL = "all"


class StudyCommand(TyperCommand):
    """A command with an argument `study`: without it, it lists the studies that there are."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            UnknownStudy: no study is named.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if getattr(error.param, "name", "") != "study":
                raise
        from attenergy.search.results.study_folder import UnknownStudy

        raise UnknownStudy("", ctx.params.get("folder") or Path("runs"), _typed(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; if there is no such study, say how to name one."""
        from attenergy.search.results.study_folder import UnknownStudy

        try:
            return super().invoke(ctx)
        except UnknownStudy as error:
            raise UnknownStudy(error.name, error.folder, _typed(ctx), error.note) from None


class ReportCommand(StudyCommand):
    """The command `report`, whose `--analyse` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; `--analyse` is followed by names of analyses, or stands for all."""
        if "--analyse" in args:
            from attenergy.analysis import ANALYSES

            place = args.index("--analyse")
            named = place + 1 < len(args) and {*args[place + 1].split(",")} <= {*ANALYSES, ALL}
            if not named:
                args = [*args[: place + 1], ALL, *args[place + 1 :]]
        return super().parse_args(ctx, args)


def _typed(ctx: Any) -> str:
    """What is typed, with STUDY for its name: `attenergy export STUDY --out DIR`."""
    options = (p for p in ctx.command.params if p.required and p.param_type_name == "option")
    needed = (f" {option.opts[0]} {option.metavar or option.name.upper()}" for option in options)
    return f"attenergy {ctx.info_name} STUDY{''.join(needed)}"
