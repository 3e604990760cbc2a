"""An associative memory restores digits from halves: which beta does it, and how many it holds.

Stores digits of scikit-learn, hides half of the pixels of each at random, and recalls them at
beta = 1 and at the beta that the memory suggests, beside chance and a search for the nearest stored
picture. Needs `pip install "attenergy[data]"`; pictures need `[report]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from attenergy.analysis import capacity
from attenergy.analysis.drawing import Picture, drawing
from attenergy.attention import AssociativeMemory
from attenergy.attention.memory import masked
from attenergy.tasks.in_context.digits import digits

NOISE = masked(0.5)


def main(count: int = 100, seeds: int = 5, save: str = "") -> dict[str, float]:
    """Return the share recalled, raw and prepared, at beta 1 and as suggested, and baselines.

    Args:
        count: digits stored.
        seeds: draws for the capacity; none is measured if 0.
        save: folder for the pictures; nothing is written if empty.
    """
    raw = digits()[0]
    prepared = torch.nn.functional.normalize(raw - raw.mean(0), dim=-1)
    shares = {"chance": 1 / count}
    for name, pictures in (("raw", raw), ("prepared", prepared)):
        memory = AssociativeMemory("lse", beta=1.0).store(pictures[:count])
        suggestion = memory.suggest_beta(NOISE)
        best = memory.with_beta(suggestion.beta)
        shares[f"{name}, beta 1"] = share(memory)
        shares[f"{name}, suggested"] = share(best)
        shares[f"{name}, nearest"] = share(memory, steps=0)
        print(f"{name}: {suggestion}")
    print("\n".join(f"{name:20} {value:.2f}" for name, value in shares.items()))
    if save:
        Path(save).mkdir(parents=True, exist_ok=True)
        recalled(memory, best).save(Path(save))
    if seeds:
        result = capacity(best, prepared, NOISE, counts=[10, 30, 100, 300, 900], seeds=seeds)
        print(result)
        if save:
            result.save(save)
    return shares


def share(memory: AssociativeMemory, steps: int = 100) -> float:
    """How many of the stored pictures are nearest to what is recalled of them, half hidden."""
    states = NOISE(memory.patterns, torch.Generator().manual_seed(1))
    ends = memory.recall(states, steps=steps).state
    nearest = torch.cdist(ends, memory.patterns).argmin(-1)
    return float((nearest == torch.arange(len(nearest))).double().mean())


def recalled(low: AssociativeMemory, high: AssociativeMemory) -> Picture:
    """Ten digits, half of each hidden, and what two memories make of them."""
    stored = low.patterns[:10]
    states = NOISE(low.patterns, torch.Generator().manual_seed(1))[:10]
    beta = float(high.energy_module.values()["beta"].detach())
    rows = {
        "stored": stored,
        "half hidden": states,
        "beta = 1": low.recall(states).state,
        f"beta = {beta:.3g}": high.recall(states).state,
    }
    with drawing(size=(7.2, 3.2)) as (figure, axes):
        axes.remove()
        grid = figure.subplots(len(rows), 10)
        for line, (name, pictures) in zip(grid, rows.items(), strict=True):
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
            for place, picture in zip(line, pictures, strict=True):
                place.imshow(picture.view(8, 8).numpy(), cmap="Greys", vmin=-0.25, vmax=0.4)
                place.set_xticks([])
                place.set_yticks([])
                place.grid(visible=False)
                place.spines[:].set_visible(False)
    return Picture("digits-recalled", "Digits recalled", "From half of each picture.", figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="digits stored")
    parser.add_argument("--seeds", type=int, default=5, help="draws for the capacity")
    parser.add_argument("--save", default="", help="folder for the pictures")
    main(**vars(parser.parse_args()))
