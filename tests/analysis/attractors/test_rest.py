"""States iterated to rest, and what becomes of those that do not come to rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import attenergy
from attenergy.analysis.attractors.rest import CYCLE, DIVERGED, EMPTY, MOVING, REST, iterate
from attenergy.attention.solvers.problem import Problem, pose

D = 6


def posed(
    name: str, X: Tensor, mask: Tensor | None = None, **settings: float
) -> tuple[Problem, Tensor]:
    energy = attenergy.make_energy(name, dim=D, num_heads=1, **settings).to(X.dtype)
    return pose(energy.requires_grad_(False), X, X, mask, None, "auto")


def patterns(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, 5, D, generator=generator, dtype=torch.float64)


def test_at_rest_one_more_step_moves_nothing() -> None:
    problem, xi = posed("lse", patterns(), beta=1.0)
    ended = iterate(problem, xi, tolerance=1e-9, max_steps=2000)
    assert (ended.outcome == REST).all()
    assert problem.gradient(ended.state).abs().max() < 1e-7


def test_few_steps_are_not_enough() -> None:
    problem, xi = posed("lse", patterns(), beta=0.3)
    assert (iterate(problem, xi, tolerance=1e-9, max_steps=2).outcome == MOVING).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_that_grow_without_bound_diverge(dtype: torch.dtype) -> None:
    # E = 1/2 |xi|^2 - beta/2 |X xi|^2 has no minimum where an eigenvalue of beta X'X exceeds 1.
    problem, xi = posed("linear_attention", patterns().to(dtype), beta=2.0)
    for most in (20, 400):  # 400 steps overflow, 20 do not
        assert (iterate(problem, xi, max_steps=most).outcome == DIVERGED).all()


def test_states_between_two_points_go_in_a_cycle() -> None:
    # E = |xi|^2 - 0 with steps xi - grad E = -xi.
    problem, xi = posed("xi @ xi + 0*lse(X @ xi)", patterns())
    assert (iterate(problem, xi, max_steps=51).outcome == CYCLE).all()


def test_a_state_that_sees_nothing_is_empty() -> None:
    mask = torch.ones(1, 1, 5, 5, dtype=torch.bool)
    mask[..., 2, :] = False
    problem, xi = posed("lse", patterns(), mask, beta=1.0)
    outcome = iterate(problem, xi).outcome[0, 0]
    assert outcome[2] == EMPTY
    assert (outcome[[0, 1, 3, 4]] == REST).all()


def test_states_that_interact_rest_together() -> None:
    problem, xi = posed("graph_hopfield", patterns())
    ended = iterate(problem, xi, max_steps=500)
    assert len(ended.outcome.unique()) == len(ended.steps.unique()) == 1
