"""Declared tensors: no state, head or sample reads what belongs to another."""

from __future__ import annotations

import itertools

import pytest
import torch

from attenergy.attention import gradient

FORMULAS = {
    "vector on patterns": "0.5*|xi|^2 - lse(X @ xi + X @ v)",
    "vector in a length": "0.5*|xi|^2 - |X @ v|^2*(v @ xi)",
    "vector times state": "lse(X @ (v*xi)) + |v*xi - c|^2",
    "vector alone": "|xi|^2*sum_d(v)*|v|*(v @ v)",
    "matrix and vector": "0.5*|xi|^2 - lse(X @ xi + X @ (W @ v) + c)",
    "transposes": "softplus(v @ (W' @ xi)) - lse(c*X @ (v @ W) + X @ xi)",
    "patterns through a matrix": "|xi|^2 - lse((X @ W) @ xi)/c + mean_n(|X|)*c",
    "mean of the patterns": "|xi - v*mean_n(X)|^2 + (c*sum_n(X)) @ xi",
    "field on patterns": "|xi|^2 + (X' @ h) @ xi + lse(h)*(v @ xi)",
}
DECLARED = {"v": ["D"], "W": ["D", "D"], "c": []}
#: B, H, L, S, D
SIZES = {
    "different": (2, 3, 4, 5, 6),
    "samples as states": (3, 2, 3, 5, 4),
    "states as heads": (1, 3, 3, 5, 4),
    "states as width": (2, 4, 4, 5, 4),
    "patterns as width": (2, 3, 5, 3, 3),
    "all equal": (3, 3, 3, 3, 3),
}


def build(energy_of, formula, heads, dim, learnable):
    declared = {
        name: {"init": 0.5, "shape": shape, "learnable": learnable}
        for name, shape in DECLARED.items()
        if name in formula.replace("lse", "")
    }
    energy = energy_of(formula, dim, heads, **declared)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for raw in energy.parameters():
            raw.add_(0.3 * torch.randn(raw.shape, generator=generator, dtype=raw.dtype))
    return energy


def of_head(energy_of, formula, energy, head):
    """The same energy without heads, with the parameters of one head."""
    alone = build(energy_of, formula, None, energy.dim, "shared")
    with torch.no_grad():
        for name, raw in alone.parameters_.raw.items():
            own = energy.parameters_.raw[name]
            per_head = energy.spec.parameters[name].learnable == "per_head"
            raw.copy_((own[head] if per_head else own).reshape(raw.shape))
    return alone


@pytest.mark.parametrize("learnable", ["per_head", "shared"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_every_state_is_computed_as_if_it_were_alone(formula, sizes, learnable, energy_of):
    B, H, L, S, D = sizes
    xi, X = (torch.randn(B, H, n, D, dtype=torch.float64) for n in (L, S))
    energy = build(energy_of, formula, H, D, learnable)
    value, slope = energy(xi, X), gradient(energy, xi, X)
    assert value.shape == (B, H, L)
    zero = torch.zeros(L, S, dtype=torch.float64)
    torch.testing.assert_close(energy(xi, X, field=zero), value)
    for k in range(H):
        alone = of_head(energy_of, formula, energy, k)
        # All samples of one head at once, without a head axis; then one state of one sample.
        torch.testing.assert_close(alone(xi[:, k], X[:, k]), value[:, k])
        torch.testing.assert_close(gradient(alone, xi[:, k], X[:, k]), slope[:, k])
        for b, i in itertools.product(range(B), range(L)):
            state, patterns = xi[b, k, i : i + 1], X[b, k]
            torch.testing.assert_close(alone(state, patterns), value[b, k, i : i + 1])
            torch.testing.assert_close(gradient(alone, state, patterns), slope[b, k, i : i + 1])


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("learnable", ["per_head", "shared", "no"])
def test_a_vector_is_stored_without_the_axis_of_states_that_it_is_used_with(
    learnable, heads, energy_of
):
    declared = {"init": 0.5, "shape": ["D"], "learnable": learnable}
    energy = energy_of("v @ xi", 4, heads, v=declared)
    own = heads is not None and learnable == "per_head"
    assert energy.state_dict()["parameters_.raw.v"].shape == ((3, 1, 4) if own else (4,))
    assert energy.values()["v"].shape == ((3, 1, 4) if own else (1, 4))
