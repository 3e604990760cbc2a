"""Where tables and pictures of the study go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from attenergy.registry.files import write_atomically

mpl.use("Agg")
HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results"
PICTURES = HERE.parent / "docs" / "pictures"
BLUE, RED, GREEN, PURPLE, AMBER, GREY, ORANGE, TEAL = (
    "#1b6ca8", "#d1495b", "#2a9d5c", "#8e44ad", "#c78500", "#5f6b73", "#e07a1f", "#00a5b5",
)  # fmt: skip
#: Of the layers that have a line in several pictures.
OF_LAYERS = {
    "softmax": BLUE, "linear": RED, "hyla": GREEN, "lse": PURPLE, "zero_sink": GREY,
    "graph_memory": AMBER, "linear_attention": ORANGE, "attention_sh": RED,
    "token_mixing": "black", "place_rbm": TEAL,
}  # fmt: skip
LINES = "#e3e6e8"  # of a grid behind a plot


def write_page(name: str, lines: Iterable[str]) -> None:
    """A page of results in Markdown."""
    made = "Made by `make study-figures` from the records."
    write_atomically(RESULTS / f"{name}.md", "\n".join([*lines, made, ""]))


def save(figure: plt.Figure, name: str, dpi: int = 110) -> None:
    """A picture of the study, which is then closed."""
    figure.savefig(PICTURES / f"study-{name}.png", dpi=dpi, facecolor="white")
    plt.close(figure)
    print(f"docs/pictures/study-{name}.png")
