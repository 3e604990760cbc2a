"""The pictures of docs/concepts: `python benchmarks/pages/concept_pictures.py [NAME ...]`.

Each is a function that returns a figure; all are computed here, or drawn from benchmarks/results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from attenergy import make_energy, relax
from attenergy.analysis.drawing import Picture, colour, drawing, panels
from attenergy.attention import attention_weights
from attenergy.registry.files import write_bytes_atomically
from attenergy.testing.docs_pages.pictures.files import in_palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
GAMMA = "\N{GREEK SMALL LETTER GAMMA}"
COLOURS = 128  # of a saved picture, which makes it a third as large
ANGLES = torch.tensor([25.0, 95.0, 165.0, 235.0, 310.0], dtype=torch.float64).deg2rad()
PATTERNS = 1.8 * torch.stack([ANGLES.cos(), ANGLES.sin()], -1)


def plane(reach: float, points: int) -> tuple[Tensor, Tensor]:
    """An axis, and all points (points^2, 2) of the square of that axis, row by row upwards."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return axis, torch.stack([x, y], -1).reshape(-1, 2)


def surface(axes: Axes, energy: Any, reach: float) -> None:
    """The energy over the plane, the darker the lower."""
    axis, points = plane(reach, 121)
    values = energy(points, PATTERNS).detach().reshape(len(axis), -1)
    axes.contourf(axis, axis, values.clamp_max(float(values.quantile(0.9))), 24, cmap="Blues_r")
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)


def named(axes: Axes, place: Any, text: str, shift: tuple[float, float], **style: Any) -> None:
    """A text beside a point."""
    axes.annotate(text, place, xytext=shift, textcoords="offset points", **style)


def attention(stack: ExitStack) -> Figure:
    """One step: a state, patterns as large as their weights, and the arrow to their mean."""
    figure, ((left, right),) = stack.enter_context(panels(1, 2, (8.6, 3.8)))
    energy = make_energy("lse", dim=2, beta=2.0).double().requires_grad_(False)
    state = torch.tensor([[0.34, 0.42]], dtype=torch.float64)
    weights = attention_weights(energy, state, PATTERNS)[0]
    after = relax(energy, state, PATTERNS, steps=1, step_size=1.0).state[0]
    surface(left, energy, 2.4)
    ink, warm = colour("ink"), colour("series-2")
    for (x, y), weight in zip(PATTERNS.tolist(), weights.tolist(), strict=True):
        left.plot([x, after[0]], [y, after[1]], color=ink, linewidth=3 * weight, alpha=0.6)
    sizes = 30 + 500 * weights
    left.scatter(*PATTERNS.mT, s=sizes, color=ink, edgecolor="white", zorder=3)
    for number, pattern in enumerate(PATTERNS.tolist(), 1):
        named(left, pattern, f"x{number}", (9, 6), color="white", weight="bold")
    arrow = {"arrowstyle": "-|>", "color": warm, "lw": 2.4, "shrinkA": 2, "shrinkB": 0}
    left.annotate("", after.tolist(), state[0].tolist(), arrowprops=arrow, zorder=4)
    left.scatter(*state.mT, marker="X", s=90, color=warm, edgecolor="white", zorder=5)
    named(left, state[0].tolist(), "state ξ", (-62, -9), color=ink, weight="bold")
    left.set_title(f"one step with {GAMMA} = 1")
    bars = right.barh([f"x{n}" for n in range(1, 6)], weights.tolist(), color=colour("series-1"))
    right.bar_label(bars, [f"{w:.2f}" for w in weights.tolist()], padding=3, color=ink)
    right.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="weight of the pattern")
    right.grid(visible=False)
    right.set_title("softmax(β X ξ), β = 2")
    return figure


def bound(stack: ExitStack) -> Figure:
    """An energy, the parabola above it, and where steps of size 1 and 2 end."""
    figure, axes = stack.enter_context(drawing(size=(7.6, 3.9)))
    energy = make_energy("lse", dim=1, beta=2.5).double().requires_grad_(False)
    X = torch.tensor([[-1.1], [1.2]], dtype=torch.float64)
    line = torch.linspace(-1.3, 2.9, 400, dtype=torch.float64)[:, None]
    start = torch.tensor([[0.45]], dtype=torch.float64)
    slope = torch.func.grad(lambda xi: energy(xi, X).sum())(start)
    height = float(energy(start, X))
    above = height + float(slope) * (line - start) + 0.5 * (line - start) ** 2
    axes.plot(line, energy(line, X), color=colour("ink"), linewidth=2.2, label="the energy E")
    shown = above[:, 0] < 1.05
    parabola = {"color": colour("series-2"), "linestyle": (0, (5, 1.5))}
    axes.plot(line[shown], above[shown], **parabola, label="the bound of the proof")
    axes.plot(start[0], height, "o", color=colour("ink"), markersize=8)
    named(axes, (float(start), height), "state ξ", (-46, -16), color=colour("ink"))
    for gamma, text in ((1.0, f"{GAMMA} = 1"), (2.0, f"{GAMMA} = 2")):
        place = float(start - gamma * slope)
        on_bound = (
            height + float(slope) * (place - float(start)) + 0.5 * (place - float(start)) ** 2
        )
        below = float(energy(torch.tensor([[place]], dtype=torch.float64), X))
        axes.plot([place, place], [below, on_bound], color=colour("soft"), linewidth=1)
        axes.plot(place, on_bound, "o", color=colour("series-2"), markersize=7)
        axes.plot(place, below, "o", color=colour("ink"), markersize=7)
        named(
            axes,
            (place, on_bound),
            text,
            (-12 if gamma == 1.0 else -28, 9),
            color=colour("series-2"),
            weight="bold",
        )
    axes.set(xlabel="ξ", ylabel="E", ylim=(-0.85, 1.05))
    axes.legend(frameon=False, loc="upper center", labelcolor=colour("ink"))
    return figure


def capacity(stack: ExitStack) -> Figure:
    """Overlap with the stored pattern against the load, from results/capacity.json."""
    measured = json.loads((ROOT / "benchmarks/results/capacity.json").read_text())
    figure, axes = stack.enter_context(drawing(size=(6.4, 3.4)))
    loads = [row["alpha"] for row in measured["classical"]]
    overlaps = [row["overlap"] for row in measured["classical"]]
    errors = [row["error"] for row in measured["classical"]]
    look = {"color": colour("series-1"), "marker": "o", "capsize": 2}
    axes.errorbar(loads, overlaps, errors, **look)
    axes.axvline(0.138, color=colour("chance"), linestyle=(0, (2, 2)), linewidth=1)
    named(axes, (0.138, 0.56), "0.138", (5, 0), color=colour("soft"))
    axes.set(xlabel="patterns per spin, N/D", ylabel="overlap with the pattern", ylim=(0.5, 1.02))
    return figure


def chain(stack: ExitStack) -> Figure:
    """From an energy to a verdict, as boxes, with the way back."""
    figure, axes = stack.enter_context(drawing(size=(9.4, 2.5)))
    boxes = (
        ("energy", "E(ξ; X)", "a formula in YAML"),
        ("gradient", "∇E", "derived, proven equal"),
        ("update", f"ξ ← ξ - {GAMMA}/A ∇E", "no step raises E"),
        ("layer", "projections, values", "one step of lse = attention"),
        ("model", "trained on a task", "beside a softmax baseline"),
        ("verdict", "beats or loses", "over fresh seeds"),
    )
    for place, (title, middle, below) in enumerate(boxes):
        tone = colour("series-2" if place in (0, 5) else "series-1")
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": tone, "lw": 1.6}
        look = {"ha": "center", "va": "center", "fontsize": 8.6, "bbox": box}
        axes.text(place, 0.62, f"{title}\n{middle}", linespacing=1.5, **look)
        axes.text(place, 0.3, below, ha="center", fontsize=7.6, color=colour("soft"))
        if place:
            arrow = {"arrowstyle": "-|>", "color": colour("soft"), "lw": 1.4}
            axes.annotate("", (place - 0.4, 0.62), (place - 0.58, 0.62), arrowprops=arrow)
    back = {"arrowstyle": "-|>", "color": colour("soft"), "lw": 1.4}
    back["connectionstyle"] = "arc3,rad=-0.12"
    axes.annotate("", (0.05, 0.2), (4.95, 0.2), arrowprops=back)
    axes.text(
        2.5, -0.13, "the search: another energy, beta, number of steps", ha="center", fontsize=8.6
    )
    axes.set(xlim=(-0.55, 5.55), ylim=(-0.25, 0.85))
    axes.axis("off")
    return figure


def kernels(stack: ExitStack) -> Figure:
    """Energies along a line with three patterns: a Gaussian and an Epanechnikov kernel."""
    figure, axes = stack.enter_context(drawing(size=(7.6, 3.6)))
    X = torch.tensor([[-1.6], [0.0], [1.6]], dtype=torch.float64)
    line = torch.linspace(-3.0, 3.0, 1201, dtype=torch.float64)[:, None]
    shown = {"l2_lse": (4.0, "Gaussian (l2_lse)"), "lsr": (1.3, "Epanechnikov (lsr)")}
    for tone, (name, (beta, label)) in zip(("ink", "series-2"), shown.items(), strict=True):
        energy = make_energy(name, dim=1, beta=beta).double().requires_grad_(False)
        values = beta * energy(line, X)
        values = values - values.min()
        axes.plot(line, values.clamp_max(3.3), color=colour(tone), linewidth=2.2, label=label)
    axes.plot(X, torch.full_like(X, -0.12), "|", color=colour("series-1"), ms=16, mew=3)
    axes.set(xlabel="ξ", ylabel="β E, from its lowest value", ylim=(-0.3, 3.2))
    axes.legend(frameon=False, loc="upper center", ncols=2, labelcolor=colour("ink"))
    return figure


def curl(stack: ExitStack) -> Figure:
    """Two updates with the same weights: values equal to the keys, and values turned."""
    figure, (row,) = stack.enter_context(panels(1, 2, (6.6, 3.4)))
    angle = torch.tensor(68.0, dtype=torch.float64).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]),
                        torch.stack([angle.sin(), angle.cos()])])  # fmt: skip
    axis, points = plane(2.4, 41)
    weights = (2.0 * points @ PATTERNS.mT).softmax(-1)
    keys = {"s": 40, "color": colour("series-2"), "edgecolor": "white", "zorder": 3}
    titles = ("values = keys: curl 0", "values turned: curl > 0")
    for axes, values, title in zip(row, (PATTERNS, PATTERNS @ turn.mT), titles, strict=True):
        u, v = (weights @ values - points).reshape(len(axis), len(axis), 2).unbind(-1)
        look = {"color": colour("ink"), "density": 0.75, "linewidth": 0.8, "arrowsize": 0.8}
        axes.streamplot(axis.numpy(), axis.numpy(), u.numpy(), v.numpy(), **look)
        axes.scatter(*PATTERNS.mT, **keys)
        axes.set(xticks=[], yticks=[], aspect="equal", title=title)
        axes.grid(visible=False)
    return figure


PICTURES: dict[str, Callable[[ExitStack], Figure]] = {
    "concept-map": chain,
    "concept-kernels": kernels,
    "concept-curl": curl,
    "concept-attention": attention,
    "concept-bound": bound,
    "concept-capacity": capacity,
}


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    for name in names or PICTURES:
        with ExitStack() as stack:
            path = Picture(name, name, "", PICTURES[name](stack)).save(FOLDER)
        with Image.open(path) as picture:
            content = in_palette(picture, COLOURS)
        write_bytes_atomically(path, content)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
