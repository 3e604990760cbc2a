"""Where minima merge and split, against known critical values; weights against a score."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.analysis import spin_levels, sweep_minima, weight_curves
from attenergy.analysis.landscapes import sweep
from attenergy.registry import ArgumentError


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(sweep, "STARTS", 6)
    monkeypatch.setattr(sweep, "PRECISION", 1e-3)


@pytest.mark.parametrize("length", [1.0, 2.0])
def test_two_opposite_patterns_split_at_one_over_their_square(length):
    a = length * torch.tensor([[0.6, 0.8], [-0.6, -0.8]], dtype=torch.float64)
    out = sweep_minima("lse", a, low=0.3 / length**2, high=3.0 / length**2, count=3)
    (change,) = out.changes
    assert (change.before, change.after) == (1, 2)
    assert change.value == pytest.approx(1 / length**2, rel=3e-3)
    assert change.width <= 1.01e-3 * change.value
    assert f"1 to 2 at beta {change.value:.4g}" in out.sentence
    strength = out.values[-1] * length**2
    (low, high) = sorted(out.places[-1])
    m = high / length
    assert m == pytest.approx(math.tanh(strength * m), rel=1e-6)
    assert low == pytest.approx(-high)


def test_a_quadratic_energy_never_changes():
    out = sweep_minima("0.5*|xi|^2 - beta*sum_n(X @ xi)", 3, low=0.1, high=2.0, count=3)
    assert not out.changes
    assert [len(minima) for minima in out.minima] == [1, 1, 1]
    assert "one minimum at every beta" in out.sentence


@pytest.mark.long
def test_both_of_two_changes_between_neighbours_are_bracketed():
    """Kernels at 1, -1 and 6: the far one splits off first, the pair at beta 1.

    The sweep has but its two ends, with one minimum and with three.
    """
    X = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [6.0, 0.0]])
    out = sweep_minima("l2_lse", X, low=0.05, high=4.0, count=2)
    assert [(c.before, c.after) for c in out.changes] == [(1, 2), (2, 3)]
    assert out.changes[0].value < 0.3
    assert out.changes[1].value == pytest.approx(1.0, rel=3e-3)


@pytest.mark.long
def test_a_sweep_draws(tmp_path):
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    out = sweep_minima("lse", a, low=0.5, high=2.0, count=3)
    names = {path.name for path in out.save(tmp_path)}
    assert {"minima-sweep.png", "minima-sweep.svg", "minima-sweep.json"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameter": "betta"}, "did you mean 'beta'"),
        ({"low": 2.0, "high": 1.0}, "from a lower to a higher"),
        ({"count": 1}, "2 to 1000 values"),
        ({"beta": 3.0}, "is swept and set"),
    ],
)
def test_what_cannot_be_swept_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep_minima("lse", 2, **arguments)


def test_spins_are_swept_by_their_levels():
    X = torch.tensor([[1.0, 1, 1, 1], [1.0, 1, -1, -1]])
    out = sweep_minima("binary_rbm", X, low=0.5, high=1.0, count=2)
    assert len(out.minima[-1]) == len(spin_levels("binary_rbm", X, beta=1.0).minima)


def test_softmax_is_logistic_and_sparsemax_a_ramp():
    beta = 1.5
    out = weight_curves("lse", "sparsemax", "zero_sink", beta=beta)
    s = out.scores
    ramp = ((beta * s + 1) / 2).clamp(0, 1)
    assert torch.allclose(out.against[0], torch.sigmoid(beta * s))
    assert torch.allclose(out.against[1], ramp)
    assert torch.allclose(out.alone[0], torch.ones_like(s))
    assert torch.allclose(out.alone[2], torch.sigmoid(beta * s))
    assert "exactly 1 from" in out.sentence
    assert out.pictures()[0].name == "weights"
    assert out.tables()[0].rows


def test_what_has_no_weights_has_no_curve():
    with pytest.raises(ArgumentError, match="has no weights over patterns"):
        weight_curves("learned")
