"""Conjugate gradients against direct solves, and what they report."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.attention.solvers.conjugate_gradients import conjugate_gradients
from attenergy.testing.cases import draw


def positive(seed, *batch, size=5):
    root = draw(seed, *batch, size, size)
    return root @ root.mT + 0.1 * torch.eye(size).double()


def solve(matrices, b, most=100, tolerance=1e-12):
    def apply(x):
        return (matrices @ x.unsqueeze(-1)).squeeze(-1)

    return conjugate_gradients(apply, b, (-1,), tolerance=tolerance, most=most)


@given(seed=st.integers(0, 1000), exponent=st.integers(-200, 100))
@settings(max_examples=25)
def test_systems_are_solved_at_any_scale(seed, exponent):
    matrices, b = positive(seed, 3), 10.0**exponent * draw(seed + 1, 3, 5)
    solution = solve(matrices, b)
    assert solution.solved.all()
    want = torch.linalg.solve(matrices, b)
    assert ((solution.x - want).norm(dim=-1) <= 1e-7 * want.norm(dim=-1)).all()


def test_axes_of_a_system():
    """Two systems of 3 x 4 unknowns each, three times the identity and a fifth of it."""
    factor, b = torch.tensor([3.0, 0.2]).double().view(2, 1, 1), draw(1, 2, 3, 4)
    solution = conjugate_gradients(lambda x: factor * x, b, (-2, -1), tolerance=1e-12, most=9)
    torch.testing.assert_close(solution.x, b / factor)
    assert solution.solved.shape == solution.iterations.shape == (2, 1, 1)
    assert (solution.iterations == 1).all()


def test_a_right_hand_side_of_zero():
    solution = solve(positive(1, 2), torch.zeros(2, 5).double())
    assert solution.solved.all()
    assert (solution.x == 0).all()
    assert (solution.iterations == 0).all()


def test_what_is_not_positive_definite_is_not_solved_and_disturbs_no_other():
    matrices, b = positive(3, 3), draw(4, 3, 5)
    matrices[1] = -matrices[1]
    solution = solve(matrices, b)
    assert solution.solved.flatten().tolist() == [True, False, True]
    assert solution.x.isfinite().all()
    alone = solve(matrices[[0, 2]], b[[0, 2]])
    torch.testing.assert_close(solution.x[[0, 2]], alone.x, rtol=1e-12, atol=1e-12)


def test_too_few_iterations_are_reported():
    matrices, b = positive(5, 2), draw(6, 2, 5)
    matrices[0] = torch.eye(5)
    solution = solve(matrices, b, most=2)
    assert solution.solved.flatten().tolist() == [True, False]
    assert solution.iterations.flatten().tolist() == [1, 2]
    assert solve(matrices, b).solved.all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_not_solved(value):
    matrices, b = positive(7, 2), draw(8, 2, 5)
    b[0, 0] = value
    solution = solve(matrices, b)
    assert solution.solved.flatten().tolist() == [False, True]
    torch.testing.assert_close(solution.x[1], torch.linalg.solve(matrices[1], b[1]))
