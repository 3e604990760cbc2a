"""Contrastive divergence against exact gradients of the likelihood of models that can be summed."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path

import pytest
import torch

from attenergy.attention import contrastive_divergence
from attenergy.attention.sampling.samplers import SAMPLERS, Target, sampler_for
from attenergy.energies import log_likelihood, make_energy
from attenergy.registry import EnergySpec, load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
DIM = 4


def make(name, dim=DIM, **settings):
    with float64():
        return make_energy(name, dim=dim, registry=REGISTRY, **settings)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gradients(loss, energy, X):
    """By X and by every parameter, in one vector."""
    leaves = [X, *energy.parameters()]
    parts = torch.autograd.grad(loss, leaves, allow_unused=True)
    return torch.cat([p.flatten() for p in parts if p is not None])


def contrast(energy, data, X, chains, **options):
    options = {"generator": generator(), **options}
    return contrastive_divergence(energy, data, X, chains=chains, **options)


def summed(energy, states, weights, data, X, temperature=None):
    """Exact mean of -log p over data, the states being all there are, each with its weight."""
    inverse = Target(energy, X, temperature=temperature).inverse_temperature()
    log_z = torch.logsumexp(-inverse * energy(states, X) + weights.log(), 0)
    return (inverse * energy(data, X)).mean() + log_z


def all_spins():
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=DIM))).double()


@pytest.mark.parametrize("name", ["binary_rbm", "biased_hopfield", "simplicial"])
def test_spins_learn_as_the_exact_gradient_says(name):
    energy, X = make(name), draw(3, DIM).requires_grad_()
    temperature = None if name == "binary_rbm" else 0.7
    states = all_spins()
    data = states[torch.randint(len(states), (50,), generator=generator(1))]
    want = gradients(
        summed(energy, states, torch.ones(len(states)).double(), data, X, temperature), energy, X
    )
    chains = states.repeat(600, 1)
    loss, after, turned = contrast(energy, data, X, chains, steps=12, temperature=temperature)
    got = gradients(loss, energy, X)
    torch.testing.assert_close(got, want, atol=0.05, rtol=0.05)
    assert after.shape == chains.shape
    assert 0 < turned < 1
    assert (after.abs() == 1).all()
    assert not after.requires_grad


@pytest.mark.parametrize("sampler", ["langevin", "exact", "metropolis"])
def test_a_mixture_learns_as_its_likelihood_says(sampler):
    energy, X = make("lse", 2, beta=1.5), (0.5 * draw(3, 2)).requires_grad_()
    data = 0.7 * draw(40, 2)
    want = gradients(-log_likelihood(energy, data, X).mean(), energy, X)
    chains = draw(10_000, 2)
    steps = {"langevin": 25, "exact": 1, "metropolis": 30}[sampler]
    loss, _, taken = contrast(energy, data, X, chains, steps=steps, sampler=sampler)
    torch.testing.assert_close(gradients(loss, energy, X), want, atol=0.06, rtol=0.05)
    assert taken > 0.4


def test_on_the_circle_an_integral_gives_the_gradient():
    energy, X = make("pure_polynomial", 2, beta=0.6, power=3), draw(4, 2).requires_grad_()
    angle = torch.arange(400).double() * (2 * math.pi / 400)
    states = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], -1)
    data = states[::57]
    weights = torch.ones(400).double()
    want = gradients(summed(energy, states, weights, data, X), energy, X)
    loss, after, _ = contrast(energy, data, X, states.repeat(50, 1), steps=25, step_size=1.0)
    torch.testing.assert_close(gradients(loss, energy, X), want, atol=0.1, rtol=0.05)
    torch.testing.assert_close(after.square().sum(-1), torch.full((20_000,), 2.0).double())


def test_states_that_interact_are_one_chain():
    """d log Z/d coupling of a Gaussian is D/2 tr((I - cK)^-1 K)/..., by autograd of logdet."""
    energy = make("gaussian_spins", 2, graph="ring", coupling=0.6)
    X = torch.zeros(1, 2).double().requires_grad_()
    data = draw(30, 3, 2)
    ring = (torch.ones(3, 3) - torch.eye(3)).double() / 2
    coupling = energy.values()["coupling"]
    form = torch.eye(3).double() - coupling * ring
    log_z = -torch.logdet(form)  # D/2 times -log det, D = 2, T = 1
    want = energy(data, X).mean() + log_z
    loss, _, taken = contrast(
        energy, data, X, draw(8000, 3, 2), steps=25, temperature=1.0, step_size=0.6
    )
    got = torch.autograd.grad(loss, energy.parameters_.raw["coupling"])[0]
    exact = torch.autograd.grad(want, energy.parameters_.raw["coupling"])[0]
    torch.testing.assert_close(got, exact, atol=0.05, rtol=0.05)
    assert 0.5 < taken < 1


WITH_SAMPLER = [
    name
    for name, spec in REGISTRY.energies.items()
    if name != "causal_tokens" and any(spec.domain in s.domains for s in SAMPLERS.values())
]


@pytest.mark.parametrize("name", WITH_SAMPLER)
def test_every_energy_with_a_sampler_takes_a_step(name):
    energy = make(name)
    X = draw(5, DIM).requires_grad_() if energy.reads_patterns else None
    data = (
        energy.project(draw(2, 3, DIM)) if energy.states_interact else energy.project(draw(6, DIM))
    )
    options = {
        "temperature": None if "beta" in energy.values() else 1.0,
        "step_size": None if energy.domain.discrete else 0.05,
    }
    loss, chains, _ = contrastive_divergence(energy, data, X, generator=generator(), **options)
    assert loss.isfinite()
    assert chains.shape == data.shape
    torch.testing.assert_close(energy.project(chains), chains)
    assert (chains != data).any()
    leaves = [p for p in (X, *energy.parameters()) if p is not None and p.requires_grad]
    parts = [g for g in torch.autograd.grad(loss, leaves, allow_unused=True) if g is not None]
    assert parts
    assert all(g.isfinite().all() for g in parts)
    again = contrastive_divergence(
        energy, data, X, chains=chains, generator=generator(1), **options
    )
    assert (again.chains != chains).any()


def test_the_others_say_so():
    for name, message in (
        ("potts", "no sampler is for the domain 'simplex'"),
        ("tap", "no sampler is for the domain 'magnetisation'"),
        ("causal_tokens", "no density of all states"),
    ):
        with pytest.raises(ValueError, match=message):
            sampler_for(make(name))


@pytest.mark.parametrize("name", ["binary_rbm", "lse", "exponential"])
def test_masks_hide_exactly(name):
    """Masked patterns equal deleted ones; a state that sees nothing counts in no mean."""
    energy, X = make(name, num_heads=2), draw(2, 6, DIM)
    data = energy.project(draw(3, 2, 4, DIM))
    shown = torch.tensor([1, 0, 1, 1, 0, 1]).bool()
    options = {"steps": 3, "sampler": None}
    hidden = contrastive_divergence(
        energy, data, X, mask=shown.expand(4, 6), generator=generator(), **options
    )
    less = contrastive_divergence(energy, data, X[:, shown], generator=generator(), **options)
    torch.testing.assert_close(hidden.loss, less.loss)
    torch.testing.assert_close(hidden.chains, less.chains)
    rows = shown.expand(4, 6).clone()
    rows[2] = False
    X = X.requires_grad_()
    blind = contrastive_divergence(energy, data, X, mask=rows, generator=generator(), **options)
    assert (blind.chains[:, :, 2] == data[:, :, 2]).all()
    assert torch.autograd.grad(blind.loss, X)[0][:, ~shown].count_nonzero() == 0
    others = [0, 1, 3]
    values = [energy(s[:, :, others], X[:, shown]) for s in (data, blind.chains)]
    inverse = Target(energy, X).inverse_temperature()
    want = (inverse * values[0]).mean() - (inverse * values[1]).mean()
    torch.testing.assert_close(blind.loss, want)


def test_a_chain_stays_where_it_should_be():
    """Chains that start in equilibrium stay there, at any step size: means over all 16 states."""
    energy, X = make("binary_rbm"), draw(3, DIM)
    states = all_spins()
    chance = torch.softmax(-Target(energy, X).inverse_temperature() * energy(states, X), 0)
    start = states[torch.multinomial(chance, 40_000, True, generator=generator())]
    rest = sampler_for(energy).run(Target(energy, X), start, 1, 1.0, generator(1))
    bits = ((rest.state + 1) / 2 @ 2.0 ** torch.arange(3, -1, -1).double()).long()
    shares = torch.bincount(bits, minlength=16) / 40_000
    torch.testing.assert_close(shares.double(), chance.detach(), atol=0.012, rtol=0)


SPHERE = EnergySpec(title="odd", formula="-sum_n((X @ xi)^3)", domain="sphere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "glober"}, r"no sampler 'glober' \(did you mean 'glauber'"),
        ({"sampler": "glauber"}, "'glauber' is not for the domain 'real'.*langevin, metropolis"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"step_size": -1.0}, "step_size must be above 0"),
        ({"X": None}, "reads stored patterns: give X"),
        ({"data": draw(3, 5)}, r"data must be floating point \(\.\.\., L, D\) with D = 4"),
        ({"chains": draw(3, 5)}, "chains must be floating point"),
        ({"sampler": "exact", "temperature": 2.0}, "takes no mask and no temperature"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_errors(change, message):
    given = {"energy": make("lse"), "data": draw(3, DIM), "X": draw(5, DIM)} | change
    with pytest.raises(ValueError, match=message):
        contrastive_divergence(**given)


def test_data_outside_the_domain_are_refused():
    with pytest.raises(ValueError, match=r"data must lie in the domain 'spin'.*energy\.project"):
        contrastive_divergence(make("binary_rbm"), 0.5 * all_spins(), draw(3, DIM))
    energy = make_energy(SPHERE, dim=4).double()
    data = energy.project(draw(3, 4))
    with pytest.raises(ValueError, match="has no parameter beta"):
        contrastive_divergence(energy, data, draw(5, 4))
    with pytest.raises(ValueError, match="no step_size"):
        contrastive_divergence(make("binary_rbm"), all_spins(), draw(3, DIM), step_size=0.1)


def test_the_example_learns_digits(capsys):
    pytest.importorskip("sklearn")
    path = Path(__file__).resolve().parents[3] / "examples" / "contrastive.py"
    likeness = runpy.run_path(str(path))["main"](updates=20)
    assert likeness > 0.75
    assert capsys.readouterr().out.count("#") > 50
