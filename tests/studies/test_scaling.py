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
scipy_optimize = pytest.importorskip("scipy.optimize")


@pytest.fixture(scope="module")
def studies() -> Iterator[Any]:
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(FOLDER))
    try:
        from pages import grid, scaling

        yield grid, scaling
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def curves(studies: Any) -> Any:
    from pages import curves

    return curves


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


def levelling_off(x: Any, plateau: float, start: float, power: float) -> Any:
    return plateau * (1 - (x / start) ** -power)


SIZES = (64e3, 128e3, 204.8e3, 512e3, 1024e3)


@pytest.mark.parametrize(("plateau", "start", "power"), [(0.6, 5e4, 0.8), (0.4, 3e4, 2.0)])
def test_a_curve_without_noise_is_the_curve(
    curves: Any, plateau: float, start: float, power: float
) -> None:
    points = {x: [levelling_off(x, plateau, start, power)] for x in SIZES}
    curve = curves.levelling_off(points, 0.983)
    assert curve.plateau == pytest.approx(plateau, abs=0.005)
    assert curve.start == pytest.approx(start, rel=0.02)
    assert curve.power == pytest.approx(power, rel=0.03)
    assert curve.low <= curve.plateau <= curve.high
    assert curve.residual < 1e-3
    assert curve(300e3) == pytest.approx(levelling_off(300e3, plateau, start, power), abs=2e-3)
    assert curve(1.0) == 0.0


def test_the_fit_is_that_of_a_general_solver(curves: Any) -> None:
    draw = random.Random(7)
    points = {
        x: [levelling_off(x, 0.6, 5e4, 0.8) + draw.gauss(0, 0.01) for _ in range(2)] for x in SIZES
    }
    curve = curves.levelling_off(points, 0.983)
    x, a = (np.array(v) for v in zip(*[(x, a) for x in SIZES for a in points[x]], strict=True))
    best, covariance = scipy_optimize.curve_fit(levelling_off, x, a, p0=(0.5, 4e4, 1.0))
    expected = np.sqrt(np.mean((a - levelling_off(x, *best)) ** 2))
    assert curve.residual == pytest.approx(expected, rel=1e-2)
    assert curve.plateau == pytest.approx(best[0], abs=0.01)
    margin = scipy_stats.t.ppf(0.975, len(x) - 3) * math.sqrt(covariance[0, 0])
    assert curve.plateau - curve.low == pytest.approx(margin, rel=0.5)  # of the curve's tangent
    assert curve.high - curve.plateau > 0.5 * margin


def test_its_interval_is_that_of_a_test_of_each_plateau(curves: Any) -> None:
    draw = random.Random(3)
    points = {x: [levelling_off(x, 0.6, 5e4, 0.8) + draw.gauss(0, 0.02)] for x in SIZES}
    curve = curves.levelling_off(points, 0.983)
    x, a = np.array(SIZES), np.array([points[x][0] for x in SIZES])

    def squares(plateau: float) -> float:
        def missing(x: Any, start: float, power: float) -> Any:
            return levelling_off(x, plateau, start, power)

        best, _ = scipy_optimize.curve_fit(missing, x, a, p0=(5e4, 0.8))
        return float(np.sum((a - missing(x, *best)) ** 2))

    least = len(x) * curve.residual**2
    critical = scipy_stats.f.ppf(0.95, 1, len(x) - 3)
    inside = [(squares(c) - least) / (least / (len(x) - 3)) <= critical for c in (curve.low, 0.6)]
    assert inside == [True, True]
    assert (squares(curve.low - 0.01) - least) / (least / (len(x) - 3)) > critical


def test_a_straight_line_is_that_of_a_regression(curves: Any) -> None:
    draw = random.Random(7)
    points = {x: [0.1 * x + draw.gauss(0, 0.03) for _ in range(3)] for x in (1, 2, 3, 4)}
    fitted = curves.line(points)
    x = np.log2([x for x, values in points.items() for _ in values])
    expected = scipy_stats.linregress(x, [a for values in points.values() for a in values])
    margin = scipy_stats.t.ppf(0.975, len(x) - 2) * expected.stderr
    assert fitted.doubling == pytest.approx(expected.slope)
    assert (fitted.low, fitted.high) == pytest.approx(
        (expected.slope - margin, expected.slope + margin)
    )
    assert fitted(4.0) == pytest.approx(expected.intercept + 2 * expected.slope)


@pytest.mark.parametrize(
    ("points", "sloped"),
    [
        ({}, False),
        ({1.0: [0.1]}, False),
        ({1.0: [0.1], 2.0: [0.2]}, False),
        ({1.0: [0.1, 0.2, 0.3]}, False),
        ({1.0: [0.1, 0.2], 2.0: [0.3, 0.4]}, True),
        ({1.0: [0.1], 2.0: [0.3], 4.0: [0.4]}, True),
        ({1.0: [0.4], 2.0: [0.3], 3.0: [0.1], 4.0: [0.05]}, True),
    ],
)
def test_too_little_or_what_does_not_grow_has_no_curve(
    curves: Any, points: Any, sloped: bool
) -> None:
    assert curves.levelling_off(points, 0.98) is None
    assert (curves.line(points) is not None) == sloped


def test_accuracies_of_none_and_of_all_are_no_error(curves: Any) -> None:
    curve = curves.levelling_off({1: [0.0], 2: [0.5], 4: [0.98], 8: [0.98]}, 0.98)
    assert 0 < curve.plateau <= curve.high <= 0.98
    assert math.isfinite(curve.residual)
    assert curves.levelling_off({1: [0.0], 2: [0.0], 4: [0.0], 8: [0.0]}, 0.98) is None


def test_the_last_is_what_the_others_say_of_it(studies: Any) -> None:
    _, scaling = studies
    points = {x: [levelling_off(x, 0.6, 5e4, 0.8)] for x in SIZES[:-1]} | {SIZES[-1]: [0.9]}
    points[SIZES[1]] *= 2
    curve = scaling.fits_of("instances", {"softmax": points}, 0.983)["softmax"]
    cells = scaling._cells(curve, points)
    assert float(cells[-1]) == pytest.approx(levelling_off(SIZES[-1], 0.6, 5e4, 0.8), abs=5e-3)
    assert len(cells) == len(scaling._OF_CURVES)


def test_runs_go_to_the_quantity_that_they_change(studies: Any) -> None:
    import compared
    import raven

    _, scaling = studies
    parts = raven.parts(REGISTRY)
    configs = {name: parts[name].configs(name, REGISTRY) for name in ("zoo", "deep", "scaling")}
    everything = [c for chosen in configs.values() for c in chosen]
    curves = scaling.curves_of(records_of(everything, lambda c: c.model.layers), configs["zoo"][0])
    for variant in compared.SCALED:
        assert sorted(curves["instances"][variant]) == [64e3, 128e3, 204.8e3, 512e3, 1024e3]
        assert sorted(curves["width"][variant]) == [32, 64, 96, 128]
        layers = curves["layers"][variant]
        assert sorted(layers) == [1, 2, 3, 4]
        assert all(set(values) == {x} for x, values in layers.items())
        assert len(layers[2]) == 5
        assert len(layers[1]) == len(layers[4]) == 3
    assert curves["instances"].keys() == set(compared.SCALED)


@pytest.mark.parametrize("seeds", [1, 3])
def test_effects_of_one_quantity_alone(studies: Any, seeds: int) -> None:
    import raven

    grid, _ = studies
    configs = raven.parts(REGISTRY)["grid"].configs("grid", REGISTRY)

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
