"""What one types after a discovery, in its folder: its entries, its models, the same again.

Names may come from somebody else's file, so every line is quoted for a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from attenergy.registry.printable import printable
from attenergy.search.discovery.results.discovery import ENTRIES, FINALS, Discovery, Formula
from attenergy.search.discovery.results.finding import Final
from attenergy.search.runs.names import as_path_part
from attenergy.search.runs.own_entries import REGISTRY
from attenergy.search.runs.plugin_needs import modules_of, read_needs


def use(
    folder: Path, discovery: Discovery, finals: Sequence[Final], winner: Formula | None
) -> list[str]:
    """The commands that check the entries, compare the winner, and take its trained models out.

    Args:
        folder: of the discovery, in which they are typed.
        discovery: what stands in it.
        finals: of it.
        winner: the best formula, if any.
    """
    plugins = [word for module in modules_of(read_needs(folder)) for word in ("--plugin", module)]
    own = ["--registry", REGISTRY] if (folder / REGISTRY).is_file() else []
    lines = [["energies", "check", ENTRIES]]
    if winner is not None:
        variants = f"softmax,{winner.name}"
        words = ["compare", "--task", discovery.tasks[0], "--variants", variants]
        lines.append([*words, *own, "--registry", ENTRIES])
        for final in finals:
            if final.row(winner.name) is not None:
                task = final.study.folder.name
                out = as_path_part(f"{winner.name}-{task}")
                words = ["export", f"{FINALS}/{task}", "--trial", winner.name, "-o", out]
                lines.append(words)
    return [shlex.join(["attenergy", *plugins, *words]) for words in lines]


def again(discovery: Discovery) -> str:
    """The recorded command of a discovery; empty if it is no such command, or hides something."""
    try:
        words = shlex.split(discovery.command)
    except ValueError:
        return ""
    rest = words[1:]
    while rest[:1] == ["--plugin"]:
        rest = rest[2:]
    if words[:1] != ["attenergy"] or rest[:1] != ["discover"]:
        return ""
    line = shlex.join(words)
    return line if printable(line, lines=False) == line else ""
