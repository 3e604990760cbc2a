"""Learned states that pool, and learned patterns that are looked up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.layers.outputs import LayerTrace
from attenergy.attention.layers.pooling import EnergyPooling
from attenergy.energies import domain_of, make_energy
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
READ = [n for n in NAMES if ENERGIES[n].reads_patterns]
STATES_ONLY = [n for n in NAMES if n not in READ]
#: Patterns that can be deleted without changing how the others are joined.
APART = [n for n in READ if not ENERGIES[n].patterns_interact]
B, L, S, E, H, Q, N = 2, 4, 5, 8, 2, 3, 6
D = E // H


def pool(energy="lse", **options):
    options = {"num_queries": Q, "registry": REGISTRY, **options}
    return EnergyPooling(E, H, energy, **options).double()


def lookup(energy="lse", **options):
    options = {"num_patterns": N, "registry": REGISTRY, **options}
    return EnergyLookup(E, H, energy, **options).double()


def split(y):
    return y.unflatten(-1, (H, D)).transpose(1, 2)


def test_pooling_by_log_sum_exp_is_multi_head_attention_of_learned_queries():
    layer, mha = pool(), nn.MultiheadAttention(E, H, batch_first=True).double()
    p = layer.attention.projections
    with torch.no_grad():
        mha.in_proj_weight.copy_(torch.cat([m.weight for m in (p.query, p.key, p.value)]))
    mha.out_proj.load_state_dict(p.out.state_dict())
    context, there = draw(B, S, E), torch.ones(B, S).bool()
    there[0, 3:] = False
    got = layer(context, mask=there[:, None, None, :], need_weights=True)
    queries = layer.queries.expand(B, Q, E)
    want = mha(queries, context, context, key_padding_mask=~there, average_attn_weights=False)
    torch.testing.assert_close(got, want)
    assert got[0].shape == (B, Q, E)
    assert got[1].shape == (B, H, Q, S)


@pytest.mark.parametrize("name", APART)
def test_pooling_ignores_the_order_and_what_is_hidden(name):
    layer, context = pool(name, steps=2), draw(B, S, E)
    out = layer(context)
    assert out.shape == (B, Q, E)
    torch.testing.assert_close(layer(context[:, torch.randperm(S)]), out)
    padded = torch.cat([context, 9 * draw(B, 2, E)], 1)
    mask = torch.arange(S + 2) < S
    torch.testing.assert_close(layer(padded, mask=mask), out)
    each = [layer(context[i : i + 1]) for i in range(B)]
    torch.testing.assert_close(torch.cat(each), out)


@pytest.mark.parametrize("kind", [pool, lookup])
@pytest.mark.parametrize("name", READ)
def test_every_parameter_is_trained(kind, name):
    spins = domain_of(REGISTRY.energies[name]).discrete
    # A single step of size 1 of `lsr` lands on the plain mean of what is in reach.
    layer = kind(name, steps=2, step_size=0.5 if name == "lsr" else None)
    layer(draw(B, 4, E)).square().sum().backward()
    for key, parameter in layer.named_parameters():
        trained = parameter.grad is not None and parameter.grad.abs().max() > 1e-9
        assert trained != (spins and ".out" not in key), key


def test_lookup_by_log_sum_exp_is_a_feed_forward_layer_with_softmax_units():
    layer, x = lookup(beta=0.7, value_dim=5), draw(B, L, E)
    p = layer.projections
    q = split(x @ p.query.weight.T + p.query.bias)
    hidden = (0.7 * q @ layer.patterns.mT).softmax(-1)
    assert layer.values.shape == (H, N, 5)
    want = p.out((hidden @ layer.values).transpose(1, 2).flatten(2))
    got, weights = layer(x, need_weights=True)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(weights, hidden)


def test_lookup_by_a_restricted_boltzmann_machine_has_sigmoid_units():
    layer, x = lookup("rbm", beta=0.7, c=0.2), draw(B, L, E)
    q = split(layer.projections.query(x))
    hidden = torch.sigmoid(0.7 * (q @ layer.patterns.mT + 0.2))
    want = layer.projections.merge(hidden @ layer.values)
    torch.testing.assert_close(layer(x), want)


def test_a_lookup_whose_state_is_read_has_no_values():
    layer, x = lookup(read="state", step_size=0.5), draw(B, L, E)
    assert layer.values is None
    xi, X = split(layer.projections.query(x)), layer.patterns
    want = 0.5 * xi + 0.5 * (xi @ X.mT / D**0.5).softmax(-1) @ X
    torch.testing.assert_close(layer(x), layer.projections.merge(want))


@pytest.mark.parametrize("name", APART)
def test_hidden_learned_patterns_are_as_good_as_deleted(name):
    layer, x = lookup(name, steps=2), draw(B, L, E)
    mask = torch.arange(N) < N - 2
    out = layer(x, mask=mask)
    short = lookup(name, steps=2, num_patterns=N - 2)
    state = layer.state_dict()
    for key in ("patterns", "values"):
        if key in state:
            state[key] = state[key][:, : N - 2]
    short.load_state_dict(state)
    torch.testing.assert_close(out, short(x))
    if not layer.energy.states_interact:
        torch.testing.assert_close(layer(x[:, :1], mask=mask), out[:, :1])


def test_learned_patterns_are_normalised_and_share_nothing():
    layer, x = lookup(normalize_patterns="layer_norm", normalize_states="l2"), draw(B, L, E)
    p = layer.projections
    q = nn.functional.normalize(split(p.query(x)), dim=-1)
    X = nn.functional.layer_norm(layer.patterns, (D,), eps=1e-6)
    want = nn.functional.scaled_dot_product_attention(
        q, X.expand(B, H, N, D), layer.values.expand(B, H, N, D)
    )
    torch.testing.assert_close(layer(x), p.merge(want), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [pool, lookup])
@pytest.mark.parametrize("name", ["lse", "graph_hopfield", "elliptical"])
def test_fields_weights_and_traces(kind, name):
    layer, x = kind(name, steps=2, learn_step_size="shared"), draw(B, 4, E)
    core = layer.attention if kind is pool else layer
    stored = (Q, 4) if kind is pool else (4, N)
    field = draw(H, *stored) if core.reads_field else None
    out = layer(x, field=field)
    traced = layer(x, field=field, trace=True)
    assert isinstance(traced, LayerTrace)
    torch.testing.assert_close(traced.out, out)
    assert traced.relaxation.states.shape == (core.moves + 1, B, H, stored[0], D)
    if core.energy.has_weights:
        same, weights = layer(x, field=field, need_weights=True)
        torch.testing.assert_close(same, out)
        assert weights.shape == (B, H, *stored)
    if field is not None:
        assert not torch.allclose(layer(x), out)


@pytest.mark.parametrize("name", STATES_ONLY)
def test_energies_of_the_states_alone_have_nothing_to_read(name):
    with pytest.raises(ValueError, match="is an energy of the states alone"):
        pool(name)
    with pytest.raises(ValueError, match="is an energy of the states alone"):
        lookup(name)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (pool, {"num_queries": 0}, "num_queries must be at least 1, got 0"),
        (pool, {"rotary": True}, "pooling takes no rotary"),
        (pool, {"betta": 1.0}, r"no argument 'betta' \(did you mean 'beta'\?\)"),
        (pool, {"num_heads_kv": 1}, r"did you mean 'num_kv_heads'\?"),
        (lookup, {"num_patterns": 0}, "num_patterns must be at least 1, got 0"),
        (lookup, {"rotary": True}, "takes no argument 'rotary'"),
        (lookup, {"num_kv_heads": 1}, "takes no argument 'num_kv_heads'"),
        (lookup, {"energy": "polynomial", "value_dim": 3}, "is for reading by weights"),
        (lookup, {"head_dim": 0}, "must be at least 1, got 0"),
    ],
)
def test_what_is_refused_at_making(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_what_is_refused_at_calling():
    with pytest.raises(ValueError, match=r"context must be \(B, S, C\) with last axis 8"):
        pool()(draw(B, S, 7))
    with pytest.raises(ValueError, match=r"cannot be broadcast to \(B, H, L, S\) = \(2, 2, 3, 5\)"):
        pool()(draw(B, S, E), mask=torch.ones(B, S).bool())
    with pytest.raises(ValueError, match=r"x must be \(B, L, E\) with last axis 8"):
        lookup()(draw(B, S, 7))
    with pytest.raises(ValueError, match=r"= \(2, 2, 5, 6\)"):
        lookup()(draw(B, S, E), mask=torch.ones(S, S).bool())
    with pytest.raises(ValueError, match="reads no field h"):
        lookup("learned")(draw(B, S, E), field=draw(S, N))


def test_pooling_of_keys_and_values_with_their_own_widths():
    layer = pool(context_dim=5, value_context_dim=3, num_kv_heads=1)
    context, source = draw(B, S, 5), draw(B, S, 3)
    out, weights = layer(context, value_context=source, need_weights=True)
    p = layer.attention.projections
    torch.testing.assert_close(out, p.merge(weights @ p.values(source)))


def test_lookup_is_shown():
    assert "num_patterns=6, steps=1" in repr(lookup())
