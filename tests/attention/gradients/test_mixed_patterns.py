"""Patterns that are mixed before states see them, against weights over patterns as they are."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import gradient
from attenergy.attention.gradients.gradient import read_values
from attenergy.energies import make_energy
from attenergy.testing.cases import draw, float64

HEADS, STATES, DIM = 2, 4, 3
ENERGIES = {
    "graph_memory": {},
    "graph_memory, knn": {"graph": "knn", "graph_degree": 2},
    "continuous_time": {"basis": 4, "nodes": 9},
    "zero_sink": {},
}


def energy_of(name):
    with float64():
        energy = make_energy(name.split(",")[0], dim=DIM, num_heads=HEADS, **ENERGIES[name])
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(0.3 * draw(1, *parameter.shape))
    return energy


def padding(stored, kind):
    """One row for all states: nothing hidden, or the end of a sample, or all of one."""
    mask = torch.ones(3, 1, 1, stored, dtype=torch.bool)
    if kind == "none":
        return None
    mask[1, ..., -2:] = False
    if kind == "one sample empty":
        mask[2] = False
    return mask


def results(energy, tensors, mask):
    read = read_values(energy, **tensors, mask=mask, backend="scores")
    states = {name: t for name, t in tensors.items() if name != "values"}
    slope = gradient(energy, **states, mask=mask, backend="scores")
    inputs = [*tensors.values(), *energy.parameters()]
    loss = read.square().sum() + (slope * slope.detach().cos()).sum()
    first = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    again = sum((g.square().sum() for g in first if g is not None), start=torch.zeros(()))
    second = torch.autograd.grad(again, inputs, allow_unused=True)
    return [read, slope, *first, *second]


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("kind", ["none", "padding", "one sample empty"])
@pytest.mark.parametrize("with_field", [False, True])
@pytest.mark.parametrize("stored", [1, 7, 70])
def test_equals_weights_over_patterns(name, kind, with_field, stored, monkeypatch):
    energy = energy_of(name)
    if with_field and not energy.reads_field:
        pytest.skip("reads no field")
    if stored == 1 and kind != "none":
        pytest.skip("nothing would be left")
    tensors = {
        "xi": 1.5 * draw(3, 3, HEADS, STATES, DIM),
        "X": draw(4, 3, HEADS, stored, DIM),
        "values": draw(5, 3, HEADS, stored, 4),
    }
    if with_field:
        tensors["field"] = draw(6, HEADS, STATES, stored)
    tensors = {n: t.requires_grad_() for n, t in tensors.items()}
    got = results(energy, tensors, padding(stored, kind))
    monkeypatch.setattr(type(energy), "mixed_patterns", lambda *_: None)
    want = results(energy, tensors, padding(stored, kind))
    for one, other in zip(got, want, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_mask_that_differs_between_states_has_the_long_form():
    energy = energy_of("graph_memory")
    X = draw(7, 1, HEADS, 5, DIM)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    assert energy.mixed_patterns(X, X, causal, None) is None
    assert energy.mixed_patterns(X, X, causal[-1:], None) is not None
    same = causal[-1:].expand(5, 5)
    xi = draw(8, 1, HEADS, 5, DIM)
    short, long = (gradient(energy, xi, X, mask=m, backend="scores") for m in (same[:1], same))
    torch.testing.assert_close(short, long)
