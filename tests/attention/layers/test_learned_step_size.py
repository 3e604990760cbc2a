"""Step sizes that are learned, and an energy for every step."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from attenergy.attention import EnergyAttention, relax
from attenergy.attention.modules.learned_step_size import LearnedStepSize, Vary
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
B, L, E, H, STEPS = 2, 4, 8, 2, 3
SHAPES = {
    "shared": (),
    "per_head": (H, 1, 1),
    "per_step": (STEPS,),
    "per_head_and_step": (STEPS, H, 1, 1),
}


def make(energy="lse", **options):
    options = {"read": "state", "steps": STEPS, "step_size": 0.8, **options}
    return EnergyAttention(E, H, energy, registry=REGISTRY, **options).double()


@pytest.mark.parametrize("vary", get_args(Vary))
@pytest.mark.parametrize("name", ["lse", "polynomial", "tap", "graph_hopfield"])
def test_a_learned_step_size_starts_as_the_given_one(vary, name):
    layer, x = make(name, learn_step_size=vary), draw(B, L, E)
    fixed = make(name)
    missing = fixed.load_state_dict(layer.state_dict(), strict=False)
    assert missing.unexpected_keys == ["learned_step_size.raw"]
    torch.testing.assert_close(layer(x), fixed(x), rtol=1e-6, atol=1e-6)
    layer(x).square().sum().backward()
    grad = layer.learned_step_size.raw.grad
    assert grad.shape == SHAPES[vary]
    assert (grad != 0).all()


@pytest.mark.parametrize("solver", ["descent", "coordinate_descent", "semi_implicit"])
def test_each_head_and_step_uses_its_own(solver):
    name = "graph_hopfield" if solver == "semi_implicit" else "lse"
    layer, x = make(name, learn_step_size="per_head_and_step", solver=solver), draw(B, L, E)
    with torch.no_grad():
        layer.learned_step_size.raw.normal_()
    gamma = 2 / (1 + (-layer.learned_step_size.raw).exp())
    assert ((gamma > 0) & (gamma < 2)).all()
    p = layer.projections
    xi, X = p.queries(x), p.keys(x)
    for step in range(STEPS):
        xi = relax(layer.energy, xi, X, step_size=gamma[step], solver=solver).state
    torch.testing.assert_close(layer(x), p.merge(xi))


def test_reading_by_weights_moves_once_less():
    layer = make(read="weights", learn_step_size="per_step")
    assert layer.moves == STEPS - 1
    assert layer.learned_step_size.raw.shape == (STEPS - 1,)
    layer(draw(B, L, E)).sum().backward()
    assert (layer.learned_step_size.raw.grad != 0).all()
    with pytest.raises(ValueError, match="take more steps, or read the state"):
        make(read="weights", steps=1, learn_step_size="shared")


@pytest.mark.parametrize(
    ("bound", "start", "first"),
    [(2.0, 0.5, 0.5), (2.0, 2.0, 1.98), (1.0, 1.0, 0.99), (None, 7.0, 7.0), (torch.inf, 9.0, 9.0)],
)
def test_the_range_is_never_left(bound, start, first):
    module = LearnedStepSize(start, bound, vary="shared", steps=1, num_heads=1).double()
    torch.testing.assert_close(module().item(), first, rtol=1e-6, atol=0)
    with torch.no_grad():
        module.raw.fill_(30.0)
    assert module() <= (bound or torch.inf)
    with torch.no_grad():
        module.raw.fill_(-30.0)
    assert module() > 0
    assert f"bound={module.bound}" in repr(module)


def test_no_learned_step_raises_the_energy():
    """Whatever the optimiser does to it, at large beta."""
    layer = make(learn_step_size="per_head_and_step", beta=20.0)
    with torch.no_grad():
        layer.learned_step_size.raw.normal_(std=5.0)
    energies = layer(draw(B, L, E), trace=True).relaxation.energies
    assert (energies.diff(dim=0) <= 1e-12).all()


def test_a_step_size_learns():
    """The best single step on one pattern is gamma = 1, which lands on it."""
    layer = make(steps=1, step_size=0.3, learn_step_size="shared")
    optimizer = torch.optim.Adam(layer.learned_step_size.parameters(), lr=0.1)
    pattern, x = draw(1, 1, H, 1, E // H), draw(B, H, L, E // H)
    for _ in range(150):
        optimizer.zero_grad()
        read = layer.attend(x, pattern[0, 0].expand(B, H, 1, -1), None).read
        (read - pattern[0, 0]).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(layer.learned_step_size().item(), 1.0, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn_step_size": "per_layer"}, r"no learn_step_size 'per_layer'"),
        ({"learn_step_size": "per_steps"}, r"did you mean 'per_step'\?"),
        ({"learn_step_size": "shared", "step_size": 2.5}, r"stays in \(0, 2\).*start at 2.5"),
        ({"learn_step_size": "shared", "solver": "fixed_point"}, "learn_step_size means nothing"),
        ({"energy_per_step": True, "solver": "fixed_point"}, "energy_per_step means nothing"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("read", ["weights", "state"])
@pytest.mark.parametrize("vary", [None, "per_step"])
def test_an_energy_for_every_step_written_out(read, vary):
    """A beta per step, as in annealing."""
    layer, x = make(read=read, energy_per_step=True, learn_step_size=vary), draw(B, L, E)
    betas = [0.5, 2.0, 4.0]
    energies = [*layer.earlier, layer.energy]
    with torch.no_grad():
        for energy, beta in zip(energies, betas, strict=True):
            energy.parameters_.raw["beta"].fill_(torch.tensor(beta).log())
    p = layer.projections
    xi, X = p.queries(x), p.keys(x)
    for beta in betas[: layer.moves]:
        xi = 0.2 * xi + 0.8 * (beta * xi @ X.mT).softmax(-1) @ X
    want = (betas[-1] * xi @ X.mT).softmax(-1) @ p.values(x) if read == "weights" else xi
    torch.testing.assert_close(layer(x), p.merge(want), rtol=1e-6, atol=1e-6)
    layer(x).square().sum().backward()
    assert all((p.grad != 0).all() for energy in energies for p in energy.parameters())


@pytest.mark.parametrize("read", ["weights", "state"])
@pytest.mark.parametrize("vary", ["per_step", "per_head_and_step"])
def test_every_step_has_its_own_size_and_its_own_energy(read, vary):
    layer, x = make(read=read, energy_per_step=True, learn_step_size=vary), draw(B, L, E)
    betas, logits = [0.5, 2.0, 4.0], torch.tensor([-1.0, 0.2, 1.3]).double()[: layer.moves]
    raw = layer.learned_step_size.raw
    heads = torch.tensor([0.0, 0.7]).double().view(H, 1, 1) if "head" in vary else 0.0
    with torch.no_grad():
        raw.copy_(logits.view(-1, *(1,) * (raw.ndim - 1)) + heads)
        for energy, beta in zip([*layer.earlier, layer.energy], betas, strict=True):
            energy.parameters_.raw["beta"].fill_(torch.tensor(beta).log())
    p = layer.projections
    xi, X = p.queries(x), p.keys(x)
    for beta, logit in zip(betas, logits, strict=False):
        gamma = 2 * (logit + heads).sigmoid()
        xi = (1 - gamma) * xi + gamma * (beta * xi @ X.mT).softmax(-1) @ X
    want = (betas[-1] * xi @ X.mT).softmax(-1) @ p.values(x) if read == "weights" else xi
    torch.testing.assert_close(layer(x), p.merge(want), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["lse", "graph_hopfield", "elliptical"])
def test_energies_of_all_steps_start_alike_and_join_their_traces(name):
    layer, x = make(name, energy_per_step=True), draw(B, L, E)
    single = make(name)
    single.load_state_dict(layer.state_dict(), strict=False)
    torch.testing.assert_close(layer(x), single(x))
    mine, theirs = layer(x, trace=True).relaxation, single(x, trace=True).relaxation
    for trace in ("energies", "residuals", "states", "entropies"):
        torch.testing.assert_close(getattr(mine, trace), getattr(theirs, trace))
    assert not mine.guarantee


def test_a_single_read_step_has_a_single_energy():
    layer = make(read="weights", steps=1, energy_per_step=True)
    assert len(layer.earlier) == 0
    assert layer(draw(B, L, E)).shape == (B, L, E)
