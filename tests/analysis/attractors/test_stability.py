"""The spectral radius of the update's Jacobian, against one that is computed without it."""

from __future__ import annotations

import pytest
import torch

import attenergy
from attenergy.analysis.attractors.rest import iterate
from attenergy.analysis.attractors.stability import spectral_radius
from attenergy.analysis.attractors.subsets import landscapes
from attenergy.attention.solvers.problem import pose


@pytest.mark.parametrize("beta", [0.05, 0.4, 1.5])
def test_that_of_log_sum_exp_is_beta_times_the_largest_variance(beta: float) -> None:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(2, 3, 7, 5, generator=generator, dtype=torch.float64)
    energy = attenergy.make_energy("lse", dim=5, num_heads=3, beta=beta).double()
    problem, xi = pose(energy.requires_grad_(False), X, X, None, None, "auto")
    ended = iterate(problem, xi, tolerance=1e-12, max_steps=5000)
    places = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 6])
    points = ended.state[places[0], :, places[1]]
    posed, states = landscapes(problem, *places, points.unsqueeze(2))
    radius = spectral_radius(posed, states, generator, products=400)
    p = problem.weights(ended.state)[places[0], :, places[1]]
    stored = X[places[0]]
    spread = torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)
    exact = torch.linalg.eigvalsh(beta * stored.mT @ spread @ stored)[..., -1]
    assert radius is not None
    torch.testing.assert_close(radius.squeeze(-1), exact, rtol=1e-3, atol=1e-12)


def test_that_of_states_that_interact_is_of_all_of_them() -> None:
    # A quadratic energy: the update is linear, and its Jacobian is known.
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(1, 1, 4, 3, generator=generator, dtype=torch.float64)
    energy = attenergy.make_energy("graph_hopfield", dim=3, num_heads=1).double()
    problem, xi = pose(energy.requires_grad_(False), X, X, None, None, "eager")
    places = torch.tensor([0]), torch.tensor([0])
    posed, states = landscapes(problem, *places, xi.unsqueeze(1))
    radius = spectral_radius(posed, states, generator, products=400)
    assert radius is not None
    assert radius.shape == (1, 1)

    def step(flat: torch.Tensor) -> torch.Tensor:
        state = flat.reshape(xi.shape)
        return posed.moved(state, posed.direction(state)).flatten()

    jacobian = torch.autograd.functional.jacobian(step, states.flatten())
    exact = torch.linalg.eigvals(jacobian).abs().max()
    torch.testing.assert_close(radius[0, 0], exact, rtol=1e-2, atol=0)


def test_spins_have_none() -> None:
    X = torch.ones(1, 1, 2, 4)
    energy = attenergy.make_energy("classical_hopfield", dim=4, num_heads=1)
    problem, xi = pose(energy, X, X, None, None, "auto")
    assert spectral_radius(problem, xi, torch.Generator()) is None
