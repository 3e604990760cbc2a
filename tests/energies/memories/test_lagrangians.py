"""Lagrangians: activations are gradients, Hessians are convex, nothing overflows."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from attenergy.energies.memories.lagrangians import (
    LAGRANGIANS,
    lagrangian,
    layer_norm,
    normalised,
    spherical,
    unit_vector,
)

every = pytest.mark.parametrize("name", LAGRANGIANS)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def hessian_of(value):
    return torch.func.jacrev(torch.func.grad(value))


@every
def test_the_activation_is_the_gradient(name):
    layer, x = LAGRANGIANS[name], draw(2, 3, 5)
    slope = torch.func.grad(lambda v: layer.value(v).sum())(x)
    torch.testing.assert_close(layer.activation(x), slope, rtol=1e-12, atol=1e-12)


@every
def test_the_hessian_is_positive_semidefinite(name):
    layer = LAGRANGIANS[name]
    for x in 2.0 * draw(8, 5):
        hessian = hessian_of(layer.value)(x)
        assert torch.linalg.eigvalsh(hessian).min() > -1e-12


@every
def test_every_row_counts_alone(name):
    layer, x = LAGRANGIANS[name], draw(3, 5)
    rows = torch.stack([layer.value(row) for row in x])
    torch.testing.assert_close(layer.value(x), rows)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e3, 1e6])
def test_large_and_small_inputs_give_finite_values_and_gradients(name, dtype, scale):
    x = (scale * torch.tensor([-1.0, 0.3, 1.0])).to(dtype).requires_grad_()
    value = LAGRANGIANS[name].value(x)
    (slope,) = torch.autograd.grad(value, x)
    assert torch.isfinite(value)
    assert torch.isfinite(slope).all()
    torch.testing.assert_close(
        slope, LAGRANGIANS[name].activation(x.detach()), rtol=0.05, atol=0.05
    )


@every
def test_second_derivatives(name):
    x = draw(2, 4).requires_grad_()
    torch.autograd.gradgradcheck(LAGRANGIANS[name].value, (x,), atol=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 0.3, 2.5])
def test_layer_norm_is_that_of_torch(gamma):
    x, delta = draw(2, 3, 6), draw(6)
    want = functional.layer_norm(x, (6,), torch.full((6,), gamma, dtype=torch.float64), delta)
    torch.testing.assert_close(normalised(x, gamma, delta), want, rtol=1e-12, atol=1e-12)
    slope = torch.func.grad(lambda v: layer_norm(v, gamma, delta).sum())(x)
    torch.testing.assert_close(slope, want, rtol=1e-12, atol=1e-12)


def test_the_hessian_of_layer_norm_vanishes_along_the_mean_and_the_state():
    x = draw(5)
    hessian = hessian_of(lambda v: layer_norm(v, eps=0.0))(x)
    for direction in (torch.ones(5).double(), x):
        assert (hessian @ direction).abs().max() < 1e-12
    assert torch.linalg.matrix_rank(hessian) == 3


def test_a_gain_for_each_component_is_refused_for_it_has_no_energy():
    x, gain = draw(5), draw(5).abs() + 0.5
    jacobian = torch.func.jacrev(lambda v: functional.layer_norm(v, (5,), gain))(x)
    assert (jacobian - jacobian.mT).norm() / jacobian.norm() > 0.05
    with pytest.raises(ValueError, match="gamma must be one number"):
        layer_norm(x, gain)
    with pytest.raises(ValueError, match="gamma must be one number"):
        normalised(x, gain)


def test_the_spherical_activation_has_unit_length():
    x = draw(4, 5)
    lengths = unit_vector(x, eps=0.0).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(4).double())
    torch.testing.assert_close(spherical(x, eps=0.0), x.norm(dim=-1))


def test_own_energies_are_the_conjugates():
    x = draw(3, 4)
    m, b = torch.tanh(x), torch.sigmoid(x)
    up, down = (1 + m) / 2, (1 - m) / 2
    spins = (up * up.log() + down * down.log()).sum(-1) + 4 * math.log(2)
    bits = (b * b.log() + (1 - b) * (1 - b).log()).sum(-1)
    p = torch.softmax(x, -1)
    want = {
        "quadratic": 0.5 * x.square().sum(-1),
        "relu": 0.5 * x.clamp_min(0).square().sum(-1),
        "softplus": bits,
        "logcosh": spins,
        "lse": (p * p.log()).sum(-1),
        "spherical": torch.zeros(3).double(),
        "layer_norm": torch.zeros(3).double(),
    }
    for name, value in want.items():
        tolerance = 1e-3 if name in ("spherical", "layer_norm") else 1e-7
        torch.testing.assert_close(
            LAGRANGIANS[name].own_energy(x), value, rtol=tolerance, atol=tolerance
        )


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'softplus'"):
        lagrangian("sofplus")
    assert lagrangian("lse") is LAGRANGIANS["lse"]
