"""The first sample of a task's training stream, as a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from PIL import Image
from torch import Tensor

from attenergy.analysis.drawing import colour, panels
from attenergy.registry import Registry
from attenergy.tasks import RavenInstance, Task, make_task, needs_data
from attenergy.tasks.core.batches import Batch
from attenergy.tasks.raven.picture import draw
from attenergy.testing.docs_pages.pictures.files import Drawn, rendered
from attenergy.testing.docs_pages.pictures.tokens import draw_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Inches.
_ACROSS = 5.2


def draw_task(registry: Registry, name: str) -> Drawn:
    """One sample; a reason where it depends on what a user has."""
    spec = registry.tasks[name]
    if needs_data(spec):
        return Drawn(None, "the samples are yours.")
    if spec.class_ == "Text":
        return Drawn(None, "its samples are the texts of the Python that runs it.")
    task = make_task(name, registry=registry)
    instance = task.sample("train", 0)
    batch = task.batch("train", 0, 1)
    if isinstance(instance, RavenInstance):
        image, caption = _raven(instance)
    else:
        image, caption = _DRAW.get(spec.class_, _by_kind(task))(task, batch)
    alt = f"A sample of {name}. {caption}"
    return Drawn(
        image, caption, alt, f"python -m attenergy.testing.docs_pages.pictures docs {name}"
    )


def _raven(instance: RavenInstance) -> tuple[Image.Image, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raven.png"
        draw(instance, path)
        image = Image.open(path).convert("RGB")
    return image, (
        "Left, the panels as a model sees them, the last one hidden; right, each feature with its "
        "rule, and the answer."
    )


def _by_kind(task: Task) -> Callable[[Task, Batch], tuple[Image.Image, str]]:
    return draw_tokens if task.inputs.kind == "token" else _vectors


def _vectors(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """Numbers as colours, a place in a column; answers below."""
    inputs, targets = batch.inputs[0].float(), batch.targets[0]
    most = float(inputs.abs().max()) or 1.0
    length, size = inputs.shape
    tall = min(3.2, max(1.6, 0.8 + 4.2 * size / length))
    with panels(1, 1, (_ACROSS, tall)) as (figure, ((axes,),)):
        axes.imshow(inputs.T.numpy(), cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
        axes.grid(visible=False)
        axes.set(ylabel="numbers", yticks=[])
        scored = [i for i in range(length) if _scored(targets[i])]
        wide = 20 if targets.is_floating_point() else 12  # pixels of a label, of 440 in all
        shown = scored[:: max(1, -(-wide * length // 440), -(-len(scored) // 12))]
        axes.set_xticks(shown, [_answer(targets[i]) for i in shown], fontsize=8)
        axes.set_xlabel("places in turn; below those that are scored, the answer")
    return rendered(figure), (
        "A place in a column, its numbers as colours (violet above 0, orange below); below the "
        "scored places, the answer."
    )


def _scored(target: Tensor) -> bool:
    if target.is_floating_point():
        return not bool(target.isnan().any())
    return int(target) >= 0


def _answer(target: Tensor) -> str:
    if target.is_floating_point():
        numbers = [f"{x:.1f}" for x in target.flatten().tolist()]
        return "\n".join(numbers[:3]) + ("\n..." if len(numbers) > 3 else "")
    return str(int(target))


def _graph(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """Who sees whom; colours are the answers."""
    assert batch.mask is not None
    edges = batch.mask[0].numpy().copy()
    np.fill_diagonal(edges, val=False)
    graph = nx.from_numpy_array(edges | edges.T)
    together = graph.copy()  # weak springs between all, or a node alone flies away
    together.add_weighted_edges_from((a, b, 0.02) for a, b in nx.non_edges(graph))
    layout = nx.spring_layout(together, seed=1, iterations=300)
    places = {node: (float(x), float(y)) for node, (x, y) in layout.items()}
    targets = batch.targets[0].tolist()
    with panels(1, 1, (_ACROSS, 3.6)) as (figure, ((axes,),)):
        _plain(axes)
        for one, other in graph.edges:
            (x1, y1), (x2, y2) = places[one], places[other]
            axes.plot([x1, x2], [y1, y2], color=colour("line"), linewidth=1, zorder=1)
        for node, answer in enumerate(targets):
            tone = "card" if answer < 0 else f"series-{1 + answer % 10}"
            across, up = places[node]
            axes.scatter(across, up, s=150, color=colour(tone), edgecolors=colour("ink"))
            if answer >= 0:
                axes.annotate(
                    str(answer), places[node], ha="center", va="center", fontsize=8, color="white"
                )
    more = "; white nodes are not scored" if min(targets) < 0 else ""
    about = f"Nodes that see their neighbours; colours and numbers are answers{more}."
    return rendered(figure), about


def _tiles(
    pictures: list[tuple[str, Tensor]], columns: int, caption: str
) -> tuple[Image.Image, str]:
    """Small grey pictures with a word above each."""
    rows = -(-len(pictures) // columns)
    size = (_ACROSS, 0.25 + rows * (_ACROSS / columns + 0.22))
    with panels(rows, columns, size) as (figure, grid):
        for axes in (axes for row in grid for axes in row):
            _plain(axes)
        for number, (title, pixels) in enumerate(pictures):
            axes = grid[number // columns][number % columns]
            axes.imshow(pixels.numpy(), cmap="gray_r")
            axes.set_title(title, fontsize=9)
            axes.axis("on")
            axes.set(xticks=[], yticks=[])
    return rendered(figure), caption


def _plain(axes: Axes) -> None:
    axes.axis("off")
    axes.grid(visible=False)


def _episode(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """Pictures with the one-hot class behind them; the last ones are asked."""
    inputs, targets = batch.inputs[0], batch.targets[0]
    ways = task.outputs.size
    side = round((inputs.shape[1] - ways) ** 0.5)
    tiles = []
    for row, target in zip(inputs, targets, strict=True):
        label = row[-ways:]
        title = f"class {int(label.argmax())}" if bool(label.any()) else f"? ({int(target)})"
        tiles.append((title, row[: side * side].view(side, side)))
    return _tiles(
        tiles, min(6, len(tiles)),
        "Examples with their classes in this episode; those with a question mark are asked, the "
        "answer in brackets.",
    )  # fmt: skip


def _patches(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """An image put together from its patches, for several instances."""
    many = task.batch("train", 0, 10)
    tiles = []
    for inputs, targets in zip(many.inputs, many.targets, strict=True):
        patches = inputs[:-1]
        across, side = round(len(patches) ** 0.5), round(patches.shape[1] ** 0.5)
        pixels = patches.view(across, across, side, side).transpose(1, 2)
        tiles.append((str(int(targets[targets >= 0][0])), pixels.reshape(across * side, -1)))
    return _tiles(tiles, 5, "Ten instances, put together from their patches, with their classes.")


def _patterns(task: Task, batch: Batch) -> tuple[Image.Image, str]:
    """Stored patterns, and the noisy copy of one."""
    rows, bits = batch.inputs[0], batch.targets[0]
    side = round(rows.shape[1] ** 0.5)
    shown = {f"stored {i + 1}": rows[i] for i in range(6)} | {"noisy": rows[-1], "answer": bits}
    return _tiles(
        [(title, pixels.view(side, side)) for title, pixels in shown.items()], 4,
        f"Six of {len(rows) - 1} stored patterns, a noisy copy of one of them, and that one.",
    )  # fmt: skip


_DRAW: dict[str, Callable[[Task, Batch], tuple[Image.Image, str]]] = {
    "BlockModel": _graph,
    "Denoising": _patterns,
    "GroundState": _graph,
    "Nodes": _graph,
    "FewShotStrokes": _episode,
    "FewShotDigits": _episode,
    "Images": _patches,
    "NoisyRetrieval": _patterns,
}
