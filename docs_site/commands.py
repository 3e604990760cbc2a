"""The page on the command line, written from the commands themselves.

`python docs_site/commands.py docs` writes it; `make pages` does so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from attenergy.search.cli.app import app
from attenergy.testing.docs_pages.markdown import table

_HEAD = """\
# The command line

Made from the commands by `make pages`; a test compares. `attenergy COMMAND --help` prints the same.
`--plugin MODULE`, before the command, brings code and registry files of yours
([plug-ins](../plugins.md)); `--debug` shows tracebacks; `--install-completion` teaches your shell
the commands and their options. A mistake of yours ends with one message and exit code 2.
"""
_PLAIN = "Options"  # of no group


def commands_page() -> str:
    """Write the page: an overview, then a section for every command."""
    commands = list(_commands(get_command(app), "attenergy"))
    overview = [
        [f"[`{name}`](#{name.replace(' ', '-')})", _sentence(command)] for name, command in commands
    ]
    parts = [_HEAD, table(["command", "what it does"], overview)]
    return "\n".join(parts + [_section(name, command) for name, command in commands])


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, inner in command.commands.items():
        yield from _commands(inner, f"{name} {part}")


def _sentence(command: Any) -> str:
    return " ".join(command.help.split("\n\n")[0].split())


def _section(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    rows: dict[str, list[list[str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            is_option = parameter.param_type_name == "option"
            panel = (parameter.rich_help_panel or _PLAIN) if is_option else "Arguments"
            rows.setdefault(panel, []).append([f"`{record[0]}`", " ".join(record[1].split())])
    parts = [f"## {name}\n", f"```text\n{usage}\n```\n", command.help.strip() + "\n"]
    for panel in sorted(rows, key=["Arguments", *rows].index):
        header = ["argument" if panel == "Arguments" else "option", "what it says"]
        parts += [f"**{panel}**\n", table(header, rows[panel])]
    return "\n".join(parts)


if __name__ == "__main__":
    page = Path(sys.argv[1], "reference", "command_line.md")
    page.write_text(commands_page(), encoding="utf-8")
