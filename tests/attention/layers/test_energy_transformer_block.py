"""The block in which all tokens descend one energy: equations, descent, masks."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import layer_norm

from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
ATTENTIONS = ["energy_transformer", "energy_transformer_block", "hyper_set"]


def make(attention="energy_transformer", memory="et_memory", **options):
    sizes = {"embed_dim": 8, "num_heads": 2, "memories": 5, "steps": 3} | options
    with float64():
        block = EnergyTransformerBlock(
            attention=attention, memory=memory, registry=REGISTRY, **sizes
        )
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return block


def by_hand(block, g):
    """The joint energy of one sample g (L, E), by loops."""
    values = block.attention.values()
    total = torch.zeros(()).double()
    for h in range(2):
        beta = values["beta"][h].squeeze()
        keys, queries = g @ values["W_K"][h].T, g @ values["W_Q"][h].T
        for c in range(len(g)):
            others = [beta * keys[b] @ queries[c] for b in range(len(g)) if b != c]
            total = total - torch.stack(others).logsumexp(0) / beta
    for c in range(len(g)):
        for pattern in block.patterns:
            total = total - 0.5 * torch.relu(pattern @ g[c]) ** 2
    return total


def test_equals_its_equations():
    block, x = make(step_size=0.3), draw(2, 4, 8)
    with torch.no_grad():
        path = block(x, trace=True)
    for sample in range(2):
        now = x[sample]
        for step in range(3):
            g = block.log_gain.exp() * layer_norm(now, (8,)) + block.shift
            g = g.detach().requires_grad_()
            value = by_hand(block, g)
            (slope,) = torch.autograd.grad(value, g)
            torch.testing.assert_close(path.energies[step, sample], value.detach())
            torch.testing.assert_close(path.residuals[step, sample], slope.norm(dim=-1))
            now = now - 0.3 * slope
        torch.testing.assert_close(path.state[sample], now)
    torch.testing.assert_close(block(x), path.state)


def test_heads_have_keys_and_queries_of_their_own():
    block = make(embed_dim=12, num_heads=3, head_dim=2)
    raw = block.attention.parameters_.raw
    assert raw["W_K"].shape == raw["W_Q"].shape == (3, 2, 12)
    beta = EnergyTransformerBlock(12, 3, head_dim=9, registry=REGISTRY).attention.values()["beta"]
    torch.testing.assert_close(beta, torch.full((3, 1, 1), 1 / 3))
    wide = EnergyTransformerBlock(12, 3, beta=2.0, registry=REGISTRY).attention.values()["beta"]
    torch.testing.assert_close(wide, torch.full((3, 1, 1), 2.0))


@pytest.mark.long
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**31),
    attention=st.sampled_from(ATTENTIONS),
    memory=st.sampled_from(["et_memory", "lse"]),
    step_size=st.floats(0.01, 0.1),
    hidden=st.floats(0.0, 0.7),
    scale=st.floats(0.1, 3.0),
)
def test_the_joint_energy_never_rises(seed, attention, memory, step_size, hidden, scale):
    torch.manual_seed(seed)
    block = make(attention, memory, step_size=step_size, steps=8)
    x, mask = scale * draw(2, 5, 8), torch.rand(2, 1, 5, 5) >= hidden
    for seen in (None, mask, mask[:, 0, 0]):
        with torch.no_grad():
            energies = block(x, mask=seen, trace=True).energies
        assert energies.shape == (9, 2)
        assert (energies.diff(dim=0) <= 1e-9 * (1 + energies[:-1].abs())).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), step_size=st.floats(0.01, 100.0))
def test_a_concave_energy_descends_at_any_step_size(seed, step_size):
    """A token alone has no attention energy, and its memory's is concave."""
    torch.manual_seed(seed)
    block = make(step_size=step_size, steps=10)
    with torch.no_grad():
        energies = block(draw(3, 1, 8), trace=True).energies
    assert (energies.diff(dim=0) <= 1e-9 * (1 + energies[:-1].abs())).all()
    felt = energies[0] < 0  # a token that no memory draws stays where it is
    assert (energies[-1] < energies[0])[felt].all()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_equals_leaving_out(attention):
    block, x = make(attention), draw(3, 6, 8)
    padding = torch.arange(6) < torch.tensor([[6], [4], [2]])
    path = block(x, mask=padding, trace=True)
    for sample, length in ((0, 6), (1, 4), (2, 2)):
        alone = block(x[sample : sample + 1, :length], trace=True)
        torch.testing.assert_close(path.state[sample, :length], alone.state[0])
        torch.testing.assert_close(path.energies[:, sample], alone.energies[:, 0])
        assert torch.equal(path.state[sample, length:], x[sample, length:])
    changed = torch.where(padding.unsqueeze(-1), x, 50.0 * x)
    torch.testing.assert_close(block(changed, mask=padding)[padding], path.state[padding])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_padding_mask_has_one_meaning_in_every_shape(attention):
    block, x = make(attention), draw(2, 5, 8)
    there = torch.tensor([[True, True, False, True, False], [True, True, True, True, False]])
    other = torch.where(there.unsqueeze(-1), x, draw(2, 5, 8))
    want = block(x, mask=there, trace=True)
    field = draw(2, 2, 5, 5) if block.attention.reads_field else None
    with_field = block(x, mask=there, field=field)
    rows = there[:, None, None, :]
    for mask in (
        there,
        rows,
        rows.expand(2, 2, 1, 5),
        rows.expand(2, 1, 5, 5),
        rows[:, 0] & there[..., None],
    ):
        for inputs in (x, other):
            path = block(inputs, mask=mask, trace=True)
            torch.testing.assert_close(path.state[there], want.state[there])
            torch.testing.assert_close(path.energies, want.energies)
            assert torch.equal(path.state[~there], inputs[~there])
            again = block(inputs, mask=mask, field=field)
            torch.testing.assert_close(again[there], with_field[there])


def test_groups_that_do_not_see_each_other_are_two_samples():
    block, x = make(), draw(1, 6, 8)
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    pairs = (group[:, None] == group)[None, None]
    torch.testing.assert_close(block(x, mask=pairs), block(x.view(2, 3, 8)).view(1, 6, 8))


def test_a_field_draws_tokens_to_each_other():
    block, x = make(), draw(1, 4, 8)
    assert torch.equal(block(x, field=torch.zeros(1, 1, 4, 4).double()), block(x))
    field = draw(1, 2, 4, 4)
    assert not torch.allclose(block(x, field=field), block(x))
    with torch.no_grad():
        energies = block(x, field=field, trace=True).energies
    assert (energies.diff(dim=0) <= 0).all()


def test_samples_and_order_do_not_matter():
    block, x = make(), draw(3, 5, 8)
    out = block(x)
    torch.testing.assert_close(block(x.flip(0)), out.flip(0))
    torch.testing.assert_close(block(x.flip(1)), out.flip(1))
    torch.testing.assert_close(block(x[:1]), out[:1])


def test_it_trains():
    block, x = make(), draw(1, 3, 8).requires_grad_()
    assert torch.autograd.gradcheck(block, (x,))
    block(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())
    with torch.inference_mode():
        torch.testing.assert_close(copy.deepcopy(block)(x), block(x))
    other = make()
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(x), block(x))


def test_it_compiles_whole():
    block, x = make(), draw(2, 4, 8)
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), block(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "lse"}, "no joint energy of tokens alone; 'energy_transformer'"),
        ({"attention": "causal_tokens"}, "no joint energy of tokens alone"),
        ({"attention": "softmax"}, "is a mixer and has no energy"),
        ({"attention": "energy_transformr"}, "energy_transformer"),
        ({"memory": "energy_transformer"}, "no energy of one token and stored patterns"),
        ({"memory": "classical_hopfield"}, "no energy of one token and stored patterns"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"step_size": 0.0}, r"step_size must be above 0, got 0\.0"),
        ({"memories": 0}, "memories must be at least 1, got 0"),
        ({"num_heads": 3}, r"embed_dim \(8\) is not a multiple of num_heads \(3\)"),
        ({"betta": 1.0}, "did you mean 'beta'"),
    ],
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match=r"last axis 8, got shape \(2, 3, 7\)"):
        make()(draw(2, 3, 7))
    with pytest.raises(ValueError, match=r"mask must be boolean.*torch.float64"):
        make()(draw(2, 3, 8), mask=draw(2, 3))
