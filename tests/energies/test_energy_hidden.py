"""What is hidden never acts, whatever numbers stand there; what is visible always does."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.attention import read_values, relax
from attenergy.energies import DOMAINS, domain_of
from attenergy.energies.masks import NEVER, clear_hidden
from attenergy.registry import load_registry
from attenergy.testing.cases import BATCH, PATTERNS, STATES, build, draw, random_case

REGISTRY = load_registry(plugins=False)
SPOILT = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def outcome(energy, xi, X, mask):
    """Energies and states after two steps, and the gradients of their sum."""
    xi = xi.clone().requires_grad_()
    X = X.clone().requires_grad_() if energy.reads_patterns else xi
    value = energy(xi, X, mask=mask)
    state = relax(energy, xi, X, mask=mask, steps=2).state
    inputs = [xi, X] if energy.reads_patterns else [xi]
    total = state.sum() + value.sum()
    return [value, state, *torch.autograd.grad(total, inputs, materialize_grads=True)]


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_a_pattern_that_no_state_sees_may_hold_any_number(name, named):
    energy = build(REGISTRY.energies[name])
    case = random_case(energy)
    if energy.reads_patterns:
        shown, size, stored = slice(None), STATES, PATTERNS
    else:
        shown, size, stored = [0, 2], STATES, STATES  # a hidden state is its own affair
    mask = torch.ones(BATCH, 1, size, stored, dtype=torch.bool)
    mask[..., 1] = False
    if not energy.reads_patterns:
        mask[:, :, 1] = False
    want = outcome(energy, case.xi, case.X, mask)
    for number, value in SPOILT.items():
        spoilt = (case.X if energy.reads_patterns else case.xi).clone()
        spoilt[:, :, 1] = value
        got = outcome(energy, case.xi if energy.reads_patterns else spoilt, spoilt, mask)
        for index, pair in enumerate(zip(got, want, strict=True)):
            if index == 0:
                a, b = pair if energy.states_interact else (t[..., shown] for t in pair)
            else:
                a, b = (t[:, :, shown] for t in pair)
            with named(number):
                torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_a_pattern_that_some_see_spoils_these_alone(name):
    energy = build(REGISTRY.energies[name])
    if energy.states_interact or not energy.reads_patterns:
        pytest.skip("its states have one joint energy")
    case = random_case(energy)
    mask = torch.ones(1, 1, STATES, PATTERNS, dtype=torch.bool)
    mask[..., 0, 1] = False
    spoilt = case.X.clone()
    spoilt[:, 0, 1] = math.nan  # of one head
    want = relax(energy, case.xi, case.X, mask=mask, steps=2).state
    got = relax(energy, case.xi, spoilt, mask=mask, steps=2).state
    torch.testing.assert_close(got[:, :, 0], want[:, :, 0])
    torch.testing.assert_close(got[:, 1], want[:, 1])
    assert got[:, 0, 1:].isnan().any(-1).all()


def test_values_of_a_hidden_pattern_may_be_anything():
    energy = build(REGISTRY.energies["lse"])
    case, values = random_case(energy), draw(1, BATCH, 2, PATTERNS, 3)
    mask = torch.ones(STATES, PATTERNS, dtype=torch.bool)
    mask[:2, 3] = False
    spoilt = values.clone()
    spoilt[:, :, 3] = math.nan
    want = read_values(energy, case.xi, case.X, values, mask=mask)
    got = read_values(energy, case.xi, case.X, spoilt, mask=mask)
    torch.testing.assert_close(got[:, :, :2], want[:, :, :2])
    assert got[:, :, 2].isnan().all()


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("mask_batch", [(), (1,), (2, 1), (2, 3)])
def test_clearing_knows_every_shape(batch, mask_batch):
    if len(batch) < 2 and mask_batch == (2, 3):
        mask_batch = batch
    X = draw(1, *batch, 4, 5)
    mask = torch.rand(*mask_batch, 3, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    bad = torch.rand(*batch, 4, generator=torch.Generator().manual_seed(3)) < 0.4
    X = torch.where(bad.unsqueeze(-1), math.nan, X)
    shape = torch.broadcast_shapes(batch, mask_batch)
    xi, cleared = clear_hidden(mask, torch.ones(*shape, 3, 5, dtype=X.dtype), X)
    assert xi.shape == (*shape, 3, 5)
    torch.testing.assert_close(
        xi.isnan()[..., 0], (mask & bad.unsqueeze(-2)).any(-1).expand(*shape, 3)
    )
    assert cleared.shape == X.shape
    assert cleared.isfinite().all()
    shown = mask.expand(*shape, 3, 4).any(-2)
    while shown.ndim > bad.ndim:
        shown = shown.any(0)
    torch.testing.assert_close(cleared[shown & ~bad], X[shown & ~bad])


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.energies.items() if build(s).reads_field])
def test_a_field_that_says_never_hides(name, named):
    energy = build(REGISTRY.energies[name])
    case = random_case(energy)
    stored = (case.X if energy.reads_patterns else case.xi).shape[-2]
    mask = torch.ones(STATES, stored, dtype=torch.bool)
    mask[1, 0] = mask[2, 2] = mask[0, 1] = False
    want = relax(energy, case.xi, case.X, mask=mask, steps=2).state
    for never in (-1e4, -1e9, torch.finfo(torch.float64).min, -math.inf):
        field = torch.zeros(STATES, stored).double().masked_fill(~mask, never).requires_grad_()
        got = relax(energy, case.xi, case.X, field=field, steps=2).state
        (slope,) = torch.autograd.grad(got.sum(), field, allow_unused=True, materialize_grads=True)
        with named(never):
            torch.testing.assert_close(got, want)
            assert slope.isfinite().all()
            assert not slope[~mask].any()


def test_bfloat16_says_never_too():
    assert torch.tensor(-1e4, dtype=torch.bfloat16).item() <= NEVER
    assert torch.tensor(-1e4, dtype=torch.float16).item() <= NEVER


def test_spins_keep_nan_and_what_has_no_preference():
    spin = DOMAINS["spin"]
    xi = torch.tensor([1.0, -1.0, 1.0, math.nan, -1.0])
    d = torch.tensor([0.0, 0.0, 2.0, 1.0, math.nan])
    want = torch.tensor([1.0, -1.0, -1.0, math.nan, math.nan])
    torch.testing.assert_close(spin.retract(xi, d), want, equal_nan=True)
    torch.testing.assert_close(spin.project(xi), xi, equal_nan=True)
    torch.testing.assert_close(spin.from_real(xi), xi, equal_nan=True)


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.energies.items() if domain_of(s).discrete])
def test_nan_stays_in_its_own_sample(name):
    energy = build(REGISTRY.energies[name])
    case = random_case(energy)
    spoilt = case.xi.clone()
    spoilt[0, 0, 0, 0] = math.nan
    want = relax(energy, case.xi, case.X, steps=2).state
    got = relax(energy, spoilt, case.X, steps=2).state
    assert got[0, 0, 0].isnan().all()
    torch.testing.assert_close(got[1], want[1])
    torch.testing.assert_close(got[0, 0, 1:], want[0, 0, 1:])
