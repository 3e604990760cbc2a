"""Pictures of what a search shows on a terminal: half-way, and what it leaves at its end.

    python benchmarks/pages/terminal_picture.py [--out docs/pictures] [--done 13]

The search is a real one, about half a minute on two cores; nothing in the pictures is made up. They
are SVG, with text that can be selected, and fetch nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from rich.console import Console, Group, RenderableType
from rich.text import Text

from attenergy.search.cli.app import app
from attenergy.search.display import live, progress
from attenergy.search.display.state import ProgressState

COMMAND = (
    "attenergy search --task stacked-recall --energies lse,sparsemax,rbm,softmax,linear,l2_lse "
    "--trials 20 --steps 240 --fix evaluate_every=20 --pruner median --finalists 2 "
    "--final-budget none --workers 2"
)
WIDTH, HEIGHT = 110, 30
FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Camera(live.LiveListener):
    """The live display, which keeps one view of itself and all that it leaves above."""

    after = 13  # trials that are done, at least, when the picture is taken
    view: RenderableType | None = None
    said: tuple[Text, ...] = ()

    def __init__(self, state: ProgressState) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=WIDTH, height=HEIGHT)
        super().__init__(state, console)

    def message(self, text: str) -> None:
        """Print it, and keep it."""
        super().message(text)
        Camera.said += (Text(text),)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        """Take the picture, at a moment when every run is well on its way."""
        super().progress(key, step, steps, loss)
        shares = [run.share for run in self.state.running.values()]
        if Camera.view is None and self.state.done >= self.after and min(shares) > 0.2:
            Camera.view = Group(*Camera.said, self.render())


def search(folder: str) -> str:
    """Run the command in a folder; return what it prints, with its colours."""
    out = io.StringIO()
    looks = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    arguments = [*shlex.split(COMMAND)[1:], "--live"]
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, looks),
        patch.object(progress, "LiveListener", Camera),
        contextlib.redirect_stdout(out),
    ):
        app(arguments, standalone_mode=False)
    return out.getvalue()


def draw(path: Path, screen: RenderableType) -> None:
    """Write a picture of a terminal in which the command was typed."""
    console = Console(
        record=True, file=io.StringIO(), force_terminal=True, width=WIDTH, color_system="truecolor"
    )
    console.print(Text.assemble(("$ ", "dim"), COMMAND), screen, "")
    svg = console.export_svg(title="attenergy", unique_id=path.stem)
    # rich has its font fetched; the fonts of whoever looks at the picture do as well.
    svg = re.sub(r"@font-face \{.*?\}\s*|<!-- Generated.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", FONT).replace(
        "font-family: arial", "font-family: sans-serif"
    )
    path.write_text(svg + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--done", type=int, default=Camera.after, help="trials done, at least")
    options = parser.parse_args()
    Camera.after = options.done
    with tempfile.TemporaryDirectory() as folder:
        printed = search(folder)
    if Camera.view is None:
        print(f"no moment with {options.done} trials done and the others on their way")
        return 1
    draw(options.out / "terminal.svg", Camera.view)
    draw(options.out / "terminal-end.svg", Group(*Camera.said, Text.from_ansi(printed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
