"""The lines of a page's shell blocks: run in this process, or checked against what there is."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from typer.main import get_command

from attenergy.registry import Registry
from attenergy.search.cli.app import app
from attenergy.search.comparison.configure import configure
from attenergy.search.comparison.multi_task import Comparison
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.study.parts import SearchParts
from tests.docs.blocks import ROOT, BadPage
from tests.docs.small import smaller

#: What is never run: it needs a network, another machine or a checkout.
ELSEWHERE = {
    *("make", "pip", "git", "source", "docker", "ssh", "scp", "sbatch", "srun", "ray", "kubectl"),
    *("nvidia-smi", "mkdocs", "pre-commit", "pytest", "jupytext", "uv", "unzip", "psql", "optuna"),
    *("ruff", "mypy", "optuna-dashboard", "tensorboard"),
}
#: What a shell of its own runs, because it is quick.
SHELL = {
    "ls",
    "cat",
    "mkdir",
    "cp",
    "mv",
    "rm",
    "echo",
    "printf",
    "head",
    "tail",
    "wc",
    "grep",
    "cd",
}
_HEREDOC = re.compile(r"^cat >\s*(\S+) <<\s*['\"]?(\w+)['\"]?$")
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*=")


def lines_of(code: str) -> Iterator[tuple[str, str | None]]:
    """The command lines of a block; of `cat > file <<EOF` the file's name and its text."""
    lines = iter(code.replace("\\\n", " ").splitlines())
    for raw in lines:
        line = raw.strip().removeprefix("$ ")
        if document := _HEREDOC.match(line):
            name, end = document.groups()
            text = []
            for inside in lines:
                if inside.strip() == end:
                    break
                text.append(inside)
            yield name, "\n".join(text) + "\n"
        elif line and not line.startswith("#"):
            yield line, None


@dataclass(frozen=True)
class Mode:
    """How the lines of a block are tried.

    Attributes:
        check: nothing is run: names and options are checked, plans are made.
        small: what trains has little to compute.
        elsewhere: programs that no test can run may stand in it; they are checked.
        exit_code: with which every command ends.
    """

    check: bool = False
    small: bool = False
    elsewhere: bool = False
    exit_code: int = 0


def run_block(code: str, mode: Mode = Mode()) -> str:
    """Run or check the lines of a block; what they print.

    Raises:
        BadPage: a line that ends with another exit code, one that names an option, a value, a file
            or a target that does not exist, or one that no test can run, without a reason.
    """
    printed = io.StringIO()
    with smaller() if mode.small and not mode.check else contextlib.nullcontext():
        for line, document in lines_of(code):
            if document is not None:
                Path(line).parent.mkdir(parents=True, exist_ok=True)
                Path(line).write_text(document, encoding="utf-8")
                continue
            code_, text = _run_line(line, mode)
            if code_ != mode.exit_code:
                raise BadPage(f"{line}\nended with {code_}, not {mode.exit_code}:\n{text}")
            printed.write(text)
    return printed.getvalue()


def _run_line(line: str, mode: Mode) -> tuple[int, str]:
    """The exit code of a line and what it prints; a line may have several commands."""
    printed = ""
    for words, before, target in _commands(line):
        code, text = _run(words, line, mode if before != "|" else replace(mode, check=True))
        if target is not None:
            Path(target).write_text(text, encoding="utf-8")
        else:
            printed += text
        if code:
            return code, printed
    return 0, printed


def _commands(line: str) -> Iterator[tuple[list[str], str, str | None]]:
    """Each simple command, the operator before it, and the file that its output goes to."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split, reader.commenters = True, "#"
    words: list[str] = []
    before, target, tokens = "", None, list(reader)
    while tokens:
        token = tokens.pop(0)
        if token in {"&&", ";", "|", "&", "||"}:
            yield words, before, target
            words, before, target = [], token, None
        elif token == ">" and tokens:
            target = tokens.pop(0)
        else:
            words.append(token)
    if words:
        yield words, before, target


def _run(words: list[str], line: str, mode: Mode) -> tuple[int, str]:
    if words[0] == "export":
        os.environ.update(word.split("=", 1) for word in words[1:])
        return 0, ""
    variables = {}
    while words and _VARIABLE.match(words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    while words and words[0] in {"time", "/usr/bin/time", "nohup", "-v"}:
        words.pop(0)
    if not words:
        return 0, ""
    program, rest = words[0].split("/")[-1], words[1:]
    with mock.patch.dict(os.environ, variables):
        if program == "attenergy":
            return check_attenergy(rest) if mode.check else run_attenergy(rest)
        if program in {"python", "python3"}:
            return _python(rest, check=mode.check)
        if program in ELSEWHERE:
            if not (mode.elsewhere or mode.check):
                raise BadPage(f"{line}\nno test runs {program!r}: say 'because', and why")
            return _elsewhere(program, rest, mode)
        if program in SHELL:
            return (0, "") if mode.check else _shell(shlex.join(words))
    raise BadPage(f"{line}\n{program!r} is neither run nor known: see tests/docs/commands.py")


@cache
def _command() -> Any:
    return get_command(app)


def run_attenergy(words: list[str]) -> tuple[int, str]:
    """The exit code and the output, both streams, of `attenergy` in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            _command().main(words, prog_name="attenergy")
        except SystemExit as end:
            return int(end.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def check_attenergy(words: list[str]) -> tuple[int, str]:
    """Parse a command line; of a search or comparison, also make its plan, without training."""
    leaf = _leaf(words)
    with contextlib.ExitStack() as stack:
        for place, checks in INSTEAD_OF_TRAINING.items():
            stack.enter_context(mock.patch(place, checks))
        if leaf.name not in {"search", "compare"}:
            stack.enter_context(mock.patch.object(leaf, "callback", mock.Mock(return_value=None)))
        return run_attenergy(words)


def _check_search(plan: SearchPlan, registry: Registry, *_: object, **__: object) -> None:
    SearchParts.of(plan, registry)
    raise typer.Exit


def _check_compare(plan: ComparePlan, registry: Registry, *_: object, **__: object) -> None:
    for variant in plan.variants:
        configure(plan, registry, variant)
    raise typer.Exit


def _check_several(
    plan: ComparePlan, parts: list[Comparison], registry: Registry, *_: object, **__: object
) -> None:
    for part in parts:
        with contextlib.suppress(typer.Exit):
            _check_compare(part.of(plan, plan.folder), registry)
    raise typer.Exit


#: Where `search` and `compare` begin to train, and what looks at their plans there.
INSTEAD_OF_TRAINING = {
    "attenergy.search.study.run.run_search": _check_search,
    "attenergy.search.comparison.compare.run_compare": _check_compare,
    "attenergy.search.comparison.multi_task.run_multi_task": _check_several,
}


def _leaf(words: list[str]) -> Any:
    """The command that the words name: `energies show` of `energies show lse`."""
    command = _command()
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return command


def _python(words: list[str], *, check: bool) -> tuple[int, str]:
    """Code and scripts, the page's own and those of the checkout, are run; a module is named."""
    if words[0] == "-c":
        compiled = compile(words[1], "<python -c>", "exec")
        names = {"__name__": "__main__"}
        return (0, "") if check else _captured(lambda: exec(compiled, names))  # noqa: S102
    if words[0] == "-m":
        if importlib.util.find_spec(words[1]) is None:
            raise BadPage(f"python -m {words[1]}: no such module")
        return 0, ""
    script = words[0]
    path = next((p for p in (Path(script), ROOT / script) if p.is_file()), None)
    if path is None:
        raise BadPage(f"there is no {script}")
    if check:
        text = path.read_text(encoding="utf-8")
        compile(text, script, "exec")
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            if f'"{option}"' not in text:
                raise BadPage(f"{script} has no option {option}")
        return 0, ""
    with mock.patch.object(sys, "argv", words):
        return _captured(lambda: runpy.run_path(str(path), run_name="__main__"))


def _captured(call: Callable[[], object]) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            call()
        except SystemExit as end:
            return int(end.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def _shell(command: str) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _elsewhere(program: str, words: list[str], mode: Mode) -> tuple[int, str]:
    """Targets of the Makefile and extras of the package exist; `make search` is a command."""
    if program == "make":
        return _make(words, mode)
    if program == "pip":
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        extras = settings["project"]["optional-dependencies"]
        for names in re.findall(r"attenergy[^\s\[]*\[([\w,]+)\]", " ".join(words)):
            for name in names.split(","):
                if name not in extras:
                    raise BadPage(f"attenergy has no extra {name!r}")
    inner = words.index("attenergy") if "attenergy" in words else len(words)
    return check_attenergy(words[inner + 1 :]) if inner < len(words) else (0, "")


def _make(words: list[str], mode: Mode) -> tuple[int, str]:
    """Every target can be made; the lines of `attenergy` that it would run are run or checked."""
    lines = _shell(f"make --directory {shlex.quote(str(ROOT))} --dry-run {shlex.join(words)}")
    if lines[0]:
        raise BadPage(f"make {shlex.join(words)}: {lines[1]}")
    printed = ""
    for line in lines[1].replace("\\\n", " ").splitlines():
        if re.match(r"\S*bin/attenergy ", line):
            code, text = _run_line(line, mode)
            printed += text
            if code:
                return code, printed
    return 0, printed
