"""Langevin chains against distributions that are known."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.attention import langevin, relax
from attenergy.energies import log_likelihood, make_energy
from attenergy.registry import EnergySpec, load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)


def lse(dim=2, num_heads=None, beta=2.0):
    with float64():
        return make_energy("lse", dim=dim, num_heads=num_heads, beta=beta, registry=REGISTRY)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_uncorrected_steps_have_their_known_variance():
    """One pattern: xi - x shrinks by 1 - eta and gains noise of variance 2 eta T."""
    X, eta, count = torch.tensor([[1.0, -2.0]], dtype=torch.float64), 0.5, 40_000
    start = torch.zeros(count, 2, dtype=torch.float64)
    draws = langevin(lse(), start, X, steps=60, step_size=eta, generator=source()).state
    variance = 0.5 / (1 - eta / 2)
    assert ((draws.mean(0) - X[0]).abs() < 4 * math.sqrt(variance / count)).all()
    assert ((draws.var(0) - variance).abs() < 4 * variance * math.sqrt(2 / count)).all()


@pytest.mark.long
def test_corrected_steps_draw_from_the_mixture():
    X = torch.tensor([[1.0, 0.0], [-0.5, 0.8], [0.2, -1.0]], dtype=torch.float64)
    energy, count = lse(), 40_000
    axis = torch.linspace(-6, 6, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    mass = log_likelihood(energy, points, X).exp() * (axis[1] - axis[0]) ** 2
    start = torch.zeros(count, 2, dtype=torch.float64)
    chain = langevin(energy, start, X, steps=40, step_size=0.6, metropolis=True, generator=source())
    assert 0.5 < chain.acceptance.mean() < 0.99
    for power in (1, 2):
        want = (points**power * mass[:, None]).sum(0)
        error = (points ** (2 * power) * mass[:, None]).sum(0).sqrt() / math.sqrt(count)
        assert ((chain.state**power).mean(0) - want).abs().le(4 * error).all()


def test_states_that_interact_are_one_chain():
    """Two states on one edge, one pattern at 0: a Gaussian of precision (I + 2 coupling Lap)/T."""
    with float64():
        energy = make_energy(
            "graph_hopfield", dim=1, beta=1e-3, coupling=0.7, graph="complete", registry=REGISTRY
        )
    X = torch.zeros(1, 1, dtype=torch.float64)
    start = torch.zeros(20_000, 2, 1, dtype=torch.float64)
    laplacian = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    want = 0.3 * torch.linalg.inv(torch.eye(2) + 2 * 0.7 * laplacian)
    chain = langevin(
        energy,
        start,
        X,
        steps=40,
        step_size=0.3,
        temperature=0.3,
        metropolis=True,
        generator=source(),
    )
    assert chain.acceptance.shape == (20_000,)
    torch.testing.assert_close(torch.cov(chain.state[..., 0].mT), want, rtol=0, atol=0.012)


def test_heads_masks_and_trajectory():
    energy = lse(num_heads=2)
    xi, X = torch.randn(3, 2, 4, 2).double(), torch.randn(3, 2, 5, 2).double()
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[1] = False
    chain = langevin(
        energy,
        xi,
        X,
        steps=3,
        step_size=0.1,
        mask=mask,
        metropolis=True,
        generator=source(),
        trajectory=True,
    )
    assert chain.trajectory.shape == (3, 3, 2, 4, 2)
    assert chain.acceptance.shape == (3, 2, 4)
    assert torch.equal(chain.trajectory[-1], chain.state)
    assert torch.equal(chain.state[:, :, 1], xi[:, :, 1])
    again = langevin(energy, xi, X, steps=0, step_size=0.1, trajectory=True)
    assert torch.equal(again.state, xi)
    assert again.trajectory.shape == (0, 3, 2, 4, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("polynomial", {}, "are for real states, .* has sphere"),
        ("lse", {"steps": -1}, "steps must be a whole number from 0, got -1"),
        ("lse", {"step_size": 0.0}, "step_size must be above 0, got 0.0"),
        ("lse", {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
    ],
)
def test_errors(name, options, message):
    energy = make_energy(name, dim=2, registry=REGISTRY)
    with pytest.raises(ValueError, match=message):
        langevin(
            energy,
            torch.randn(3, 2),
            torch.randn(4, 2),
            **{"steps": 1, "step_size": 0.1, **options},
        )


def test_a_temperature_is_needed_where_there_is_no_beta():
    spec = EnergySpec(title="plain", formula="0.5*|xi|^2 - lse(X @ xi)")
    with pytest.raises(ValueError, match="'plain' has no parameter beta"):
        langevin(
            make_energy(spec, dim=2), torch.randn(3, 2), torch.randn(4, 2), steps=1, step_size=0.1
        )


# The same as a solver of `relax`.


def chains(seed=0):
    generator = torch.Generator().manual_seed(seed)
    xi = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator)
    return xi, torch.randn(3, 5, 2, dtype=torch.float64, generator=generator), generator


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_relax_with_noise_takes_the_same_steps(temperature):
    energy, (xi, X, _) = lse(), chains()
    mask = torch.ones(3, 4, 5, dtype=torch.bool)
    mask[:, 1] = False
    options = {"steps": 7, "step_size": 0.05, "temperature": temperature, "mask": mask}
    want = langevin(energy, xi, X, generator=torch.Generator().manual_seed(5), **options).state
    result = relax(
        energy, xi, X, solver="langevin", generator=torch.Generator().manual_seed(5), **options
    )
    assert torch.equal(result.state, want)
    assert torch.equal(result.state[:, 1], xi[:, 1])
    assert result.energies is None


def test_relax_with_noise_draws_from_the_density():
    """One pattern at 0: E = |xi|^2/2, so the variance is T/(1 - eta/2)."""
    energy = lse(dim=1)
    zero = torch.zeros(20_000, 1, dtype=torch.float64)
    draws = relax(
        energy, zero, zero[:1], solver="langevin", steps=60, step_size=0.2, temperature=0.7,
        generator=torch.Generator().manual_seed(1),
    ).state  # fmt: skip
    # The standard error of a variance from 20 000 draws is 1 %.
    assert float(draws.var()) == pytest.approx(0.7 / 0.9, rel=0.04)
    assert float(draws.mean()) == pytest.approx(0.0, abs=0.03)


def test_without_warmth_the_noise_vanishes():
    energy, (xi, X, generator) = lse(), chains(1)
    options = {"steps": 5, "step_size": 0.3}
    cold = relax(
        energy, xi, X, solver="langevin", temperature=1e-24, generator=generator, **options
    )
    torch.testing.assert_close(cold.state, relax(energy, xi, X, **options).state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trace": True}, "solver 'langevin' takes no trace"),
        ({"field": torch.zeros(4, 5)}, "solver 'langevin' takes no field"),
        ({"step_size": torch.tensor(0.1)}, "takes one number as step_size, got a tensor"),
        ({"backend": "eager"}, "takes no backend but 'auto', got 'eager'"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"solver": "descent", "temperature": 1.0}, "are for 'langevin', the solver is 'descent'"),
        (
            {"solver": "coordinate_descent", "generator": torch.Generator()},
            "the solver is 'coordinate_descent'",
        ),
    ],
)
def test_relax_refuses_what_does_not_go_with_the_solver(options, message):
    xi, X, _ = chains()
    with pytest.raises(ValueError, match=message):
        relax(lse(), xi, X, **{"solver": "langevin", **options})
