"""The picture at the front: an energy with states that come to rest, beside what variants reach.

    python benchmarks/pages/front_picture.py [--out docs/pictures/front.png]

Left, the landscape of log-sum-exp. Right, some layers of the Raven study, as `make study-figures`
wrote them into `benchmarks/results/study.json`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from attenergy.analysis import landscape
from attenergy.analysis.drawing import colour, panels
from attenergy.analysis.landscapes.pictures import draw_patterns, draw_surface
from attenergy.registry.files import write_bytes_atomically
from attenergy.tasks import make_task
from attenergy.testing.docs_pages.pictures.files import in_palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
#: Some energies of different kinds, and softmax, all with five seeds.
SHOWN = (
    *("linear_attention", "entmax", "zero_sink", "l2_lse", "lse", "softmax", "rbm"),
    *("polynomial", "graph_hopfield", "sparsemax", "exponential", "lsr"),
)


def draw_landscape(axes: Axes) -> None:
    """Draw the energy over the plane, relaxations and the patterns in which they end."""
    surface = landscape("lse", beta=4.0)
    draw_surface(axes, surface, surface.chart)
    paths = surface.paths.numpy()  # (T, m, 2)
    axes.plot(paths[..., 0], paths[..., 1], color=colour("series-2"), linewidth=0.9, zorder=2)
    axes.plot(paths[0, :, 0], paths[0, :, 1], ".", color=colour("series-2"), markersize=5, zorder=3)
    ends = [minimum.coordinates for minimum in surface.minima.minima]
    axes.plot(*zip(*ends, strict=True), "o", color=colour("ink"), markersize=7, zorder=5)
    draw_patterns(axes, surface)
    axes.set_title("An energy, and states that come to rest", color=colour("ink"), fontsize=11)


def draw_study(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw what some layers reach on held-out pairs of rules, with intervals over seeds."""
    chosen = {row["variant"]: row for row in rows if row["task"] == "raven-small"}
    names = sorted(SHOWN, key=lambda name: chosen[name]["mean"])
    for place, name in enumerate(names):
        low, high = chosen[name]["interval"]
        tone = colour("ink" if name == "softmax" else "series-1")
        axes.barh(place, chosen[name]["mean"], height=0.6, color=tone, alpha=0.85)
        axes.plot([low, high], [place, place], color=colour("series-2"), linewidth=2)
    task = make_task("raven-small")
    ceiling = task.ceiling("ood")
    assert ceiling is not None
    for name, value in {"chance": task.chance["accuracy"], "ceiling": ceiling.value}.items():
        axes.axvline(value, color=colour("chance"), linewidth=1.2, linestyle=(0, (2, 2)))
        axes.annotate(
            f"{name} {value:.3f}".replace("0.", "."),
            (value, len(names) - 0.35),
            xytext=(4, 0) if name == "chance" else (-4, 0),
            textcoords="offset points",
            ha="left" if name == "chance" else "right",
            fontsize=9,
            color=colour("soft"),
        )
    axes.set_yticks(range(len(names)), names, fontsize=9.5)
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    axes.grid(visible=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(names))
    axes.set_xlabel("accuracy on rules never seen together (raven-small, 5 seeds)")
    axes.set_title("What layers made of energies learn", color=colour("ink"), fontsize=11)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/front.png")
    given = parser.parse_args()
    rows = json.loads((ROOT / "benchmarks/results/study.json").read_text(encoding="utf-8"))
    with panels(1, 2, (10.4, 4.3)) as (figure, ((left, right),)):
        draw_landscape(left)
        draw_study(right, rows)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110, facecolor=colour("card"))
    content = in_palette(Image.open(drawn), 128, dither=Image.Dither.FLOYDSTEINBERG)
    write_bytes_atomically(given.out, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
