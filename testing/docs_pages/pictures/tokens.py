"""Tokens as coloured tiles, with what is to be answered below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from attenergy.analysis.drawing import colour, panels
from attenergy.tasks import Task
from attenergy.tasks.core.batches import Batch
from attenergy.testing.docs_pages.pictures.files import rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most places that are drawn.
_MOST = 384
_ACROSS = 5.2


def draw_tokens(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """Lines of tiles: above, what is read; below, the answers where they are scored."""
    inputs = batch.inputs[0].long()
    first = (inputs[:, 0] if inputs.ndim == 2 else inputs).tolist()
    second = inputs[:, 1].tolist() if inputs.ndim == 2 else []
    targets = batch.targets[0].tolist()
    length = min(_places(batch), _MOST)
    columns = 16 if length <= 66 else 24 if length <= 130 else 32
    lines = [("reads", first), *([("and", second)] if second else []), ("answer", targets)]
    rows = -(-length // columns)
    height = len(lines) + 0.5
    tall = 0.2 + _ACROSS / (columns + 3) * rows * height
    with panels(1, 1, (_ACROSS, tall)) as (figure, ((axes,),)):
        axes.axis("off")
        axes.grid(visible=False)
        size = 8.0 if columns == 16 else 5.2 if columns == 24 else 4.2
        for row in range(rows):
            for line, (name, values) in enumerate(lines):
                y = row * height + line
                axes.text(
                    -0.7, y, name, ha="right", va="center", fontsize=size, color=colour("soft")
                )
                for column, value in enumerate(values[row * columns : (row + 1) * columns]):
                    if row * columns + column < length:
                        _tile(axes, column, y, value, size, answer=name == "answer")
        axes.set(xlim=(-3, columns), ylim=(rows * height, -1), aspect="equal")
    rest = _places(batch) - length
    cut = f"; {rest} more places follow" if rest else ""
    both = " Two tokens share a place." if second else ""
    return rendered(figure), (
        "Tokens in turn, equal ones in equal colours; below, the answers where they are scored"
        f"{cut}.{both}"
    )


def _places(batch: Batch) -> int:
    """How many places there are before the padding."""
    if batch.mask is None or batch.mask.ndim != 2:
        return batch.inputs.shape[1]
    return int(batch.mask[0].nonzero().max()) + 1


def _tile(axes: Axes, x: int, y: float, value: int, size: float, *, answer: bool) -> None:
    from matplotlib.patches import Rectangle

    if answer and value < 0:
        axes.plot([x], [y], marker=".", markersize=1.5, color=colour("line"))
        return
    face = _shade(value)
    edge = colour("ink") if answer else "none"
    axes.add_patch(
        Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, facecolor=face, edgecolor=edge, linewidth=0.8)
    )
    text = str(value)
    shrunk = size if len(text) < 3 else size * 2.4 / len(text)
    axes.text(x, y, text, ha="center", va="center", fontsize=shrunk, color=colour("ink"))


def _shade(value: int) -> tuple[float, float, float]:
    """A light colour for each token: the golden angle keeps neighbours apart."""
    from colorsys import hls_to_rgb

    return hls_to_rgb((0.61 + value * 0.618034) % 1.0, 0.84, 0.65)
