"""Gradients by every backend, what is read, and which backend `auto` is."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import attention_weights, gradient, read_values
from attenergy.attention import backends as all_backends
from attenergy.attention.gradients import gradient as update
from attenergy.attention.gradients import sdpa as fused
from attenergy.attention.gradients.sdpa import CPU_PATTERNS, CPU_PATTERNS_WITH_FIELD, fused_pays
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec, load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
WITH_WEIGHTS = [n for n in NAMES if make_energy(n, dim=4, registry=REGISTRY).has_weights]
#: Entries without xi itself in their gradient, and those whose factor of xi is the sum of weights.
NO_RADIAL = (
    *("polynomial", "pure_polynomial", "exponential", "input_gated", "et_memory"),
    *("vector_spins", "potts"),
)
OF_DISTANCES = ("lsr", "log_sum_kernel")


def make(name, dim=4, **options):
    with float64():
        return make_energy(name, dim=dim, registry=REGISTRY, **options)


def backends(energy):
    """All but `traced`, which takes its time and has tests of its own."""
    return [backend for backend in all_backends(energy) if backend != "traced"]


def entry(formula, **parameters):
    return EnergySpec.model_validate(
        {"title": "test", "formula": formula, "parameters": parameters}
    )


BETA = {"init": 0.7, "constraint": "positive"}
#: Softmax weights of several kinds: of distances, of scaled and of mapped scores.
SOFTMAX = [
    entry("-lse(-0.5*beta*sqdist(X, xi) + h)/beta", beta=BETA),
    entry("0.5*|xi|^2 - 0.5*lse(2 * X @ xi + log(1 + |X|^2) + h)"),
    entry("0.5*|xi|^2 - lse(beta*(X @ xi) + 3*h - c)/beta", beta=BETA, c={"init": 1.0}),
    entry("0.5*|xi|^2 - lse(X @ xi/sqrt(count_d()) + h)*sqrt(count_d())"),
]


def test_backends_of_built_in_energies():
    own, weights = ("eager", "traced"), ("eager", "traced", "scores")
    assert all_backends(make("lse")) == (*weights, "sdpa", "chunked")
    assert all_backends(make("rbm", prior="onehot")) == (*weights, "sdpa", "chunked")
    for name in ("rbm", "polynomial", "graph_memory"):
        assert all_backends(make(name)) == (*weights, "chunked")
    assert all_backends(make("graph_hopfield")) == weights  # its states interact
    assert all_backends(make("causal_tokens")) == own  # its patterns are its states
    plain = entry("|xi - w|^2", w={"init": 1.0, "shape": ["D"]})
    assert all_backends(make(plain)) == (*own, "chunked")


@pytest.mark.parametrize("index", range(len(SOFTMAX)))
@pytest.mark.parametrize("heads", [None, 2])
def test_every_softmax_is_found_and_fused(index, heads):
    energy = make(SOFTMAX[index], num_heads=heads)
    assert "sdpa" in backends(energy)
    xi, X, field = draw(3, 2, 4, 4), draw(3, 2, 6, 4), draw(1, 2, 4, 6)
    mask = torch.rand(3, 1, 4, 6) < 0.6
    mask[0, 0, 2] = False
    for seen in (None, mask):
        for h in (None, field):
            given = {"mask": seen, "field": h}
            want = gradient(energy, xi, X, backend="eager", **given)
            for backend in ("scores", "sdpa"):
                got = gradient(energy, xi, X, backend=backend, **given)
                torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("heads", [None, 2])
def test_missing_batch_axes_give_one_gradient_per_sample(name, heads, stored):
    """One state on several sets of patterns: its gradients are not summed, by any backend."""
    energy = make(name, num_heads=heads)
    xi = draw(1, 4, 4) if heads else draw(4, 4)
    X = stored(energy, xi, draw(3, 2, 5, 4))
    field, mask = draw(2, 4, X.shape[-2]), torch.rand(3, 1, 1, X.shape[-2]) < 0.8
    mask[..., 0] = True
    want = gradient(energy, xi.expand(3, 2, 4, 4), X, mask=mask, field=field, backend="eager")
    for backend in backends(energy):
        got = gradient(energy, xi, X, mask=mask, field=field, backend=backend)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_give_the_update(name):
    """With patterns as values, the read is what pulls the states."""
    energy, X = make(name), draw(2, 5, 4)
    xi = energy.from_real(draw(2, 3, 4))
    pulled = read_values(energy, xi, X, X)
    weights = attention_weights(energy, xi, X)
    torch.testing.assert_close(pulled, weights @ X)
    coupling = energy.coupling(xi, None)
    rest = 0.0 if coupling is None else coupling
    radial = weights.sum(-1, keepdim=True) if name in OF_DISTANCES else float(name not in NO_RADIAL)
    for backend in ("eager", "auto"):
        got = gradient(energy, xi, X, backend=backend)
        torch.testing.assert_close(got, radial * xi - pulled + rest)


@pytest.mark.parametrize("name", NAMES)
def test_states_that_see_nothing_are_not_pulled(name, stored):
    energy, xi = make(name), draw(2, 3, 4)
    X = stored(energy, xi, draw(2, 5, 4))
    mask = torch.ones(2, 3, X.shape[-2], dtype=torch.bool)
    mask[0, 1] = False
    for backend in backends(energy):
        assert (gradient(energy, xi, X, mask=mask, backend=backend)[0, 1] == 0).all()


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_states_that_see_nothing_read_nothing(name):
    energy, xi, X, values = make(name), draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 7)
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0, 1] = False
    for backend in backends(energy):
        read = read_values(energy, xi, X, values, mask=mask, backend=backend)
        assert read.shape == (2, 3, 7)
        assert (read[0, 1] == 0).all()
    weights = attention_weights(energy, xi, X, mask=mask)
    assert (weights[0, 1] == 0).all()
    assert (weights[0, 0] != 0).any()


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_hidden_patterns_have_weight_zero(name):
    energy, xi, X = make(name), draw(2, 3, 4), draw(2, 5, 4)
    mask = torch.tensor([True, False, True, True, False])
    weights = attention_weights(energy, xi, X, mask=mask)
    assert (weights[..., ~mask] == 0).all()
    visible = attention_weights(energy, xi, X[:, mask])
    if not energy.patterns_interact:
        torch.testing.assert_close(weights[..., mask], visible)


def test_softmax_weights_are_the_explicit_ones():
    energy, xi, X, field = make("lse", beta=0.6), draw(2, 3, 4), draw(2, 5, 4), draw(3, 5)
    want = torch.softmax(0.6 * xi @ X.mT + field, -1)
    torch.testing.assert_close(attention_weights(energy, xi, X, field=field), want)
    read = read_values(energy, xi, X, X, field=field, backend="sdpa")
    want = scaled_dot_product_attention(xi, X, X, attn_mask=field, scale=0.6)
    torch.testing.assert_close(read, want)


@pytest.mark.parametrize("seen", [8, CPU_PATTERNS, CPU_PATTERNS_WITH_FIELD])
@pytest.mark.parametrize("with_field", [False, True])
def test_auto_is_the_fused_kernel_where_it_pays(seen, with_field, monkeypatch):
    calls = []

    def spy(*args, **kwargs):
        calls.append(args)
        return scaled_dot_product_attention(*args, **kwargs)

    monkeypatch.setattr(fused, "scaled_dot_product_attention", spy)
    X, field = draw(1, seen, 4), draw(2, seen) if with_field else None
    gradient(make("lse"), draw(1, 2, 4), X, field=field)
    enough = CPU_PATTERNS_WITH_FIELD if with_field else CPU_PATTERNS
    assert bool(calls) == fused_pays(X, field) == (seen >= enough)
    calls.clear()
    gradient(make("rbm"), draw(1, 2, 4), X, field=field)
    assert not calls
    monkeypatch.setattr(update, "fused_pays", lambda X, field: True)
    gradient(make("lse"), draw(1, 2, 4), X, field=field)
    assert calls


def test_errors():
    lse, polynomial = make("lse"), make("polynomial")
    plain = make(entry("|xi - w|^2", w={"init": 1.0, "shape": ["D"]}))
    xi, X = draw(3, 4), draw(5, 4)
    with pytest.raises(ValueError, match=r"no backend 'sdpaa' \(did you mean 'sdpa'\?\); known: "):
        gradient(lse, xi, X, backend="sdpaa")
    with pytest.raises(
        ValueError, match=r"Polynomial.*'sdpa'; it has eager, traced, scores, chunked"
    ):
        gradient(polynomial, xi, X, backend="sdpa")
    with pytest.raises(
        ValueError, match="'test' has no backend 'scores'; it has eager, traced, chunked"
    ):
        read_values(plain, xi, X, X, backend="scores")
    for function in (lambda: read_values(plain, xi, X, X), lambda: attention_weights(plain, xi, X)):
        with pytest.raises(ValueError, match="'test' defines no weights over patterns"):
            function()
    with pytest.raises(ValueError, match="mask must be boolean"):
        gradient(lse, xi, X, mask=torch.ones(3, 5))
    with pytest.raises(ValueError, match="field must be broadcastable"):
        attention_weights(lse, xi, X, field=draw(3, 4))
