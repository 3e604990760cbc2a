"""The picture at the front: an energy with states that come to rest, beside what variants reach.

    python benchmarks/pages/front_picture.py [--out docs/pictures/front.png]

Left, the landscape of log-sum-exp. Right, the finalists of the search that `make search` runs, as
`benchmarks/results/flagship.json` recorded them.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from attenergy.analysis import landscape
from attenergy.analysis.drawing import colour, looks, panels
from attenergy.analysis.landscapes.pictures import draw_patterns, draw_surface
from attenergy.registry.files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
#: A finalist: variant, accuracy, half of its interval, seeds and verdict.
ROW = re.compile(r"^\d+ (\w+) +[^ ]+ (\.\d+)±(\.\d+) .* (\d+) +(?:-?[.\d]+ )? *(\w+) *$")
REFERENCE = re.compile(r"^ +(ceiling|chance) +(\.\d+)")
TONES = {"loses": "bad", "beats": "good"}


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


def draw_leaderboard(axes: Axes, lines: list[str]) -> None:
    """Draw accuracies with their intervals, from the leaderboard that a search printed."""
    rows = [row.groups() for row in map(ROW.match, lines) if row]
    references = dict(row.groups() for row in map(REFERENCE.match, lines) if row)
    tones = looks([row[0] for row in rows])
    for place, (name, score, half, seeds, verdict) in enumerate(reversed(rows)):
        axes.barh(place, float(score), height=0.5, color=colour(tones[name].tone), alpha=0.85)
        axes.errorbar(
            float(score), place, xerr=float(half), color=colour("soft"), capsize=4, linewidth=1.3
        )
        text = "the baseline" if verdict == "baseline" else f"{verdict}, {seeds} seeds"
        axes.annotate(
            text,
            (float(score) + float(half), place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=colour(TONES.get(verdict, "soft")),
        )
    for name, value in references.items():
        axes.axvline(float(value), color=colour("chance"), linewidth=1.2, linestyle=(0, (2, 2)))
        axes.annotate(
            f"{name} {value}",
            (float(value), len(rows) - 0.45),
            xytext=(4, 0) if name == "chance" else (-4, 0),
            textcoords="offset points",
            ha="left" if name == "chance" else "right",
            fontsize=9,
            color=colour("soft"),
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)], fontsize=11)
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(rows) - 0.25)
    axes.grid(visible=False)
    axes.set_xlabel("accuracy on raven-small")
    axes.set_title("What the search says of it", color=colour("ink"), fontsize=11)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/front.png")
    given = parser.parse_args()
    record = json.loads((ROOT / "benchmarks/results/flagship.json").read_text(encoding="utf-8"))
    with panels(1, 2, (10.4, 4.3)) as (figure, ((left, right),)):
        draw_landscape(left)
        draw_leaderboard(right, record["output"])
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110, facecolor=colour("card"))
    reduced = io.BytesIO()
    picture = Image.open(drawn).convert("RGB").quantize(128)
    picture.save(reduced, format="PNG", optimize=True)
    write_bytes_atomically(given.out, reduced.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
