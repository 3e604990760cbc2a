"""The picture of docs/analysis/energy-loss.md: learning curves with and without the term.

    python benchmarks/energy_loss/picture.py [RESULTS.json] [--out docs/pictures]

Thick lines are means over seeds of the score on valid, thin ones single runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from attenergy.analysis.drawing import Picture, colour, legend, panels

ROOT = Path(__file__).resolve().parents[2]
#: Tone and dashes of each term: a tone for a kind, dashes for the lighter weight.
LOOKS = {
    "none": ("ink", "-"),
    "minimise:0.0001": ("series-2", "--"),
    "minimise:0.01": ("series-2", "-"),
    "contrast:0.1": ("series-1", "--"),
    "contrast:1": ("series-1", "-"),
}


def draw(results: dict[str, Any]) -> Picture:
    """One panel for each task and layer."""
    with panels(1, len(results), (4.3 * len(results), 3.3)) as (figure, grid):
        for number, (name, cell) in enumerate(results.items()):
            axes = grid[0][number]
            for term, row in cell["terms"].items():
                curves = row["curves"]
                steps = [step for step, _ in curves[0]]
                scores = [[score for _, score in curve] for curve in curves]
                means = [sum(each) / len(each) for each in zip(*scores, strict=True)]
                shade, dash = LOOKS[term]
                for each in scores:
                    axes.plot(steps, each, color=colour(shade), linewidth=0.5, alpha=0.35)
                label = term if number == 0 else None
                axes.plot(steps, means, label=label, color=colour(shade), linestyle=dash)
            task, layer = name.split("/")
            seeds = len(cell["terms"]["none"]["curves"])
            axes.set(
                title=f"{task}, {layer}, {seeds} seeds", xlabel="training step", ylim=(0, 1.03)
            )
            axes.set_ylabel(f"{cell['metric']} on valid")
        legend(grid[0][0], columns=5)
        about = "Scores on valid while training, without and with a term on the layers' energies."
        return Picture("energy-loss", "Energies as a training signal", about, figure, wide=True)


def main() -> None:
    """Draw what is recorded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT / "benchmarks" / "results" / "energy_loss.json"
    parser.add_argument("results", type=Path, nargs="?", default=default)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    given = parser.parse_args()
    picture = draw(json.loads(given.results.read_text())["results"])
    picture.figure.savefig(given.out / f"{picture.name}.png", dpi=120, facecolor="white")


if __name__ == "__main__":
    main()
