"""EnergyAttention against PyTorch's attention and against its parts written out."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import EnergyAttention, make_layer, relax
from attenergy.attention.gradients.sdpa import CPU_PATTERNS
from attenergy.energies import domain_of, make_energy
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
#: Energies of the states alone; those that give every state a number of its own; those of spins.
STATES_ONLY = [n for n in NAMES if not ENERGIES[n].reads_patterns]
APART = [n for n in NAMES if not ENERGIES[n].states_interact]
SPINS = [n for n in NAMES if domain_of(REGISTRY.energies[n]).discrete]
B, L, S, E, H = 2, 5, 4, 8, 2
D = E // H


def make(energy="lse", **options):
    layer = EnergyAttention(E, H, energy, registry=REGISTRY, **options).double()
    for bias in (m.bias for m in layer.projections.children() if m.bias is not None):
        nn.init.normal_(bias, std=0.3)
    return layer


def padding(length=L):
    mask = torch.ones(B, 1, 1, length, dtype=torch.bool)
    mask[0, ..., -1] = mask[1, ..., :2] = False
    return mask


def as_multihead(layer):
    """`nn.MultiheadAttention` with the weights of a log-sum-exp layer."""
    mha, p = nn.MultiheadAttention(E, H, batch_first=True), layer.projections
    with torch.no_grad():
        mha.in_proj_weight.copy_(torch.cat([m.weight for m in (p.query, p.key, p.value)]))
        mha.in_proj_bias.copy_(torch.cat([m.bias for m in (p.query, p.key, p.value)]))
    mha.out_proj.load_state_dict(p.out.state_dict())
    return mha


@pytest.mark.parametrize("backend", ["auto", "scores", "sdpa"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("crossed", [False, True])
def test_one_step_of_log_sum_exp_is_multi_head_attention(backend, causal, padded, crossed):
    """In float32 to 1e-6, values and gradients."""
    layer = make(backend=backend).float()
    mha, stored = as_multihead(layer), S if crossed else L
    x = torch.randn(B, L, E, requires_grad=True)
    context = torch.randn(B, S, E, requires_grad=True) if crossed else x
    mask = padding(stored) if padded else None
    if padded and causal:
        mask = mask | torch.eye(L, stored).bool()  # a row that sees nothing is NaN there
    got = layer(x, context if crossed else None, mask=mask, is_causal=causal)
    hidden = torch.zeros(B, 1, L, stored, dtype=torch.bool) if mask is None else ~mask
    if causal:
        hidden = hidden | torch.ones(L, stored).bool().triu(1)
    hidden = hidden.expand(B, H, L, stored).flatten(0, 1)
    want, _ = mha(x, context, context, attn_mask=hidden, need_weights=False)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    weight = torch.randn(B, L, E)
    inputs = [x, context] if crossed else [x]
    mine = torch.autograd.grad((got * weight).sum(), inputs)
    theirs = torch.autograd.grad((want * weight).sum(), inputs)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=5e-6)


def test_weights_of_log_sum_exp_are_those_of_multi_head_attention():
    layer, x = make(), draw(B, L, E)
    _, got = layer(x, mask=padding(), need_weights=True)
    _, want = as_multihead(layer).double()(
        x, x, x, key_padding_mask=~padding()[:, 0, 0], average_attn_weights=False
    )
    torch.testing.assert_close(got, want)


def by_hand(layer, x, context=None, field=None, mask=None):
    """The layer's docstring, step by step, for energies that are read by weights."""
    context, p = x if context is None else context, layer.projections

    def heads(y):
        return y.unflatten(-1, (H, -1)).transpose(1, 2)

    xi, X, values = heads(p.query(x)), heads(p.key(context)), heads(p.value(context))
    for _ in range(layer.steps - 1):
        energy = lambda s: layer.energy(s, X, mask=mask, field=field).sum()  # noqa: E731
        xi = xi - layer.step_size * torch.func.grad(energy)(xi) / layer.energy.quadratic()
    weights = layer.energy.weights(xi, X, mask, field)
    return p.out((weights @ values).transpose(1, 2).flatten(2)), weights


@pytest.mark.parametrize("name", ["lse", "rbm", "graph_memory"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("crossed", [False, True])
def test_reading_by_weights(name, steps, crossed):
    layer, x = make(name, steps=steps, step_size=0.8), draw(B, L, E)
    context = draw(B, S, E) if crossed else None
    field = draw(H, L, S if crossed else L)
    want, weights = by_hand(layer, x, context, field)
    got = layer(x, context, field=field, need_weights=True)
    torch.testing.assert_close(got[0], want)
    torch.testing.assert_close(got[1], weights)
    torch.testing.assert_close(layer(x, context, field=field), want)


@pytest.mark.parametrize("name", NAMES)
def test_reading_the_state(name):
    layer, x = make(name, read="state", steps=2), draw(B, L, E)
    context, p = None if name in STATES_ONLY else draw(B, S, E), layer.projections
    assert not hasattr(p, "value")
    assert hasattr(p, "key") == (context is not None)
    xi = layer.energy.from_real(p.query(x).unflatten(-1, (H, D)).transpose(1, 2))
    X = xi if context is None else p.key(context).unflatten(-1, (H, D)).transpose(1, 2)
    state = relax(layer.energy, xi, X, steps=2, step_size=layer.step_size, backend="eager").state
    torch.testing.assert_close(layer(x, context), p.out(state.transpose(1, 2).flatten(2)))
    if not layer.energy.has_weights:
        with pytest.raises(ValueError, match="defines no weights over patterns"):
            layer(x, context, need_weights=True)
        return
    out, weights = layer(x, context, need_weights=True)
    assert weights.shape == (B, H, L, S)
    torch.testing.assert_close(out, layer(x, context))


def test_sizes_of_heads_values_and_context():
    layer = make(head_dim=3, value_dim=7, context_dim=6, bias=False)
    shapes = {n: tuple(m.weight.shape) for n, m in layer.projections.named_children()}
    assert shapes == {"query": (6, 8), "key": (6, 6), "value": (14, 6), "out": (8, 14)}
    assert all(m.bias is None for m in layer.projections.children())
    out, weights = layer(draw(B, L, E), draw(B, S, 6), need_weights=True)
    assert out.shape == (B, L, E)
    assert weights.shape == (B, H, L, S)
    assert torch.allclose(layer.energy.values()["beta"], torch.tensor(3**-0.5).double())
    with pytest.raises(ValueError, match="give `context`"):
        layer(draw(B, L, E))


@pytest.mark.parametrize("name", NAMES)
def test_masks_of_every_broadcast_shape(name, named):
    layer, x = make(name), draw(B, L, E)
    pairs = [(B, H, L, L)] if layer.energy.hides_pairs else []
    for shape in ((), (L,), (1, L), (L, 1), (B, 1, 1, L), (1, H, 1, 1), *pairs):
        mask = torch.rand(shape) < 0.7
        with named(shape):
            torch.testing.assert_close(layer(x, mask=mask), layer(x, mask=mask.expand(B, H, L, L)))


@pytest.mark.parametrize("name", NAMES)
def test_padded_states_do_not_touch_the_others(name):
    """Whatever stands at padded places, and whether they are there at all."""
    layer, x, mask = make(name, steps=2), draw(1, L, E), torch.ones(1, 1, 1, L).bool()
    mask[..., 3:] = False
    out = layer(x, mask=mask)[:, :3]
    changed = x.clone()
    changed[:, 3:] = 50 * draw(1, 2, E)
    torch.testing.assert_close(layer(changed, mask=mask)[:, :3], out)
    if name in APART and not layer.energy.patterns_interact:
        torch.testing.assert_close(layer(x[:, :3]), out)
    x.requires_grad_()
    (grad,) = torch.autograd.grad(layer(x, mask=mask)[:, :3].square().sum(), x)
    assert (grad[:, 3:] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_see_nothing(name):
    """They read nothing by weights; otherwise their state stays."""
    layer, x = make(name, steps=2), draw(B, L, E).requires_grad_()
    mask = torch.ones(B, 1, L, L, dtype=torch.bool)
    mask[0, :, 1] = False
    mask[1] = False
    out, p = layer(x, mask=mask), layer.projections
    still = p.out(layer.energy.from_real(p.query(x).unflatten(-1, (H, D))).flatten(-2))
    want = p.out.bias.expand(L, E) if layer.read == "weights" else still[1]
    torch.testing.assert_close(out[1], want)
    torch.testing.assert_close(out[0, 1], want[1] if layer.read == "weights" else still[0, 1])
    if layer.energy.has_weights:
        same, weights = layer(x, mask=mask, need_weights=True)
        torch.testing.assert_close(same, out)
        assert (weights[1] == 0).all()
    grads = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()], allow_unused=True)
    assert all(g.isfinite().all() for g in grads if g is not None)


@pytest.mark.parametrize("name", APART)
def test_causal_layers_do_not_see_the_future(name):
    layer, x = make(name, steps=2), draw(B, L, E).requires_grad_()
    out = layer(x, is_causal=True)
    for i in range(L):
        (grad,) = torch.autograd.grad(out[:, i].square().sum(), x, retain_graph=True)
        assert (grad[:, i + 1 :] == 0).all()
        assert (grad[:, i] != 0).any() == (name not in SPINS)
        later = torch.cat([x[:, : i + 1], 3 * draw(B, L - i - 1, E)], 1)
        torch.testing.assert_close(layer(later, is_causal=True)[:, : i + 1], out[:, : i + 1])


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_independent(name):
    layer, x = make(name, steps=2), draw(3, L, E)
    out = layer(x)
    torch.testing.assert_close(torch.cat([layer(x[i : i + 1]) for i in range(3)]), out)


def test_dropout_hides_the_same_pairs_from_all_heads_and_samples():
    layer, x = make(dropout=0.5), draw(B, L, E)
    exact, weights = layer.eval()(x, need_weights=True)
    keep = (torch.rand(1, 1, L, L) < 0.5).double()
    layer.train()
    layer.keep_mask = lambda *_: keep
    values = layer.projections.values(x)
    want = (2 * keep * weights @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x), layer.projections.out(want))
    assert not torch.allclose(layer(x), exact)
    torch.testing.assert_close(layer.eval()(x), exact)


@pytest.mark.long
def test_dropout_keeps_the_mean():
    layer, x = make(dropout=0.3, steps=2), draw(1, 3, E)
    with torch.no_grad():
        mean = torch.stack([layer(x) for _ in range(4000)]).mean(0)
        torch.testing.assert_close(mean, layer.eval()(x), rtol=0, atol=0.05)
    pairs = torch.stack([layer.keep_mask(4, 5, x.device) for _ in range(4000)]).double()
    assert pairs.shape == (4000, 1, 1, 4, 5)
    torch.testing.assert_close(
        pairs.mean(0), torch.full((1, 1, 4, 5), 0.7).double(), rtol=0, atol=0.05
    )


def test_dropout_does_nothing_where_the_state_is_read():
    layer, x = make("polynomial", dropout=0.9), draw(B, L, E)
    assert torch.equal(layer.train()(x), layer.eval()(x))


@pytest.mark.parametrize("length", [4, CPU_PATTERNS])
def test_the_fused_kernel_changes_nothing(length):
    slow, x = make(backend="scores", steps=2), draw(1, length, E)
    fast, auto = (copy.deepcopy(slow) for _ in range(2))
    fast.backend, auto.backend = "sdpa", "auto"
    mask = torch.rand(1, 1, length, length) < 0.7
    want = slow(x, mask=mask)
    torch.testing.assert_close(fast(x, mask=mask), want)
    torch.testing.assert_close(auto(x, mask=mask), want)


@pytest.mark.parametrize("name", NAMES)
def test_copies_pickles_and_state_dicts_compute_the_same(name):
    layer, x, other = make(name), draw(B, L, E), make(name)
    other.load_state_dict(layer.state_dict())
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other]  # noqa: S301
    assert all(torch.equal(twin(x), layer(x)) for twin in twins)
    with torch.no_grad():
        next(twins[0].parameters()).add_(1.0)
    assert not torch.equal(twins[0](x), layer(x))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_trained(name):
    # With step size 1 a state of `lsr` lands on the plain mean of the patterns in reach, wherever
    # it came from.
    layer = make(name, steps=2, step_size=0.5 if name == "lsr" else None)
    layer(draw(B, L, E)).square().sum().backward()
    for key, parameter in layer.named_parameters():
        trained = parameter.grad is not None and parameter.grad.abs().max() > 1e-9
        # A sign stands between the output of a layer of spins and everything before it.
        flat = name in SPINS and not key.startswith("projections.out")
        assert trained != flat, key


def test_make_layer_passes_everything_on():
    layer = make_layer(
        "rbm", embed_dim=E, num_heads=H, registry=REGISTRY, head_dim=3, dropout=0.2,
        prior="spin", beta=0.5, steps=3, step_size=1.2, read="state",
    )  # fmt: skip
    assert isinstance(layer, EnergyAttention)
    assert (layer.steps, layer.step_size, layer.read, layer.dropout) == (3, 1.2, "state", 0.2)
    assert layer.energy.dim == 3
    assert layer.energy.settings == {"prior": "spin", "beta": 0.5}
    assert "steps=3, step_size=1.2, read=state, dropout=0.2" in repr(layer)


def test_the_scale_of_attention_is_the_default():
    x = draw(B, L, E)
    layer = make()
    q, k, v = layer.projections.heads(x)
    want = layer.projections.merge(scaled_dot_product_attention(q, k, v))
    torch.testing.assert_close(layer(x), want)
