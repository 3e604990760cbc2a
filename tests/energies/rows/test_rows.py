"""Weights by kernels against the same weights by sorting and by long searches."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.energies.language.conjugates import ENTMAX, SPARSEMAX
from attenergy.energies.rows import apply
from attenergy.energies.rows.apply import row_weights
from attenergy.energies.rows.kernel import EXP, RELU, SIGMOID, TANH
from attenergy.testing.cases import draw

ORDERS = (1.0 + 1e-6, 1.02, 1.3, 1.5, 1.77, 2.0)
CASES = [(SPARSEMAX, ())] + [(ENTMAX, (order,)) for order in ORDERS]

each = pytest.mark.parametrize(("kernel", "args"), CASES)


def hostile():
    """Scores of every kind that a search for a threshold may stumble over."""
    z = draw(11, 12, 9)
    hidden = draw(12, 12, 9) > 0.3
    hidden[:, 4] = False
    tied = z.round()
    line = torch.linspace(-1.0, 1.0, 9, dtype=torch.float64).expand(12, 9)
    return {
        "plain": z,
        "flat": 1e-3 * z,
        "equal": torch.zeros_like(z),
        "tied": tied,
        "evenly spaced": 0.3 * line,
        "steep": 30.0 * z,
        "huge": 1e6 * z,
        "far": z + 1e4,
        "hidden": (2.0 * z).masked_fill(hidden, -math.inf),
        "alone": z.masked_fill(torch.arange(9) != 4, -math.inf),
        "single": z[:, :1],
        "many": draw(13, 3, 400),
    }


@each
@pytest.mark.parametrize("kind", hostile())
def test_weights_equal_the_reference(kernel, args, kind):
    z = hostile()[kind]
    want = kernel.reference(z, *args)
    got = row_weights(kernel, z, *args)
    scale = max(1.0, z[z.isfinite()].abs().max().item())
    small = 1e-14 * scale + (1e-15 / (args[0] - 1.0) if args and args[0] > 1.01 else 0.0)
    torch.testing.assert_close(got, want, rtol=0, atol=small)
    torch.testing.assert_close(
        got.sum(-1), torch.ones_like(got[:, 0]), rtol=0, atol=max(small, 1e-13)
    )
    assert not got[z == -math.inf].any()
    single = row_weights(kernel, z.float(), *args)
    torch.testing.assert_close(single.double(), want, rtol=0, atol=2e-6 * scale + 1e-5)


@each
@pytest.mark.parametrize("kind", ["plain", "equal", "steep", "hidden", "alone", "single", "many"])
def test_derivatives_equal_those_of_the_reference(kernel, args, kind):
    z = hostile()[kind].requires_grad_()
    orders = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in args]
    by = draw(14, *z.shape)
    inputs = (z, *orders)
    got, want = (
        torch.autograd.grad((weights * by).sum(), inputs)
        for weights in (row_weights(kernel, *inputs), kernel.reference(*inputs))
    )
    for one, other in zip(got, want, strict=True):
        near = 1e-4 if args and args[0] < 1.01 else 1e-11
        torch.testing.assert_close(one, other, rtol=near, atol=near)


@pytest.mark.long
@pytest.mark.parametrize("kernel", [SPARSEMAX, ENTMAX])
def test_derivatives_of_two_orders_with_an_order_for_each_head(kernel):
    z = (1.5 * draw(15, 2, 2, 5)).requires_grad_()
    order = torch.tensor([[[1.2]], [[1.7]]], dtype=torch.float64, requires_grad=True)
    inputs = (z, order) if kernel is ENTMAX else (z,)

    def weights(*given):
        return row_weights(kernel, *given)

    torch.autograd.gradcheck(weights, inputs)
    torch.autograd.gradgradcheck(weights, inputs, atol=1e-4)
    torch.autograd.gradgradcheck(
        lambda *given: torch.autograd.grad(weights(*given).square().sum(), z, create_graph=True)[0],
        inputs,
        atol=1e-3,
    )


@each
def test_blocks_change_nothing(kernel, args, monkeypatch):
    z = draw(16, 3, 7, 5).requires_grad_()
    order = torch.tensor([[[1.2]], [[1.5]], [[1.9]]], dtype=torch.float64, requires_grad=True)
    inputs = (z, order) if args else (z,)
    results = []
    for block in (2**18, 10):
        monkeypatch.setattr(apply, "BLOCK", block)
        weights = row_weights(kernel, *inputs)
        results.append((weights, *torch.autograd.grad(weights.square().sum(), inputs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-15)


@each
def test_a_row_that_is_not_finite_spoils_itself_alone(kernel, args):
    z = draw(17, 4, 6)
    z[1, 2], z[2, 3] = math.nan, math.inf
    given = z.clone().requires_grad_()
    weights = row_weights(kernel, given, *args)
    assert weights[1:3].isnan().all()
    torch.testing.assert_close(weights[[0, 3]], kernel.reference(z[[0, 3]], *args))
    (slope,) = torch.autograd.grad(weights[[0, 3]].square().sum(), given)
    assert slope[[0, 3]].isfinite().all()


def test_half_precision_is_computed_in_single():
    z = draw(18, 6, 8).to(torch.bfloat16).requires_grad_()
    for kernel, args in CASES:
        weights = row_weights(kernel, z, *args)
        assert weights.dtype == torch.bfloat16
        torch.testing.assert_close(
            weights.double(), kernel.reference(z.double(), *args), rtol=0.01, atol=1e-3
        )
        assert torch.autograd.grad(weights.sum(), z)[0].dtype == torch.bfloat16


@each
def test_transforms_and_empty_tensors_take_the_reference(kernel, args):
    z = draw(19, 4, 6)
    slope = torch.func.grad(lambda v: row_weights(kernel, v, *args).square().sum())(z)
    given = z.clone().requires_grad_()
    (want,) = torch.autograd.grad(row_weights(kernel, given, *args).square().sum(), given)
    near = 1e-4 if args and args[0] < 1.01 else 1e-11
    torch.testing.assert_close(slope, want, rtol=near, atol=near)
    assert row_weights(kernel, z[:0], *args).shape == (0, 6)
    with torch.inference_mode():  # leaves no memory behind that cannot be written later
        row_weights(kernel, z, *args)
    row_weights(kernel, given, *args).sum().backward()


@pytest.mark.parametrize("kernel", [EXP, SIGMOID, TANH, RELU])
def test_elementwise_kernels(kernel):
    z = (2.0 * draw(20, 4, 5)).requires_grad_()
    want = kernel.reference(z)
    torch.testing.assert_close(kernel.forward(z.detach().clone())[0], want)
    by = draw(21, 4, 5)
    (slope,) = torch.autograd.grad(want, z, by)
    y, extra = kernel.again(z.detach().clone(), ())
    torch.testing.assert_close(kernel.pull(y, extra, by.clone(), ())[0], slope)
    far = kernel.forward(torch.full((1,), -math.inf))[0]
    assert kernel.hides == (far.item() == 0)
