"""What the command line does with errors: one place for all commands."""

from __future__ import annotations

import shlex
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from attenergy.registry.errors import clipped
from attenergy.search.hints import for_option, option_of

BAD_INPUT, UNEXPECTED, INTERRUPTED = 2, 1, 130
_PLANS = {"SearchPlan": "search", "ComparePlan": "compare"}


class Policy(TyperGroup):
    """A group of commands whose errors end in a text and an exit code, never in a traceback.

    Exit code 2: something that the user gave cannot be used (every such error of the toolkit is a
    `ValueError`; files that cannot be opened are of the kind `OSError`). 130: interrupted from the
    keyboard. 1: anything unexpected, in one line, or with its traceback after `--debug`.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            _say("interrupted")
            hint = resume_command(sys.argv)
            if hint:
                _say(f"finished runs are kept; to go on:\n  {hint}")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if hasattr(error, "format_message"):  # wrong usage: typer shows it and exits with 2
                _suggest(error)
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            known = isinstance(error, (ValueError, OSError))
            _say(_text(error) if known else _surprise(error))
            raise typer.Exit(BAD_INPUT if known else UNEXPECTED) from None


def _suggest(error: Any) -> None:
    """Let an unknown option name the one that says what was meant."""
    context = getattr(error, "ctx", None)
    if hasattr(error, "possibilities") and context is not None:
        known = {option for parameter in context.command.params for option in parameter.opts}
        if meant := for_option(str(getattr(error, "option_name", "")), known):
            error.possibilities = meant


def resume_command(arguments: list[str]) -> str:
    """The command line that goes on with an interrupted search or comparison; else empty."""
    words = ["attenergy", *arguments[1:]]
    verb = next((word for word in words[1:] if not word.startswith("-")), "")
    if verb not in ("search", "compare"):
        return ""
    return shlex.join(
        [*words, "--resume"] if verb == "search" and "--resume" not in words else words
    )


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error)
    # A pydantic error: one line for each value, without the model's name and links.
    command = _PLANS.get(getattr(error, "title", ""), "")
    return "\n".join(_detail(detail, command) for detail in details())


def _detail(error: dict[str, Any], command: str) -> str:
    """One line; values that do not go together have no place, and the whole plan as their input."""
    text = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return text
    field, *inside = map(str, error["loc"])
    place = ".".join([option_of(field, command) if command else field, *inside])
    return f"{place}: {text}, got {clipped(repr(error['input']))}"


def _surprise(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return (
        f"unexpected {type(error).__name__}: {first}\n"
        "(`attenergy --debug ...` shows where; please report it)"
    )


def _say(text: str) -> None:
    typer.echo(text, err=True)
