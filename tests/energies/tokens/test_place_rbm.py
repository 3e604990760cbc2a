"""The machine over places: tied token mixing, descent, lengths, padding, masks, models."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn.functional import mse_loss

import attenergy
from attenergy.attention import gradient, make_layer, relax
from attenergy.attention.models.transformer import Transformer
from attenergy.energies import make_energy
from attenergy.energies.tokens.places import check_places, first_places
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)


def make(dim=4, num_heads=None, **settings):
    with float64():
        return make_energy("place_rbm", dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@given(st.integers(0, 10**6), st.floats(0.01, 1.99), st.floats(0.1, 30.0))
@settings(max_examples=40, deadline=None)
def test_no_step_below_two_raises_the_energy(seed, size, scale):
    torch.manual_seed(seed)
    energy = make(hidden=5, length=7).requires_grad_(False)
    energy.couplings.mul_(scale)
    xi = scale * draw(3, 6, 4)
    states = [xi]
    for _ in range(4):
        states.append(relax(energy, states[-1], xi, steps=1, step_size=size).state)
    values = torch.stack([energy(state, state) for state in states])
    assert (values.diff(dim=0) <= 1e-9 * values.abs().max()).all()


def test_it_rests_where_states_are_what_the_hidden_units_make_of_them():
    energy = make(hidden=6, length=5).requires_grad_(False)
    xi = draw(5, 4)
    rest = relax(energy, xi, xi, steps=4000).state
    W = energy.couplings
    torch.testing.assert_close(rest, W.mT @ torch.tanh(W @ rest), rtol=1e-6, atol=1e-8)


def test_components_do_not_act_on_each_other_and_share_the_couplings():
    energy = make(length=6, num_heads=2)
    xi = draw(3, 2, 6, 4)
    other = xi.clone()
    other[..., 1] = xi[..., 0]
    slope = gradient(energy, other, other)
    torch.testing.assert_close(slope[..., 1], slope[..., 0])
    torch.testing.assert_close(slope[..., 2], gradient(energy, xi, xi)[..., 2])


@pytest.mark.parametrize("length", [1, 4, 9])
def test_shorter_sequences_take_the_first_places(length):
    energy = make(length=9)
    short = make(length=length)
    with torch.no_grad():
        short.couplings.copy_(energy.couplings[:, :length])
    xi = draw(2, length, 4)
    torch.testing.assert_close(energy(xi, xi), short(xi, xi))
    torch.testing.assert_close(gradient(energy, xi, xi), gradient(short, xi, xi))


def test_a_longer_sequence_is_refused():
    energy = make(length=3)
    with pytest.raises(ValueError, match="a sequence of 4 places is too long for couplings of 3"):
        energy(draw(4, 4), draw(4, 4))
    with pytest.raises(ValueError, match="5 places is too long for a mixer of 2"):
        check_places(5, 2, "a mixer")
    check_places(2, 2, "a mixer")
    places = torch.arange(6).view(2, 3)
    assert torch.equal(first_places(places, 1, 2), places[:, :2])


@given(st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_states_take_the_places_of_those_that_are_there(present, seed):
    """Wherever the padding stands, and whatever numbers it holds."""
    torch.manual_seed(seed)
    energy, there = make(length=8), torch.tensor(present)
    xi = draw(2, 6, 4)
    spoilt = torch.where(there[:, None], xi, torch.nan)
    mask = there[:, None] & there
    few = xi[:, there]
    torch.testing.assert_close(energy(spoilt, spoilt, mask=mask), energy(few, few))
    moved = relax(energy, spoilt, spoilt, mask=mask, steps=2).state
    torch.testing.assert_close(moved[:, there], relax(energy, few, few, steps=2).state)


def test_padding_is_taken_and_hidden_pairs_are_refused():
    with float64():
        layer = make_layer("place_rbm", embed_dim=8, num_heads=2, registry=REGISTRY, length=6)
    x = draw(2, 5, 8)
    padding = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None]
    got = layer(x, mask=padding)
    torch.testing.assert_close(got[1:, :3], layer(x[1:, :3]))
    pairs = torch.ones(5, 5).tril().bool()
    for mask in (pairs, pairs[None, None] & padding):
        with pytest.raises(ValueError, match=r"leave out whole states \(padding\), and hide none"):
            layer(x, mask=mask)
    multihead = attenergy.EnergyMultiheadAttention(
        8, 2, energy="place_rbm", registry=REGISTRY, batch_first=True
    ).double()
    with pytest.raises(ValueError, match="leave out whole states"):
        multihead(x, x, x, attn_mask=~pairs)


def test_a_model_gives_its_length_and_says_which_it_is_when_it_is_saved(tmp_path):
    model = Transformer(
        layers=["place_rbm"],
        size=5,
        length=11,
        outputs=3,
        width=16,
        heads=2,
        mlp=16,
        positions="none",
        kind="token",
    )
    (energy,) = [m for m in model.modules() if isinstance(m, attenergy.Energy)]
    assert energy.couplings.shape == (2, 64, 11)
    model.save_pretrained(tmp_path / "model")
    again = attenergy.load(tmp_path / "model", part="model")
    tokens = torch.randint(5, (2, 11))
    torch.testing.assert_close(again(tokens), model(tokens))


def test_it_learns_a_rule_of_places():
    """Each state is to say the product of the signs of two others, by their places alone."""
    torch.manual_seed(0)
    layer = make_layer("place_rbm", embed_dim=8, num_heads=2, registry=REGISTRY, length=4)
    read = torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *read.parameters()], lr=0.01)
    x = torch.randn(256, 4, 8)
    target = x[:, [1, 2, 3, 0], 0].sign() * x[:, [2, 3, 0, 1], 0].sign()
    losses = []
    for _ in range(150):
        loss = mse_loss(read(layer(x)).squeeze(-1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
