"""Partition functions, likelihoods, samples and fits against quadrature and autograd."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from attenergy.energies import fit, log_likelihood, log_partition, make_energy, mixture, sample
from attenergy.energies.density.expectation_maximization import tied_lengths
from attenergy.registry import EnergySpec, load_registry
from attenergy.testing.cases import float64

BETA = {"beta": {"init": 1.3, "constraint": "positive"}}
LSE = "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta"
KERNEL = "-lse(-0.5*beta*sqdist(X, xi) + h)/beta"
RELU = "-log(sum_n(relu(1 - 0.5*beta*sqdist(X, xi))))/beta"
GAUSSIANS = {
    LSE: "length",
    KERNEL: "equal",
    "-lse(-beta*sqdist(X, xi))/beta + 3": "equal",
    "0.5*|xi|^2 - lse(2*X @ xi)/2": "length",
    "1.2*|xi|^2 - 1.5*lse(1.7*X @ xi - 0.3*|X|^2)": "other",
}


def make(formula, dim=2):
    parameters = BETA if "beta" in formula else {}
    data = {"title": "test", "formula": formula, "parameters": parameters}
    with float64(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # log 0 outside every ball
        return make_energy(EnergySpec.model_validate(data), dim=dim)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def grid(steps=901, end=9.0):
    axis = torch.linspace(-end, end, steps, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), 2 * torch.log(axis[1] - axis[0])


@pytest.mark.parametrize("formula", [*GAUSSIANS, RELU])
def test_the_partition_function_is_the_integral(formula):
    energy, X = make(formula), 0.5 * draw(5, 2)
    points, log_cell = grid(901 if formula == RELU else 301)
    density = mixture(energy, X)
    numeric = torch.logsumexp(-density.beta * energy(points, X), 0) + log_cell
    # A density with a kink is integrated less well by the grid.
    tolerance = 1e-4 if formula == RELU else 1e-10
    torch.testing.assert_close(log_partition(energy, X), numeric, rtol=0, atol=tolerance)
    want = -density.beta * energy(points, X) - log_partition(energy, X)
    torch.testing.assert_close(log_likelihood(energy, points, X), want, rtol=1e-9, atol=1e-9)
    assert density.weighting == GAUSSIANS.get(formula, "equal")


def test_log_sum_exp_by_its_known_formula():
    energy, X, beta = make(LSE, 7), draw(4, 7), 1.3
    want = 3.5 * math.log(2 * math.pi / beta) + torch.logsumexp(beta / 2 * (X * X).sum(-1), 0)
    torch.testing.assert_close(log_partition(energy, X), want)


def test_the_registered_entry_and_one_pattern():
    with float64():
        energy = make_energy("lse", dim=3, beta=0.4, registry=load_registry(plugins=False))
    X, states = draw(1, 3), draw(6, 3)
    want = torch.distributions.Normal(X, 1 / math.sqrt(0.4)).log_prob(states).sum(-1)
    torch.testing.assert_close(log_likelihood(energy, states, X), want)


@pytest.mark.parametrize("formula", [LSE, RELU])
def test_samples_have_the_moments_of_the_density(formula):
    energy, X, count = make(formula), 0.8 * draw(4, 2), 40_000
    generator = torch.Generator().manual_seed(3)
    samples = sample(energy, X, count, generator=generator)
    points, log_cell = grid(601, 7.0)
    mass = (log_likelihood(energy, points, X) + log_cell).exp()
    for power in (1, 2):
        mean = (points**power * mass[:, None]).sum(0)
        error = (points ** (2 * power) * mass[:, None]).sum(0).sqrt() / math.sqrt(count)
        assert ((samples**power).mean(0) - mean).abs().le(4 * error).all()
    assert log_likelihood(energy, samples, X).isfinite().all()
    assert sample(energy, X, 0).shape == (0, 2)


def test_the_gradient_of_the_likelihood_has_two_terms():
    """Sum of r_in y_i minus M w_n x_n, times beta, is autograd's."""
    energy, data, beta = make(LSE, 3), 2 * draw(50, 3), 1.3
    X = draw(4, 3).requires_grad_()
    (got,) = torch.autograd.grad(log_likelihood(energy, data, X).sum(), X)
    pull = torch.softmax(beta * data @ X.mT, -1).mT @ data
    weight = torch.softmax(beta / 2 * (X * X).sum(-1), 0)
    torch.testing.assert_close(got, beta * (pull - len(data) * weight[:, None] * X))


@pytest.mark.long
@pytest.mark.parametrize("formula", [LSE, KERNEL])
def test_a_fit_never_lowers_the_likelihood_and_ends_where_it_is_flat(formula):
    energy, truth = make(formula, 3), 1.5 * draw(3, 3)
    data = sample(energy, truth, 300, generator=torch.Generator().manual_seed(1))
    fitted = fit(energy, data, data[:3], steps=800, tolerance=1e-14)
    assert (fitted.log_likelihoods.diff() > -1e-12).all()
    X = fitted.patterns.clone().requires_grad_()
    value = log_likelihood(energy, data, X).mean()
    (slope,) = torch.autograd.grad(value, X)
    assert slope.abs().max() < 1e-4
    assert value > log_likelihood(energy, data, truth).mean()
    torch.testing.assert_close(value.detach(), fitted.log_likelihoods[-1])


def test_one_pattern_fits_the_mean():
    """With N = 1 log-sum-exp is one Gaussian: its maximum is the mean of the data, in one step."""
    energy, data = make(LSE, 3), draw(20, 3) + 2
    fitted = fit(energy, data, draw(1, 3), steps=1)
    torch.testing.assert_close(fitted.patterns, data.mean(0, keepdim=True))


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 30.0])
def test_lengths_solve_their_equation(size):
    pull = size * draw(6).abs()
    pull[0] = 0.0
    t = tied_lengths(pull)
    log_z = torch.logsumexp(0.5 * t**2, 0)
    torch.testing.assert_close(t * torch.exp(0.5 * t**2 - log_z), pull, rtol=1e-9, atol=1e-15)


def test_errors():
    registry = load_registry(plugins=False)
    with pytest.raises(ValueError, match=r"no closed form .* 'RBM free energy.*use langevin"):
        log_partition(make_energy("rbm", dim=3, registry=registry), torch.randn(4, 3))
    with pytest.raises(ValueError, match="no closed form"):
        mixture(make_energy("lse", dim=3, num_heads=2, registry=registry), torch.randn(4, 3))
    energy, X = make(LSE), draw(4, 2)
    with pytest.raises(ValueError, match=r"patterns must be \(N, D\) with D = 2, got \(4, 3\)"):
        log_partition(energy, draw(4, 3))
    with pytest.raises(ValueError, match=r"states must be \(\.\.\., D\) with D = 2, got \(5, 3\)"):
        log_likelihood(energy, draw(5, 3), X)
    with pytest.raises(ValueError, match="count must be a whole number from 0, got -1"):
        sample(energy, X, -1)
    with pytest.raises(ValueError, match=r"data must be \(M, D\) with M at least 1"):
        fit(energy, draw(0, 2), X)
    with pytest.raises(ValueError, match="cannot be fitted in closed form"):
        fit(make("0.7*|xi|^2 - 2*lse(1.7*X @ xi - 0.3*|X|^2)"), draw(9, 2), X)
