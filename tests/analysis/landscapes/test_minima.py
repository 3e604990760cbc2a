"""Minima whose places are known: from equations of one number, solved by bisection here."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.analysis import landscape, planted_patterns
from attenergy.analysis.landscapes.charts import chart_of, extent_of
from attenergy.analysis.landscapes.descent import curvature, sharpen
from attenergy.analysis.landscapes.minima import find_minima, grouped
from attenergy.analysis.landscapes.one_state import one_state
from attenergy.energies import DOMAINS, make_energy

SMALL = {"resolution": 16}


def root(f, low, high):
    """Where a rising function of one number crosses 0."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if f(middle) > 0 else (middle, high)
    return (low + high) / 2


def sorted_places(surface):
    return sorted(minimum.coordinates for minimum in surface.minima.minima)


@pytest.mark.parametrize("length", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("strength", [1.05, 2.0, 8.0])
def test_two_opposite_patterns_have_two_minima(length, strength):
    """At m a with m = tanh(beta |a|^2 m), beta |a|^2 = strength."""
    m = root(lambda x: x - math.tanh(strength * x), 1e-3, 1.0)
    a = length * torch.tensor([0.6, 0.8], dtype=torch.float64)
    out = landscape("lse", torch.stack([a, -a]), beta=strength / length**2, **SMALL)
    want = sorted([(m * a).tolist(), (-m * a).tolist()])
    assert torch.allclose(torch.tensor(sorted_places(out)), torch.tensor(want), atol=1e-6)
    # E'' along a is 1 - beta |a|^2 (1 - m^2), and 1 across it
    bend = 1 - strength * (1 - m * m)
    for minimum in out.minima.minima:
        assert minimum.verified
        assert minimum.slope < 1e-9
        assert minimum.curvature == pytest.approx(min(bend, 1.0), rel=1e-4)
        assert minimum.weight == pytest.approx((1 + m) / 2)
        assert 0.4 < minimum.basin < 0.6


@pytest.mark.parametrize("strength", [0.2, 0.95])
def test_two_opposite_patterns_have_one_minimum_while_it_is_warm(strength):
    a = torch.tensor([1.0, 0.0], dtype=torch.float64)
    out = landscape("lse", torch.stack([a, -a]), beta=strength, **SMALL)
    (minimum,) = out.minima.minima
    assert minimum.kind == "average"
    assert minimum.patterns == (1, 2)
    assert minimum.basin == 1.0
    assert minimum.coordinates == pytest.approx((0.0, 0.0), abs=1e-7)
    assert minimum.curvature == pytest.approx(1 - strength, rel=1e-4)
    assert "one minimum, the average of the patterns" in out.sentence


def test_a_quadratic_energy_has_one_minimum():
    """E = 1/2 |xi|^2 - mean of the scores: at the mean of the patterns."""
    X = planted_patterns(DOMAINS["real"], 4, seed=3)
    out = landscape("0.5*|xi|^2 - sum_n(X @ xi)/count_n()", X, **SMALL)
    (minimum,) = out.minima.minima
    assert minimum.coordinates == pytest.approx(X.mean(0).tolist())
    assert minimum.kind == "average"
    assert minimum.curvature == pytest.approx(1.0, rel=1e-6)
    assert minimum.energy == pytest.approx(-0.5 * float(X.mean(0).square().sum()))


def test_every_pattern_is_a_minimum_when_it_is_cold():
    X = planted_patterns(DOMAINS["real"], 5)
    out = landscape("lse", X, beta=30.0, resolution=24)
    singles = [m for m in out.minima.minima if m.kind == "single pattern"]
    assert sorted(m.patterns for m in singles) == [(n,) for n in range(1, 6)]
    for minimum in singles:
        assert minimum.state.tolist() == pytest.approx(
            X[minimum.patterns[0] - 1].tolist(), abs=1e-3
        )
    assert sum(m.basin for m in out.minima.minima) == pytest.approx(1.0)


def test_a_pair_far_from_a_third_is_metastable():
    X = torch.tensor([[2.0, 0.2], [2.0, -0.2], [-2.0, 0.0]])
    out = landscape("lse", X, beta=2.0, **SMALL)
    kinds = {m.kind: m.patterns for m in out.minima.minima}
    assert kinds == {"metastable": (1, 2), "single pattern": (3,)}


def test_an_energy_without_bottom_has_no_minimum():
    out = landscape("linear_attention", [[2.0, 0.0], [0.0, 2.0]], beta=1.0, **SMALL)
    assert not out.minima.minima
    assert out.minima.away == 1.0
    assert "every drawn state leaves for infinity" in out.sentence


def test_a_plateau_is_no_minimum():
    """Out of reach of the Epanechnikov kernel the energy is flat: beyond sqrt(2/beta) = 0.5."""
    out = landscape("lsr", [[0.0, 0.0], [2.0, 0.0]], beta=8.0, resolution=24)
    assert [m.kind for m in out.minima.minima] == ["single pattern"] * 2
    assert all(m.verified for m in out.minima.minima)
    frame = float((out.chart.high - out.chart.low).prod())
    assert out.minima.flat == pytest.approx(1 - 2 * math.pi * 0.25 / frame, abs=0.05)
    assert "it is flat and states do not move" in out.sentence


def test_the_circle_of_a_sphere():
    """-(beta x.xi)^3/(3 beta), where x.xi > 0: lowest along x, at |xi| = sqrt(2)."""
    X = math.sqrt(2) * torch.tensor([[0.0, 1.0]])
    out = landscape("polynomial", X, beta=1.0, power=3, resolution=90)
    verified = [m for m in out.minima.minima if m.verified]
    (minimum,) = verified
    assert minimum.coordinates[0] == pytest.approx(math.pi / 2)
    assert minimum.kind == "single pattern"
    assert out.energies.shape == (90,)
    assert minimum.energy == pytest.approx(-(2.0**3) / 3)


def test_magnetisations_have_two_phases():
    """One pattern of two spins, J_12 = 1/2: m = tanh(beta m / 2), two minima above beta = 2."""
    for beta, count in ((1.5, 1), (4.0, 2)):
        out = landscape("ising_mean_field", [[1.0, 1.0]], beta=beta, **SMALL)
        assert len(out.minima) == count
        assert all(m.verified for m in out.minima.minima)
    m = root(lambda x: x - math.tanh(beta * x / 2), 1e-3, 1.0)
    got = torch.tensor(sorted_places(out))
    assert torch.allclose(got, torch.tensor([[-m, -m], [m, m]]), atol=1e-5)
    assert {x.kind for x in out.minima.minima} == {"single pattern", "reversed pattern"}


def test_newton_leaves_a_saddle():
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    problem = one_state(make_energy("lse", dim=2, beta=4.0), a)
    saddle = torch.zeros(1, 2, dtype=torch.float64)
    assert float(curvature(problem, saddle, 2.0).values[0, 0]) == pytest.approx(-3.0, rel=1e-4)
    states, shape = sharpen(problem, saddle, 2.0)
    assert float(states.norm()) > 0.9
    assert float(shape.values[0, 0]) > 0
    assert float(shape.slope.norm()) < 1e-9


def test_groups_are_of_the_first_in_reach():
    states = torch.tensor([[0.0], [5.0], [0.05], [5.2], [-0.05]])
    groups, first = grouped(states, 0.1)
    assert groups.tolist() == [0, 1, 0, 2, 0]
    assert first.tolist() == [0, 1, 3]


def test_goals_are_those_of_every_start():
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    problem = one_state(make_energy("lse", dim=2, beta=6.0), a)
    chart = chart_of(problem.energy.domain, a)
    starts = torch.tensor([[0.3, 1.0], [-0.1, -2.0], [0.2, 0.0]]).double()
    minima = find_minima(problem, chart, starts, extent=extent_of(chart))
    sides = [minima.minima[goal].coordinates[0] > 0 for goal in minima.goal.tolist()]
    assert sides == [True, False, True]


def test_k_patterns_at_once_are_a_mixture():
    """With weights 1 on two of three patterns the state is their sum."""
    X = 2.0 * torch.eye(2).repeat(2, 1) * torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    out = landscape("ksubsets", X, k=2, beta=8.0, **SMALL)
    corners = {m.patterns: m.coordinates for m in out.minima.minima}
    assert corners.keys() == {(1, 2), (2, 3), (3, 4), (1, 4)}
    assert {m.kind for m in out.minima.minima} == {"metastable"}
    assert corners[1, 2] == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("count", [1, 3])
def test_one_pattern_however_often_is_where_states_go(count):
    out = landscape("lse", torch.tensor([[0.6, 0.8]]).repeat(count, 1), beta=2.0, **SMALL)
    (minimum,) = out.minima.minima
    assert minimum.kind == ("average" if count > 1 else "single pattern")
    assert minimum.coordinates == pytest.approx((0.6, 0.8))
