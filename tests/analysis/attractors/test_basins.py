"""Separation of patterns, and from where states come back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import attenergy
from attenergy.analysis.attractors.basins import (
    RADII,
    Basins,
    basins,
    half_radius,
    separation,
)
from attenergy.analysis.attractors.rest import iterate
from attenergy.attention.solvers.problem import pose


def around(X: Tensor, beta: float, mask: Tensor | None = None) -> Basins:
    energy = attenergy.make_energy("lse", dim=X.shape[-1], num_heads=X.shape[1], beta=beta)
    problem, xi = pose(energy.to(X.dtype).requires_grad_(False), X, X, mask, None, "auto")
    ended = iterate(problem, xi)
    places = torch.tensor([0, 0]), torch.tensor([0, 1])
    return basins(
        problem, places, ended.state[places[0], :, places[1]], directions=8, starts=32,
        generator=torch.Generator().manual_seed(0), tolerance=1e-5, max_steps=300,
    )  # fmt: skip


def corners(count: int = 4) -> Tensor:
    """Orthogonal patterns of length 4, (1, 1, count, 8)."""
    return 4 * torch.eye(8, dtype=torch.float64)[:count].expand(1, 1, count, 8)


def test_a_landscape_of_one_minimum_is_one_basin() -> None:
    one = around(corners(), beta=0.01)
    assert (one.returned == 1).all()
    assert (one.reached == 1).all()
    assert (one.ends == 1).all()


def test_patterns_far_apart_share_the_space() -> None:
    shared = around(corners(), beta=8.0)
    assert (shared.ends == 4).all()
    assert (shared.reached > 0.05).all()
    assert (shared.reached < 0.6).all()
    assert (shared.returned[0] == 1).all()  # near by
    assert (shared.returned[-1] < 0.6).all()  # far out


def test_a_state_has_the_landscape_of_what_it_sees() -> None:
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 1, 2:] = False
    ends = around(corners(), 8.0, mask).ends[:, 0].tolist()
    assert ends == [4, 2]


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ([1, 1, 1, 1, 1, 1], None),
        ([1, 1, 1, 0, 0, 0], 0.75),
        ([0.25, 0, 0, 0, 0, 0], RADII[0] / 2),
    ],
)
def test_the_distance_from_which_half_return(returned: list[float], expected: float | None) -> None:
    assert half_radius(returned) == expected


def test_separation_of_patterns() -> None:
    X = corners(3).clone()
    X[..., 2, :] = X[..., 1, :] / 2
    energy = attenergy.make_energy("lse", dim=8, num_heads=1).double()
    problem, xi = pose(energy, X, X, None, None, "auto")
    assert separation(problem, xi).tolist() == [[16.0, 8.0, -4.0]]
    mask = torch.tensor([True, True, False]).expand(1, 1, 3, 3)
    problem, xi = pose(energy, X, X, mask, None, "auto")
    apart = separation(problem, xi)
    assert apart[0, :2].tolist() == [16.0, 16.0]
    assert apart[0, 2].isnan()
