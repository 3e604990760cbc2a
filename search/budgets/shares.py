"""How several comparisons share one time."""

from __future__ import annotations

from collections.abc import Sequence

from attenergy.search.runs.config import RunConfig
from attenergy.search.training.known_cost import KnownCosts


def shares_of_time(configs: Sequence[RunConfig]) -> list[float]:
    """The share of each comparison, by what its runs cost, so that seeds come to be as many.

    Half of the time goes by training FLOPs. The other half is equal, since short products and
    evaluations take time as well.

    Args:
        configs: one run of each comparison.

    Returns:
        Numbers that sum to 1.
    """
    equal, known = 1 / len(configs), KnownCosts()
    flops = [known.of(config, ["training_flops"]).get("training_flops", 0.0) for config in configs]
    total = sum(flops)
    return [equal / 2 + each / total / 2 if total else equal for each in flops]
