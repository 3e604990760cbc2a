"""A planted table: what is best is known, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from attenergy.search.bench.table import CurveConfig, CurveRun, CurveTable
from attenergy.search.bench.world import World

STEPS, SHORT = 400, 100
RUN_SECONDS = 21.0  # of full length
VARIANTS = ("softmax", "linear", "lse")
RATES = (1e-3, 3e-3, 1e-2)
AT = {STEPS: (100, 200, 300, 400), SHORT: (50, 100)}


def truth(variant: str, rate: float) -> float:
    """The best is lse with the highest rate."""
    return 0.2 + 0.2 * VARIANTS.index(variant) + 0.1 * RATES.index(rate)


def planted_config(variant: str, rate: float, noise: float, order: float) -> CurveConfig:
    """A configuration whose curve rises to its true score by half-way; two seeds stray from it.

    Args:
        variant: its energy or mixer.
        rate: its learning rate.
        noise: by how much a seed strays.
        order: +1 if runs that are short have the order of the long ones, -1 if the opposite.
    """
    params: dict[str, Any] = {"variant": variant, "heads": 4, "weight_decay": 0.0}
    params |= {"learning_rate": rate}
    if variant == "lse":
        params |= {"lse.beta": 1.0, "lse.steps": 1}
    score = truth(variant, rate)
    ends = {STEPS: score, SHORT: 0.4 + order * (score - 0.5) / 2}
    runs = [
        CurveRun(
            steps=steps,
            seed=seed,
            at=AT[steps],
            scores=tuple(end * min(1.0, 2 * at / steps) + sign * noise for at in AT[steps]),
            losses=(1.0,) * len(AT[steps]),
        )
        for steps, end in ends.items()
        for seed, sign in ((0, 1), (1, -1))
    ]
    return CurveConfig(
        params=params,
        seconds_per_step=0.05,
        seconds_per_evaluation=0.25,
        parameters=1000,
        forward_flops=1e6,
        runs=tuple(runs),
    )


def planted_table(noise: float = 0.0, order: float = 1.0) -> CurveTable:
    """Nine configurations of three variants; a run of full length takes 21 seconds."""
    return CurveTable(
        name="planted",
        task="stacked-recall-small",
        variants=VARIANTS,
        metric="accuracy",
        chance=1 / 64,
        ceiling=1.0,
        steps=STEPS,
        about={"command": "none"},
        configs=tuple(
            planted_config(variant, rate, noise, order) for variant in VARIANTS for rate in RATES
        ),
    )


@pytest.fixture(scope="session")
def world() -> World:
    """Without noise."""
    return World(planted_table())
