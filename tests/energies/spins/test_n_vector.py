"""The mean of exp(kappa e.u) over a sphere, at both ends of its arguments."""

from __future__ import annotations

import pytest
import torch

from attenergy.energies.spins.bessel import bessel_ratio, log_sphere_mean


@pytest.mark.parametrize("dim", [1, 2, 3, 8, 33, 64, 66, 200])
def test_the_slope_of_the_logarithm_is_the_ratio_of_bessel_functions(dim):
    kappa = torch.logspace(-3, 3, 25).double()
    square = (kappa * kappa).requires_grad_()
    (slope,) = torch.autograd.grad(log_sphere_mean(square, dim).sum(), square)
    torch.testing.assert_close(2 * kappa * slope, bessel_ratio(kappa, dim), rtol=1e-7, atol=0)


def test_closed_forms_of_one_two_and_three_components():
    kappa = torch.logspace(-2, 5, 50).double()
    cosh = kappa + torch.log1p(torch.exp(-2 * kappa)) - torch.tensor(2.0).double().log()
    sinh = kappa + torch.log(-torch.expm1(-2 * kappa)) - torch.log(2 * kappa)
    bessel = torch.log(torch.special.i0e(kappa)) + kappa
    for dim, want in ((1, cosh), (2, bessel), (3, sinh)):
        torch.testing.assert_close(log_sphere_mean(kappa**2, dim), want, rtol=0, atol=1e-7)


def test_no_field_has_derivatives_of_all_orders():
    """log mean = t/(2D) - t^2/(4 D^2 (D + 2)) + ... at t = kappa^2 = 0."""
    for dim in (1, 3, 70):
        zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
        value = log_sphere_mean(zero, dim)
        assert value == 0
        (first,) = torch.autograd.grad(value, zero, create_graph=True)
        (second,) = torch.autograd.grad(first, zero)
        torch.testing.assert_close(first.item(), 1 / (2 * dim), rtol=1e-7, atol=0)
        torch.testing.assert_close(second.item(), -1 / (2 * dim**2 * (dim + 2)), rtol=1e-5, atol=0)
        half = log_sphere_mean(torch.tensor([0.0, 4.0, 1e4], dtype=torch.bfloat16), dim)
        assert half.dtype == torch.bfloat16
        assert half.isfinite().all()
    with pytest.raises(ValueError, match="at least 1 component, got 0"):
        log_sphere_mean(torch.ones(1), 0)
