"""A step's numbers are counted, whatever the machine is doing."""

from __future__ import annotations

from attenergy.search.discovery.filters import cost, screen


def ratio(candidate, text: str) -> float:
    return cost.cost_ratio(candidate(text).normal_form)


def test_cost_against_softmax(candidate):
    assert ratio(candidate, "0.5*|xi|^2 - lse(beta*X @ xi)/beta") == 1.0
    assert abs(ratio(candidate, "0.5*|xi|^2 - lse(2*kappa*X @ xi)/kappa") - 1.0) < 0.01
    assert 1.2 < ratio(candidate, "|xi - X' @ softmax(beta*X @ xi)|^2") < 3
    assert 3 < ratio(candidate, "0.5*|xi|^2 - entmax_conj(beta*X @ xi, 1.5)/beta") < cost.MOST_TIMES


def test_too_dear(candidate, monkeypatch):
    monkeypatch.setattr(cost, "MOST_TIMES", 3.0)
    screening = screen(candidate("0.5*|xi|^2 - entmax_conj(beta*X @ xi, 1.5)/beta"))
    assert screening.rejected_by == "cost"
    assert "at most 3" in screening.reason
