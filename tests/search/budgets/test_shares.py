"""How several comparisons share one time."""

from __future__ import annotations

import pytest

from attenergy.registry import load_registry
from attenergy.search.budgets.shares import shares_of_time
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.config import RunConfig

REGISTRY = load_registry(plugins=False)


def run_of(task: str, steps: int | None = None) -> RunConfig:
    plan = ComparePlan(name=task, folder="", task=task, variants=("softmax",), steps=steps)
    return configure(plan, REGISTRY, "softmax")


def test_equal_runs_have_equal_parts() -> None:
    assert shares_of_time([run_of("stacked-recall")] * 4) == pytest.approx([0.25] * 4)
    assert shares_of_time([run_of("raven-small")]) == [1.0]


def test_half_goes_by_training_flops() -> None:
    shares = shares_of_time([run_of("raven-small", 300), run_of("raven-small", 900)])
    assert shares == pytest.approx([1 / 4 + 1 / 8, 1 / 4 + 3 / 8])


def test_what_trains_nothing_has_its_half() -> None:
    shares = shares_of_time([run_of("denoising"), run_of("raven-small")])
    assert shares == pytest.approx([0.25, 0.75])
    assert shares_of_time([run_of("denoising")] * 2) == [0.5, 0.5]
