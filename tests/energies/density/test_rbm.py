"""The restricted Boltzmann machine against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from attenergy.energies import RestrictedBoltzmann, make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64


def machine(visible, dim=3, hidden=2, beta=0.9):
    with float64():
        rbm = RestrictedBoltzmann(dim, hidden, visible=visible, beta=beta, scale=1.0)
        for bias in (rbm.visible_bias, rbm.hidden_bias):
            torch.nn.init.normal_(bias)
    return rbm


def binary(size):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=size)), dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_binary_units_summed_over_all_states():
    rbm, v, s = machine("binary", 4, 3), binary(4), binary(3)
    joint = v @ rbm.visible_bias[:, None] + s @ rbm.hidden_bias + v @ rbm.weights.mT @ s.mT
    summed = torch.logsumexp(0.9 * joint, 1)
    torch.testing.assert_close(-0.9 * rbm(v), summed)
    torch.testing.assert_close(rbm.log_partition(), torch.logsumexp(summed, 0))
    torch.testing.assert_close(rbm.log_likelihood(v).exp().sum().item(), 1.0)


def test_gaussian_units_integrate_to_one():
    rbm = machine("gaussian", 2, 3)
    axis = torch.linspace(-14, 14, 701, dtype=torch.float64)
    density = rbm.log_likelihood(torch.cartesian_prod(axis, axis)).detach().exp()
    assert abs(float(density.sum() * (axis[1] - axis[0]) ** 2) - 1) < 1e-10


def test_gaussian_units_are_the_registered_energy():
    with float64():
        energy = make_energy("rbm", dim=3, beta=0.9, c=0.4, registry=load_registry(plugins=False))
    rbm = machine("gaussian")
    torch.nn.init.zeros_(rbm.visible_bias)
    torch.nn.init.constant_(rbm.hidden_bias, 0.4)
    v = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(rbm(v), energy(v, rbm.weights))


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_gibbs_steps_keep_the_distribution(visible):
    """Chains drawn from p(v) by enumeration stay there, and chains from elsewhere get there."""
    rbm, count = machine(visible), 40_000
    s = binary(2)
    pull = s @ rbm.weights
    if visible == "gaussian":
        moment = 0.9 * (pull @ rbm.visible_bias + 0.5 * (pull * pull).sum(-1))
        mean = pull + rbm.visible_bias
    else:
        moment = torch.nn.functional.softplus(0.9 * (pull + rbm.visible_bias)).sum(-1)
        mean = torch.sigmoid(0.9 * (pull + rbm.visible_bias))
    weight = torch.softmax(0.9 * s @ rbm.hidden_bias + moment, 0)
    want = weight @ mean
    chains = rbm.block_gibbs(torch.zeros(count, 3).double(), steps=60, generator=generator())
    error = chains.std(0) / math.sqrt(count)
    assert ((chains.mean(0) - want).abs() < 4 * error).all()
    if visible == "binary":
        shares = rbm.log_likelihood(binary(3)).exp()
        codes = (chains @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long()
        counted = torch.bincount(codes, minlength=8) / count
        assert ((counted - shares).abs() < 4 * (shares / count).sqrt()).all()


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("persistent", [False, True])
def test_long_contrast_has_the_gradient_of_the_likelihood(visible, persistent):
    rbm, count = machine(visible), 40_000
    data = rbm.block_gibbs(torch.zeros(30, 3).double(), steps=3, generator=generator(1))
    data = (data + 1).clamp(0, 1).round() if visible == "binary" else data + 1
    parameters = list(rbm.parameters())
    want = torch.autograd.grad(-rbm.log_likelihood(data).mean(), parameters)
    many = data.repeat(count // len(data), 1)
    chains = torch.zeros(count, 3).double() if persistent else None
    loss, end = rbm.contrastive_divergence(many, steps=60, chains=chains, generator=generator())
    got = torch.autograd.grad(loss, parameters)
    for mine, exact in zip(got, want, strict=True):
        torch.testing.assert_close(mine, exact, rtol=0, atol=0.03)
    flat, line = (torch.cat([g.flatten() for g in gs]) for gs in (got, want))
    assert torch.cosine_similarity(flat, line, 0) > 0.999
    assert end.shape[1] == 3
    assert not end.requires_grad


def test_training_finds_the_data():
    """One step of contrast, a few hundred times, on two bars: most of the mass lies on them."""
    with float64():
        rbm = RestrictedBoltzmann(4, 3, visible="binary", scale=0.1, generator=generator())
    data = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.float64).repeat(50, 1)
    optimizer = torch.optim.Adam(rbm.parameters(), 0.05)
    source = generator(2)
    for _ in range(300):
        optimizer.zero_grad()
        rbm.contrastive_divergence(data, generator=source)[0].backward()
        optimizer.step()
    assert rbm.log_likelihood(data[:2]).exp().sum() > 0.8


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RestrictedBoltzmann(3, 2, visible="gausian"), r"did you mean 'gaussian'\?"),
        (lambda: RestrictedBoltzmann(0, 2), "dim and hidden must be at least 1"),
        (lambda: RestrictedBoltzmann(3, 0), "dim and hidden must be at least 1"),
        (lambda: RestrictedBoltzmann(3, 2, beta=0.0), "beta above 0"),
        (lambda: RestrictedBoltzmann(3, 2, beta=-0.5), "beta above 0"),
        (lambda: RestrictedBoltzmann(3, 2, beta=math.inf), "beta above 0"),
        (lambda: RestrictedBoltzmann(3, 2, beta=math.nan), "beta above 0"),
        (lambda: RestrictedBoltzmann(3, 2, scale=-0.5), "scale from 0"),
        (lambda: RestrictedBoltzmann(3, 2, scale=math.inf), "scale from 0"),
        (lambda: RestrictedBoltzmann(3, 21).log_partition(), "N at most 20, got 21"),
        (lambda: machine("binary")(torch.zeros(2, 4)), r"visible states must be \(\.\.\., 3\)"),
        (lambda: machine("binary").block_gibbs(torch.zeros(3), steps=-1), "from 0, got -1"),
        (
            lambda: machine("binary").contrastive_divergence(torch.zeros(3), steps=0),
            "from 1, got 0",
        ),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
