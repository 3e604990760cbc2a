"""Curves of scaling and effects in the grid of `lse`, from records of which the answer is known."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attenergy.registry import load_registry
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord

FOLDER = Path(__file__).resolve().parents[2] / "studies"
REGISTRY = load_registry(plugins=False)
scipy_stats = pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def studies() -> Iterator[Any]:
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(FOLDER))
    try:
        from pages import grid, scaling

        yield grid, scaling
    finally:
        sys.path.remove(str(FOLDER))


def records_of(configs: list[RunConfig], score: Callable[[RunConfig], float]) -> list[RunRecord]:
    return [
        provenance.failed(config, "compare", "").model_copy(
            update={
                "status": "complete",
                "metrics": {s: {"accuracy": score(config)} for s in ("valid", "test", "ood")},
                "cost": {"forward_flops": 1e6, "parameters": 1.0},
            }
        )
        for config in configs
    ]


def test_a_curve_without_noise_is_the_curve(studies: Any) -> None:
    _, scaling = studies
    points = {x: [0.98 * (x / 3e5) ** 1.7 / (1 + (x / 3e5) ** 1.7)] for x in (64e3, 128e3, 1e6)}
    curve = scaling.fit(points, 0.98)
    assert curve.half == pytest.approx(3e5)
    assert curve.growth == pytest.approx(1.7)
    assert (curve.low, curve.high) == pytest.approx((1.7, 1.7))
    assert curve.residual == pytest.approx(0.0, abs=1e-12)
    assert curve(np.array([3e5])) == pytest.approx([0.49])


def test_the_interval_of_the_exponent_is_that_of_a_regression(studies: Any) -> None:
    _, scaling = studies
    draw = random.Random(7)
    points = {x: [min(0.9, 0.1 * x + draw.gauss(0, 0.03)) for _ in range(3)] for x in (1, 2, 3, 4)}
    curve = scaling.fit(points, 0.983)
    x = np.log([x for x, values in points.items() for _ in values])
    y = [math.log(a / (0.983 - a)) for values in points.values() for a in values]
    line = scipy_stats.linregress(x, y)
    margin = scipy_stats.t.ppf(0.975, len(x) - 2) * line.stderr
    expected = (line.slope, line.slope - margin, line.slope + margin)
    assert (curve.growth, curve.low, curve.high) == pytest.approx(expected)
    assert curve.half == pytest.approx(math.exp(-line.intercept / line.slope))


@pytest.mark.parametrize(
    "points",
    [
        {},
        {1.0: [0.1]},
        {1.0: [0.1], 2.0: [0.2]},
        {1.0: [0.1, 0.2, 0.3]},
        {1.0: [0.4], 2.0: [0.3], 3.0: [0.1]},
    ],
)
def test_too_little_or_what_does_not_grow_has_no_curve(studies: Any, points: Any) -> None:
    assert studies[1].fit(points, 0.98) is None


def test_accuracies_of_none_and_of_all_are_no_error(studies: Any) -> None:
    curve = studies[1].fit({1: [0.0], 2: [0.5], 4: [0.99]}, 0.98)
    assert 0 < curve.half < 4
    assert math.isfinite(curve.residual)


def test_runs_go_to_the_quantity_that_they_change(studies: Any) -> None:
    _, scaling = studies
    parts = scaling.raven.parts(REGISTRY)
    configs = {name: parts[name].configs(name, REGISTRY) for name in ("zoo", "deep", "scaling")}
    everything = [c for chosen in configs.values() for c in chosen]
    curves = scaling.curves_of(records_of(everything, lambda c: c.model.layers), configs["zoo"][0])
    for variant in scaling.raven.SCALED:
        assert sorted(curves["instances"][variant]) == [64e3, 128e3, 204.8e3, 512e3, 1024e3]
        assert sorted(curves["width"][variant]) == [32, 64, 96, 128]
        layers = curves["layers"][variant]
        assert sorted(layers) == [1, 2, 3, 4]
        assert all(set(values) == {x} for x, values in layers.items())
        assert len(layers[2]) == 5
        assert len(layers[1]) == len(layers[4]) == 3
    assert curves["instances"].keys() == set(scaling.raven.SCALED)


@pytest.mark.parametrize("seeds", [1, 3])
def test_effects_of_one_quantity_alone(studies: Any, seeds: int) -> None:
    grid, scaling = studies
    configs = scaling.raven.parts(REGISTRY)["grid"].configs("grid", REGISTRY)

    def score(config: RunConfig) -> float:
        s = config.settings
        extra = 0.02 * (s["step_size"] - 1) * (s["steps"] > 1) + 0.001 * config.seed
        return 0.1 * s["steps"] - 0.03 * math.log(s["beta"] / 0.354) + extra

    chosen = [c for c in configs if c.seed <= seeds]
    effects = grid.effects(grid.cells_of(records_of(chosen, score)), "ood")
    assert len(effects) == 3 + 2 + 3
    for steps in (2, 3, 4):
        values, pairs = effects[f"{steps} steps minus 1"]
        assert (len(values), pairs) == (4 if seeds == 1 else seeds, 4)
        assert values == pytest.approx([0.1 * (steps - 1)] * len(values))
    values, pairs = effects["step size 1.5 minus 1"]
    assert pairs == 12
    assert values == pytest.approx([0.01] * len(values))
    values, pairs = effects["beta 1 minus 0.354"]
    assert pairs == 10
    assert values == pytest.approx([-0.03 * math.log(1 / 0.354)] * len(values))
