"""What the command line does with errors: one place for all commands."""

from __future__ import annotations

import shlex
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

BAD_INPUT, UNEXPECTED, INTERRUPTED = 2, 1, 130


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
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            known = isinstance(error, (ValueError, OSError))
            _say(_text(error) if known else _surprise(error))
            raise typer.Exit(BAD_INPUT if known else UNEXPECTED) from None


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
    return "\n".join(map(_detail, details()))


def _detail(error: dict[str, Any]) -> str:
    """One line; values that do not go together have no place, and the whole plan as their input."""
    text = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return text
    return f"{'.'.join(map(str, error['loc']))}: {text}, got {error['input']!r}"


def _surprise(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return (
        f"unexpected {type(error).__name__}: {first}\n"
        "(`attenergy --debug ...` shows where; please report it)"
    )


def _say(text: str) -> None:
    typer.echo(text, err=True)
