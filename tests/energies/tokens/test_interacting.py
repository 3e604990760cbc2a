"""Energies of tokens alone: exclusion, descent, causality, layers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from attenergy.analysis import curl
from attenergy.attention import gradient, make_layer, relax
from attenergy.energies import DOMAINS, make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
JOINT = ["energy_transformer", "energy_transformer_block", "hyper_set"]
TOKENS = [*JOINT, "causal_tokens"]

every = pytest.mark.parametrize("name", TOKENS)


def make(name, dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_layer_norm_domain():
    domain, xi = DOMAINS["layer_norm"], draw(3, 5)
    inside = domain.from_real(xi)
    torch.testing.assert_close(inside, functional.layer_norm(xi, (5,), eps=1e-16))
    torch.testing.assert_close(domain.project(inside), inside)
    want = functional.layer_norm(inside - 0.3, (5,), eps=1e-16)
    torch.testing.assert_close(domain.retract(inside, torch.tensor(0.3).double()), want)
    assert torch.equal(domain.from_real(torch.zeros(2, 5)), torch.zeros(2, 5))


@every
@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_temperatures_are_finite(name, beta, dtype):
    energy = make(name, beta=beta).to(dtype)
    xi = energy.from_real(draw(2, 5, 4)).to(dtype).requires_grad_()
    state = relax(energy, xi, xi, steps=2).state
    (slope,) = torch.autograd.grad(state.square().sum() + energy(xi, xi).sum(), xi)
    assert torch.isfinite(state).all()
    assert torch.isfinite(slope).all()


def test_a_token_alone_has_no_attention_energy_and_stays():
    energy = make("energy_transformer")
    xi = energy.from_real(draw(2, 1, 4))
    assert not energy(xi, xi).any()
    assert not gradient(energy, xi, xi).any()
    torch.testing.assert_close(relax(energy, xi, xi, steps=3).state, xi)


@pytest.mark.parametrize("name", JOINT)
def test_the_energy_of_a_batch_is_a_sum_so_steps_do_not_shrink_with_it(name):
    energy = make(name)
    xi = energy.from_real(draw(3, 5, 4))
    together = gradient(energy, xi, xi)
    alone = torch.stack([gradient(energy, one, one) for one in xi])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_a_hidden_pair_does_not_count_as_a_score_of_zero():
    """Scores times the mask would leave exp(0) in the sum; the state of tokens would feel it."""
    energy = make("energy_transformer", beta=0.7)
    xi = energy.from_real(draw(3, 4))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]]).bool()
    scores = 0.7 * xi @ xi.mT
    rows = [scores[0, 1], scores[1, [0, 2]].logsumexp(0), scores[2, :2].logsumexp(0)]
    torch.testing.assert_close(energy(xi, xi, mask=mask), -torch.stack(rows).sum() / 0.7)


@pytest.mark.parametrize("name", JOINT)
def test_the_joint_energy_descends_by_small_steps_of_all_tokens_at_once(name):
    energy = make(name, num_heads=2)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    xi = energy.from_real(draw(3, 2, 6, 4))
    path = relax(energy, xi, xi, steps=40, step_size=0.02, trace=True).energies
    assert (path.diff(dim=0) <= 1e-9).all()
    assert (path[-1] < path[0] - 0.01).all()


def test_moving_all_tokens_at_once_by_large_steps_may_raise_what_moving_in_turn_lowers():
    """Maps of opposite sign: tokens flee from each other, and all jump to the same side at once."""
    energy = make("energy_transformer", beta=1.0)
    with torch.no_grad():
        energy.parameters_.raw["W_K"].neg_()
    xi = energy.from_real(draw(200, 6, 4))
    at_once = relax(energy, xi, xi, steps=20, step_size=10.0, trace=True).energies
    in_turn = relax(
        energy, xi, xi, steps=4, step_size=10.0, solver="coordinate_descent", trace=True
    )
    assert (at_once.diff(dim=0) > 0.1).any()
    assert (in_turn.energies.diff(dim=0) < 1e-9).all()
    assert energy.largest_step_size() == float("inf")


def test_tokens_that_see_themselves_have_no_guarantee():
    energy = make("energy_transformer", self_excluded=0)
    xi = energy.from_real(draw(3, 4))
    beta = 0.5
    want = -torch.logsumexp(beta * xi @ xi.mT, -1).sum() / beta
    torch.testing.assert_close(energy(xi, xi), want)
    assert energy.largest_step_size() is None


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("energy_transformer", {"self_excluded": 2}, "from 0 to 1, got 2"),
        ("energy_transformer_block", {"memories": 0}, "'memories' must be a whole number from 1"),
        ("hyper_set", {"seed": -1}, "'seed' must be a whole number from 0"),
        ("hyper_set", {"memory": 3}, "did you mean 'memories'"),
    ],
)
def test_wrong_options_are_refused(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(name, **wrong)


@every
def test_masks_are_of_the_tokens(name):
    energy, xi = make(name), draw(4, 4)
    with pytest.raises(ValueError, match="mask must be broadcastable"):
        energy(xi, xi, mask=torch.ones(4, 6).bool())
    for shape in [(), (1,), (4,), (4, 1), (4, 4)]:
        mask = torch.rand(shape) < 0.6
        full = energy(xi, xi, mask=mask.expand(4, 4))
        torch.testing.assert_close(energy(xi, xi, mask=mask), full)


@every
def test_layers_train_and_take_no_context(name):
    layer = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY, steps=2)
    x, target = torch.randn(4, 6, 8), torch.randn(4, 6, 8)
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = functional.mse_loss(layer(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())
    with pytest.raises(ValueError, match="states alone"):
        layer(x, torch.randn(4, 3, 8))


@every
def test_padding_acts_on_nothing(name):
    layer = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY).double()
    x = draw(1, 6, 8)
    mask = torch.tensor([1, 1, 1, 1, 0, 0]).bool()
    torch.testing.assert_close(layer(x, mask=mask)[:, :4], layer(x[:, :4]))


@pytest.mark.parametrize("name", JOINT)
def test_a_joint_energy_cannot_be_causal(name):
    layer = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY)
    with pytest.raises(ValueError, match="cannot be causal"):
        layer(torch.randn(1, 3, 8), is_causal=True)


@pytest.mark.parametrize("is_causal", [False, True])
def test_later_tokens_never_act_on_earlier_ones(is_causal):
    layer = make_layer("causal_tokens", embed_dim=8, num_heads=2, registry=REGISTRY, steps=3)
    x = torch.randn(2, 6, 8)
    before = layer(x, is_causal=is_causal)
    x[:, 4:] += torch.randn(2, 2, 8)
    after = layer(x, is_causal=is_causal)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


def test_the_causal_game_has_no_joint_energy():
    """With the others held fixed each token's field is a gradient; all together it has curl."""
    energy, xi = make("causal_tokens"), make("causal_tokens").from_real(draw(1, 4, 4))
    assert curl(lambda state: gradient(energy, state, xi), xi) < 1e-12
    assert curl(lambda state: gradient(energy, state, state), xi) > 0.05


def test_the_causal_game_reads_a_copy_of_its_states():
    energy = make("causal_tokens")
    with pytest.raises(ValueError, match="a copy of the 3 states, got 4 rows"):
        energy(draw(3, 4), draw(4, 4))
