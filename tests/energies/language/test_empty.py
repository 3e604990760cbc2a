"""Nothing stored, no state, no sample: a formula energy gives empty or zero tensors."""

from __future__ import annotations

import pytest
import torch

import attenergy
from attenergy.attention import gradient
from attenergy.attention.gradients.backends import backends
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
FORMULAS = [name for name, spec in REGISTRY.energies.items() if spec.formula is not None]
EMPTY = {"patterns": (2, 3, 0), "states": (2, 0, 5), "samples": (0, 3, 5), "all": (0, 0, 0)}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_state_without_patterns_stays_as_one_that_sees_none(name, named):
    with float64():
        energy = make_energy(name, dim=4, num_heads=2, registry=REGISTRY)
    for case, sizes in EMPTY.items():
        for masked in (False, True):
            with named(f"{case}, {'masked' if masked else 'all visible'}"):
                check_empty(energy, *sizes, masked=masked)


def check_empty(energy, B, L, S, *, masked):
    with float64():
        xi, X = torch.randn(B, 2, L, 4), torch.randn(B, 2, S, 4)
        field = torch.randn(L, S)
    mask = torch.ones(L, S, dtype=torch.bool) if masked else None
    xi = energy.from_real(xi).requires_grad_()
    X.requires_grad_()
    for h in (None, field):
        value = energy(xi, X, mask=mask, field=h)
        assert value.shape == (B, 2, L)
        for backend in (b for b in backends(energy) if b not in ("traced", "chunked")):
            slope = gradient(energy, xi, X, mask=mask, field=h, backend=backend)
            assert slope.shape == xi.shape
            assert S or not slope.any()
        state = attenergy.relax(energy, xi, X, mask=mask, field=h, steps=2).state
        if S == 0:
            torch.testing.assert_close(state, xi)  # already in the domain
        assert S or not value.any()
        leaves = [xi, X, *energy.parameters()]
        total = state.sum() + value.sum()
        got = torch.autograd.grad(total, leaves, materialize_grads=True)
        assert all(g.isfinite().all() for g in got)
        assert [g.shape for g in got] == [leaf.shape for leaf in leaves]
