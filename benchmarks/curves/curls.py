"""How far each mixer is from the gradient of an energy of the states.

    python benchmarks/curves/curls.py

The asymmetry |J - J'|/|J| of the Jacobian of what the heads read, by the states, with the patterns
as keys and as values, projections that change nothing, 4 heads of width 4, and 5 states with 6
patterns; mean over 8 draws in float64. 0 is a gradient, about sqrt(2) a random field. A mixer
that takes no patterns but the states themselves is measured as one map of all states; one that
reads nothing of the states has no number.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from attenergy.analysis import curl
from attenergy.attention.mixers import Mixer, make_mixer
from attenergy.registry import load_registry

HEADS, WIDTH, STATES, PATTERNS, DRAWS = 4, 16, 5, 6, 8
RESULTS = Path(__file__).parents[1] / "results" / "curls.json"


def without_projections(layer: Mixer) -> Mixer:
    """The layer with maps that change nothing."""
    for module in layer.projections.modules():
        if isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            nn.init.zeros_(module.bias)
    return layer.double().eval()


def asymmetry(name: str) -> float | None:
    """The mean over draws; None where the states have no influence."""
    numbers = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        made = make_mixer(name, embed_dim=WIDTH, num_heads=HEADS, length=PATTERNS)
        assert isinstance(made, Mixer)
        layer = without_projections(made)
        xi = torch.randn(STATES, WIDTH, dtype=torch.float64)
        X = torch.randn(1, PATTERNS, WIDTH, dtype=torch.float64)

        def read(states: Tensor, layer: Mixer = layer, X: Tensor = X) -> Tensor:
            context = X if layer.takes_context else None
            out: Tensor = layer(states[None], context)
            return out[0]

        rows = torch.func.jacrev(read)(xi)
        if not bool(rows.any()):
            return None
        numbers.append(curl(read, xi))
    return round(fmean(numbers), 4) + 0.0


def main() -> None:
    torch.set_num_threads(1)
    names = load_registry(plugins=False).mixers
    table = {name: asymmetry(name) for name in names}
    for name, value in table.items():
        print(f"{name:30} {'-' if value is None else f'{value:.3f}'}")
    result = {
        "command": "python benchmarks/curves/curls.py", "torch": torch.__version__, "heads": HEADS,
        "width": WIDTH, "states": STATES, "patterns": PATTERNS, "draws": DRAWS,
        "asymmetry": table,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
