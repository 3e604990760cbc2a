"""What the command line does with errors: one place for all commands."""

from __future__ import annotations

import os
import platform
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import pairwise
from typing import Any, NoReturn, TextIO

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from attenergy.registry import AttenergyError
from attenergy.registry.errors import GENERAL, explained_by
from attenergy.registry.plugins import PluginWarning
from attenergy.registry.printable import printable
from attenergy.search.planning.option_names import for_option, refused_values
from attenergy.search.runs.errors import NoResult
from attenergy.search.runs.interrupts import ALL, SignalHandler, listening

BAD_INPUT, BUG, NO_RESULT = 2, 1, 1
_PLANS = {"SearchPlan": "search", "ComparePlan": "compare", "DiscoverPlan": "discover"}


class Policy(TyperGroup):
    """A group of commands whose errors end in a text and an exit code.

    Exit code 2, in a few words: something that the user gave cannot be used. That is an
    `AttenergyError`, a value that a plan refuses, or an `OSError` (a file, a disk, a network);
    `--debug` adds the traceback. 1: no run gave a result; or a mistake inside the toolkit, which
    is any other exception: its traceback is shown, and what to send in a report. 130, 143, 129:
    interrupted from the keyboard, by SIGTERM, by a terminal that went away.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with listening(*ALL) as handler, _plugin_warnings():
            try:
                answer = self._invoke(ctx)
            except KeyboardInterrupt:
                _interrupted(handler.number or signal.SIGINT)
            except typer.Exit:
                if handler.number is None:
                    raise
                _interrupted(handler.number)  # what it broke off has ended in an error of its own
            if handler.number not in {None, signal.SIGINT}:  # Ctrl-C is how a dashboard ends
                _interrupted(handler.number)
            return answer

    def _invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except NoResult as error:
            _say(_with_pointer(str(error), topics_of(error)))
            raise typer.Exit(NO_RESULT) from None
        except SystemExit as error:  # of a library, or of a plug-in
            if isinstance(error.__context__, BrokenPipeError):  # `| head` has seen enough
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            _say(f"something called by this command ended the program (SystemExit: {error})")
            raise typer.Exit(BUG) from None
        except Exception as error:
            if hasattr(error, "format_message"):  # wrong usage: typer shows it and exits with 2
                _suggest(error)
                raise
            text = _mistake_of_the_user(error)
            if text is None:
                _say(_report(error))
                raise typer.Exit(BUG) from None
            if ctx.params.get("debug"):
                traceback.print_exc()
            _say(_with_pointer(f"{text}{_spaced_list(sys.argv)}", topics_of(error)))
            raise typer.Exit(BAD_INPUT) from None


@contextmanager
def _plugin_warnings() -> Iterator[None]:
    """Say in a line, once, that a plug-in is left out."""
    reported: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", PluginWarning)
        otherwise = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, PluginWarning):
                otherwise(message, category, filename, lineno, file, line)
            elif str(message) not in reported:
                reported.add(str(message))
                _say(printable(f"warning: {message}", lines=False))

        warnings.showwarning = show
        yield


def _suggest(error: Any) -> None:
    """Let an unknown option name what was meant, and a word too many tell of a space in a list."""
    context = getattr(error, "ctx", None)
    if hasattr(error, "possibilities") and context is not None:
        known = {option for parameter in context.command.params for option in parameter.opts}
        if meant := for_option(str(getattr(error, "option_name", "")), known):
            error.possibilities = meant
    elif "extra argument" in str(getattr(error, "message", "")):
        error.message += _spaced_list(sys.argv)


def _spaced_list(arguments: list[str]) -> str:
    """What to do about `softmax, lse`, where a shell makes two words; or ''."""
    for word, after in pairwise(arguments):
        if word.endswith(",") and not after.startswith("-"):
            return f"; a list has no space after its comma: {word}{after}"
    return ""


def _interrupted(number: int) -> NoReturn:
    for each in ALL:
        if isinstance(signal.getsignal(each), SignalHandler):
            signal.signal(each, signal.SIG_IGN)  # it ends already
    name = signal.Signals(number).name
    _say("interrupted" if number == signal.SIGINT else f"ended by {name}")
    hint = resume_command(sys.argv)
    if hint:
        what = "analyses" if "analyse" in sys.argv else "runs"
        _say(f"finished {what} are kept; to go on:\n  {hint}")
    raise typer.Exit(128 + number)


def resume_command(arguments: list[str]) -> str:
    """The command line that goes on with what was interrupted (search, analysis ...), or ''."""
    words = ["attenergy", *arguments[1:]]
    verb = next(
        (w for option, w in pairwise(words) if not w.startswith("-") and option != "--plugin"), ""
    )
    if verb not in ("search", "compare", "discover", "analyse"):
        return ""
    resumes = verb in ("search", "discover") and "--resume" not in words
    return shlex.join([*words, "--resume"] if resumes else words)


def _mistake_of_the_user(error: Exception) -> str | None:
    """What to say of an error that whoever typed the command can mend; None for all others."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError) and "embedded null" in str(error):  # how Python refuses it
        return "a path holds a character that no path can, a null byte"
    if isinstance(error, (AttenergyError, OSError)):
        return str(error)
    if isinstance(error, ValidationError) and error.title in _PLANS:
        return refused_values(error, _PLANS[error.title])
    return None


def topics_of(error: BaseException | None) -> tuple[str, ...]:
    """Under which names an error is explained."""
    if isinstance(error, AttenergyError):
        return error.topics
    if isinstance(error, ValidationError):
        raised = (detail.get("ctx", {}).get("error") for detail in error.errors())
        return tuple(topic for each in raised for topic in topics_of(each)) or (GENERAL,)
    return (error.topic,) if isinstance(error, NoResult) else (GENERAL,)


def _with_pointer(text: str, topics: tuple[str, ...]) -> str:
    """The text of an error and, at its end, what explains it."""
    between = "\n" if "\n" in text else " "
    pointer = explained_by(topics)
    return f"{text}{between}{pointer}" if pointer else text


def _report(error: Exception) -> str:
    """The traceback of a mistake inside the toolkit, and what to send."""
    trace = "".join(traceback.format_exception(error))
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("attenergy", "torch"))
    command = shlex.join(["attenergy", *sys.argv[1:]])
    again = resume_command(sys.argv)
    return (
        f"{trace}\n"
        "This is a mistake inside attenergy or a plug-in of it, not in what you typed. Please "
        "report it, with the lines above and these two:\n"
        f"  {command}\n"
        f"  {packages}, Python {platform.python_version()}, {platform.platform()}\n"
        "Finished runs are safe in their study's records.jsonl"
        + (f"; to go on:\n  {again}" if again else "")
    )


def _say(text: str) -> None:
    try:
        typer.echo(printable(text), err=True)
    except OSError:  # the terminal is gone; nor can Python empty its streams at the end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
