"""Spin energies where laws and known answers do not look: extremes, inference, responses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from attenergy.attention import EnergyAttention, attention_weights, gradient, relax
from attenergy.energies import make_energy
from attenergy.energies.graphs import couplings
from attenergy.energies.graphs.transfer_matrix import chain_log_sum, chain_means
from attenergy.energies.spins.bessel import bessel_ratio, large_dimension_response
from attenergy.energies.spins.ising import patterns_with_couplings, spin_entropy
from attenergy.registry import load_registry
from attenergy.testing import LAWS, check_law
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)
NAMES = ("ising_mean_field", "tap", "vector_spins", "gaussian_spins", "potts", "boltzmann")
HAVE_BETA = tuple(name for name in NAMES if name != "gaussian_spins")


def make(name, dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


@pytest.mark.parametrize("name", HAVE_BETA)
@pytest.mark.parametrize("beta", [1e-3, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_temperatures_are_finite(name, beta, dtype):
    energy = make(name, beta=beta).to(dtype)
    xi, X = energy.from_real(draw(1, 2, 3, 4).to(dtype)), draw(2, 2, 5, 4).to(dtype)
    state = relax(energy, xi, X.requires_grad_(), steps=3).state
    assert state.isfinite().all()
    assert energy(state, X).isfinite().all()
    assert torch.autograd.grad(state.float().square().sum(), X)[0].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_one_state_and_one_pattern(name):
    energy = make(name)
    xi, X = energy.from_real(draw(3, 1, 4)), draw(4, 1, 4)
    assert energy(xi, X).isfinite().all()
    assert relax(energy, xi, X, steps=2).state.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_layers(name):
    layer = EnergyAttention(8, 2, name, registry=REGISTRY)
    out = layer(torch.randn(2, 6, 8), torch.randn(2, 7, 8))
    assert out.shape == (2, 6, 8)
    assert out.isfinite().all()


# Spins.


def test_patterns_encode_any_couplings():
    J = draw(5, 7, 7)
    J = J + J.mT
    X = patterns_with_couplings(J)
    off = ~torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close((X.mT @ X / 7)[off], J[off])
    assert torch.linalg.matrix_rank(X) == 7


def test_learned_couplings_start_at_zero_and_are_symmetric_without_diagonal():
    energy = make("ising_mean_field", num_heads=2, couplings="learned")
    assert energy.raw_couplings.shape == (2, 4, 4)
    J = energy.fixed_couplings(draw(6, 1))
    assert not J.any()
    torch.nn.init.normal_(energy.raw_couplings)
    J = energy.fixed_couplings(draw(6, 1))
    assert torch.equal(J, J.mT)
    assert not J.diagonal(dim1=-2, dim2=-1).any()
    assert "raw_couplings" not in dict(make("tap").named_parameters())


@pytest.mark.long
def test_graph_couplings_join_the_components():
    """Stationary points obey m = tanh(beta (Jm + mean pattern)) with J a normalised ring."""
    energy = make("ising_mean_field", 6, couplings="antiferromagnetic", graph="ring", beta=1.5)
    X = draw(7, 3, 6)
    m = relax(energy, torch.tanh(draw(8, 1, 6)), X, steps=200, solver="coordinate_descent").state[0]
    neighbours = torch.stack([m.roll(1), m.roll(-1)]).sum(0)
    torch.testing.assert_close(m, torch.tanh(1.5 * (-0.5 * neighbours + X.mean(0))))


def test_the_entropy_of_a_spin():
    m = torch.tensor([-1.0, 0.0, 0.5, 1.0]).double().requires_grad_()
    entropy = spin_entropy(m)
    wanted = [0.0, math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), 0.0]
    torch.testing.assert_close(entropy, torch.tensor(wanted).double(), atol=1e-6, rtol=0)
    slope = torch.autograd.grad(entropy[2], m)[0][2]
    assert slope.item() == pytest.approx(-math.atanh(0.5), abs=1e-12)


@pytest.mark.long
def test_tap_needs_damping():
    """At low temperature full steps of a spin glass jump for ever, small ones come to rest."""
    upper = draw(21, 10, 10).triu(1) / math.sqrt(10)
    X = patterns_with_couplings(upper + upper.mT)
    field = 10 * torch.linalg.solve(X.mT, 0.3 * draw(22, 10)).unsqueeze(0)
    energy = make("tap", 10, beta=0.9)
    last = {}
    for gamma in (1.0, 0.2):
        state = relax(
            energy, torch.zeros(1, 10).double(), X, field=field, steps=300, step_size=gamma
        ).state
        last[gamma] = gradient(energy, state, X, field=field).abs().max().item()
    assert last[1.0] > 1.0
    assert last[0.2] < 1e-9


# Response of a spin.


def test_three_components_are_langevin():
    kappa = torch.logspace(-1, 3, 50, dtype=torch.float64)
    torch.testing.assert_close(
        bessel_ratio(kappa, 3), 1 / torch.tanh(kappa) - 1 / kappa, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(bessel_ratio(kappa, 1), torch.tanh(kappa), rtol=1e-12, atol=0)
    wanted = torch.special.i1e(kappa) / torch.special.i0e(kappa)
    torch.testing.assert_close(bessel_ratio(kappa, 2), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dim", [1, 2, 5, 16, 64, 300])
def test_the_mean_spin_by_quadrature(dim):
    """A_D is the mean of cos t under exp(kappa cos t) sin^(D-2) t, D > 1."""
    kappa = torch.tensor([0.01, 1.0, 20.0, 200.0], dtype=torch.float64)
    ratio = bessel_ratio(kappa, dim)
    if dim == 1:
        wanted = torch.tanh(kappa)
    else:
        nodes, weights = np.polynomial.legendre.leggauss(400)
        t = torch.from_numpy(0.5 * math.pi * (nodes + 1))
        log = kappa[:, None] * t.cos() + (dim - 2) * torch.log(t.sin())
        share = torch.softmax(log + torch.log(torch.from_numpy(weights)), -1)
        wanted = share @ t.cos()
    torch.testing.assert_close(ratio, wanted, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dim", [2, 3, 16, 64])
def test_derivatives_of_the_response(dim):
    kappa = torch.tensor([0.2, 3.0, 50.0], dtype=torch.float64, requires_grad=True)
    ratio = bessel_ratio(kappa, dim)
    slope = torch.autograd.grad(ratio.sum(), kappa)[0]
    torch.testing.assert_close(slope, (1 - ratio**2 - (dim - 1) * ratio / kappa).detach())
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    at_zero = torch.autograd.grad(bessel_ratio(zero, dim).sum(), zero)[0]
    assert at_zero.item() == pytest.approx(1 / dim, abs=1e-14)
    assert torch.autograd.gradgradcheck(lambda k: bessel_ratio(k, dim), kappa, fast_mode=True)


@pytest.mark.parametrize(("dim", "percent"), [(16, 12.4), (64, 2.75), (512, 0.332)])
def test_the_large_dimension_form_is_off_at_small_dimensions(dim, percent):
    """Measured at kappa = R^2/2."""
    kappa = torch.tensor(0.5 * (0.5 * dim - 1), dtype=torch.float64)
    excess = large_dimension_response(kappa, dim) / bessel_ratio(kappa, dim) - 1
    assert 100 * excess.item() == pytest.approx(percent, rel=0.01)


def test_responses_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 1 component, got 0"):
        bessel_ratio(torch.ones(1), 0)
    with pytest.raises(ValueError, match="cannot be below 0"):
        bessel_ratio(-torch.ones(1), 3)
    with pytest.raises(ValueError, match="at least 3 components, got 2"):
        large_dimension_response(torch.ones(1), 2)


# Hidden units.


#: Four laws take seconds; the fast run checks them on the other spins.
SLOW = [pytest.param(law, marks=pytest.mark.slow) if law[0] in "4689" else law for law in LAWS]


@pytest.mark.parametrize("law", SLOW)
def test_exact_inference_keeps_the_laws(law):
    """It is no default and not searched, since it refuses more than 12 patterns."""
    spec = REGISTRY.energies["boltzmann"]
    exact = spec.options["inference"].model_copy(update={"default": "exact", "search": None})
    changed = {"options": {**spec.options, "inference": exact}, "known_answers": ()}
    result = check_law(law, spec.model_copy(update=changed))
    assert result.passed or (result.passed is None and law.startswith("3")), str(result)


def test_inference_by_name():
    with pytest.raises(ValueError, match=r"no inference 'means_field' \(did you mean 'mean_field'"):
        make("boltzmann", inference="means_field")
    energy = make("boltzmann", inference="exact")
    with pytest.raises(ValueError, match="at most S = 12, got 13; take inference"):
        energy(draw(9, 2, 4), draw(10, 13, 4))
    with pytest.raises(ValueError, match="has the chain as its graph"):
        make("boltzmann", inference="chain").use_graph(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="'iterations' must be a whole number from 1, got 0"):
        make("boltzmann", iterations=0)


def test_exact_inference_of_twelve_patterns_is_the_chain():
    xi, X = draw(11, 3, 4), draw(12, 12, 4)
    left = make("boltzmann", inference="exact", graph="chain", coupling=0.7)
    right = make("boltzmann", inference="chain", coupling=0.7)
    torch.testing.assert_close(left(xi, X), right(xi, X), rtol=1e-12, atol=1e-12)


def test_a_long_chain_kept_as_a_list():
    """The means of 600 coupled units are the derivatives of the log-sum."""
    energy = make("boltzmann", inference="chain", couplings="plus_minus", coupling=0.5)
    xi, X = draw(13, 2, 4), draw(14, 600, 4)
    assert isinstance(energy.couplings_of_patterns(X, None), couplings.EdgeList)
    slow, fast = (gradient(energy, xi, X, backend=b) for b in ("eager", "scores"))
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)


def test_a_chain_without_links_is_independent_units():
    drive = draw(15, 3, 6)
    links = torch.zeros(1, 5).double()
    torch.testing.assert_close(chain_means(drive, links), torch.sigmoid(drive))
    torch.testing.assert_close(chain_log_sum(drive, links), torch.log(1 + torch.exp(drive)).sum(-1))


def test_neighbours_call_or_rule_out_each_other():
    """One pattern is strongly on; its neighbour's weight rises or falls with the sign."""
    X = 4.0 * torch.eye(4, dtype=torch.float64)[:3]
    xi = X[:1]
    weights = {}
    for kind in ("ferromagnetic", "antiferromagnetic"):
        energy = make("boltzmann", graph="chain", couplings=kind, coupling=0.5, c=-2.0, beta=1.0)
        weights[kind] = attention_weights(energy, xi, X)[0, 1].item()
    alone = 1 / (1 + math.exp(2.0))
    assert weights["antiferromagnetic"] < alone < weights["ferromagnetic"]


@pytest.mark.parametrize("inference", ["mean_field", "tap"])
def test_the_means_solve_their_equation_at_the_end_of_the_search_range(inference):
    spec = REGISTRY.energies["boltzmann"].parameters["coupling"]
    energy = make("boltzmann", inference=inference, coupling=spec.search.high, graph="ring")
    xi, X = draw(16, 5, 4), draw(17, 9, 4)
    eager, scores = (gradient(energy, xi, X, backend=b) for b in ("eager", "scores"))
    torch.testing.assert_close(scores, eager, rtol=1e-5, atol=1e-5)
