"""Sparse weights and their convex conjugates: derivatives, masks, ties and extreme scores."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.energies.language.conjugates import (
    entmax,
    entmax_conj,
    ksubsets,
    ksubsets_conj,
    normmax,
    normmax_conj,
    sparsemax,
    sparsemax_conj,
)
from attenergy.testing.cases import draw

PAIRS = {
    "sparsemax": (sparsemax, sparsemax_conj),
    "entmax 1.0": (lambda z: entmax(z, 1.0), lambda z: entmax_conj(z, 1.0)),
    "entmax 1.3": (lambda z: entmax(z, 1.3), lambda z: entmax_conj(z, 1.3)),
    "entmax 1.5": (lambda z: entmax(z, 1.5), lambda z: entmax_conj(z, 1.5)),
    "entmax 2": (lambda z: entmax(z, 2.0), lambda z: entmax_conj(z, 2.0)),
    "normmax 1.2": (lambda z: normmax(z, 1.2), lambda z: normmax_conj(z, 1.2)),
    "normmax 2": (lambda z: normmax(z, 2.0), lambda z: normmax_conj(z, 2.0)),
    "normmax 5": (lambda z: normmax(z, 5.0), lambda z: normmax_conj(z, 5.0)),
    "ksubsets 1": (lambda z: ksubsets(z, 1.0), lambda z: ksubsets_conj(z, 1.0)),
    "ksubsets 2.5": (lambda z: ksubsets(z, 2.5), lambda z: ksubsets_conj(z, 2.5)),
}
TOTAL = {"ksubsets 2.5": 2.5}

each = pytest.mark.parametrize(("name", "weights", "value"), [(n, *p) for n, p in PAIRS.items()])


def finite_difference(value, z, step=1e-5):
    """Central differences of a sum over rows, with respect to every score."""
    out = torch.empty_like(z)
    for index in range(z.shape[-1]):
        shift = torch.zeros_like(z)
        shift[..., index] = step
        out[..., index] = ((value(z + shift) - value(z - shift)) / (2 * step)).squeeze(-1)
    return out


@each
def test_weights_are_the_gradient_of_the_conjugate(name, weights, value):
    z = 2.0 * draw(1, 8, 6)
    y = weights(z)
    torch.testing.assert_close(torch.func.grad(lambda v: value(v).sum())(z), y, rtol=0, atol=1e-13)
    torch.testing.assert_close(finite_difference(value, z), y, rtol=0, atol=1e-8)
    total = torch.full((8,), TOTAL.get(name, 1.0), dtype=torch.float64)
    torch.testing.assert_close(y.sum(-1), total, rtol=0, atol=1e-13)
    assert (y >= 0).all()
    assert name == "entmax 1.0" or (y == 0).any()


@each
def test_derivatives_of_three_orders_on_sparse_supports(name, weights, value):
    z = (2.0 * draw(2, 2, 5)).requires_grad_()
    torch.autograd.gradcheck(weights, (z,))
    torch.autograd.gradgradcheck(weights, (z,), atol=1e-4)
    torch.autograd.gradcheck(value, (z,))
    torch.autograd.gradgradcheck(value, (z,), atol=1e-4)

    def slope(v):
        return torch.autograd.grad(value(v).sum(), v, create_graph=True)[0]

    torch.autograd.gradgradcheck(slope, (z,), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("weights", "value"), [(entmax, entmax_conj), (normmax, normmax_conj)])
def test_the_order_is_learnable(weights, value):
    z = (2.0 * draw(3, 2, 3, 5)).requires_grad_()
    order = torch.tensor([[[1.3]], [[1.8]]], dtype=torch.float64, requires_grad=True)
    for function in (weights, value):
        torch.autograd.gradcheck(function, (z, order))
        torch.autograd.gradgradcheck(function, (z, order), atol=1e-4)


def test_the_gradient_of_the_order_is_right_near_softmax():
    z = draw(4, 1, 5)
    for order in (1.0, 1.001, 1.01, 1.03):
        given = torch.tensor(order, dtype=torch.float64, requires_grad=True)
        (got,) = torch.autograd.grad(entmax_conj(z, given).sum(), given)
        above, below = order + 2e-5, max(order - 2e-5, 1.0)
        change = entmax_conj(z, above).sum() - entmax_conj(z, below).sum()
        want = change / (above - below)
        assert got.item() == pytest.approx(want.item(), abs=1e-4)


@each
def test_hidden_scores_are_deleted(name, weights, value):
    z = 1.5 * draw(5, 7, 6)
    hidden = torch.tensor([False, True, False, True, False, False])
    masked = z.masked_fill(hidden, -torch.inf).requires_grad_()
    visible = z[:, ~hidden].clone().requires_grad_()
    torch.testing.assert_close(weights(masked)[:, ~hidden], weights(visible), rtol=0, atol=1e-14)
    assert not weights(masked)[:, hidden].any()
    torch.testing.assert_close(value(masked), value(visible), rtol=0, atol=1e-14)
    for function in (weights, value):
        results = []
        for scores in (masked, visible):
            out = function(scores)
            (first,) = torch.autograd.grad(out.square().sum(), scores, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), scores)
            results += [first, second]
        for got, want in zip(results[:2], results[2:], strict=True):
            assert not got[:, hidden].any()
            torch.testing.assert_close(got[:, ~hidden], want, rtol=0, atol=1e-12)


@each
def test_ties_and_a_single_pattern(name, weights, value):
    total = TOTAL.get(name, 1.0)
    alone = torch.tensor([[3.0]], dtype=torch.float64)
    assert weights(alone).item() == pytest.approx(1.0, abs=1e-15)
    assert value(alone).item() == pytest.approx(3.0, abs=1e-14)
    tied = torch.full((1, 5), -2.0, dtype=torch.float64)
    torch.testing.assert_close(weights(tied), torch.full_like(tied, total / 5))
    two = torch.tensor([[1.0, 1.0, -50.0, -50.0]], dtype=torch.float64)
    want = torch.tensor([[0.5, 0.5, 0.0, 0.0]], dtype=torch.float64)
    if total == 1.0:
        torch.testing.assert_close(weights(two), want, rtol=0, atol=1e-15)


@each
def test_a_common_shift_changes_nothing(name, weights, value):
    z = draw(6, 4, 6)
    torch.testing.assert_close(weights(z + 1e3), weights(z), rtol=0, atol=1e-11)
    shifted = value(z + 1e3) - 1e3 * TOTAL.get(name, 1.0)
    torch.testing.assert_close(shifted, value(z), rtol=0, atol=1e-11)


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_scores_are_finite_with_derivatives(name, weights, value, dtype):
    for scale in (1e-3, 1.0, 1e3, 1e6):
        z = (scale * draw(7, 16, 9)).to(dtype).requires_grad_()
        y, c = weights(z), value(z)
        assert y.dtype == c.dtype == dtype
        (first,) = torch.autograd.grad(c.sum(), z, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), z)
        assert all(torch.isfinite(t).all() for t in (y, c, first, second))
        tolerance = 64 * torch.finfo(dtype).eps
        assert (y.double().sum(-1) - TOTAL.get(name, 1.0)).abs().max() <= tolerance


@pytest.mark.parametrize("size", [3, 100, 3000])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_thresholds_are_exact_for_many_patterns(size, spread):
    z = spread * draw(8, 8, size)
    one = torch.ones(8, dtype=torch.float64)
    for order in (1.1, 1.5, 1.9, 2.0):
        torch.testing.assert_close(entmax(z, order).sum(-1), one, rtol=0, atol=1e-12)
        y = normmax(z, order)
        value = (y * z).sum(-1) - y.pow(order).sum(-1).pow(1 / order) + 1.0
        torch.testing.assert_close(value, normmax_conj(z, order).squeeze(-1))
    torch.testing.assert_close(entmax(z, 2.0), sparsemax(z), rtol=0, atol=1e-12)
    torch.testing.assert_close(entmax_conj(z, 2.0), sparsemax_conj(z), rtol=0, atol=1e-11)
    torch.testing.assert_close(entmax(z, 1.0), torch.softmax(z, -1), rtol=0, atol=1e-12)
    log_sum = torch.logsumexp(z, -1, keepdim=True)
    torch.testing.assert_close(entmax_conj(z, 1.0), log_sum, rtol=0, atol=1e-11)
    torch.testing.assert_close(ksubsets(z, 1.0), sparsemax(z), rtol=0, atol=1e-11)
    torch.testing.assert_close(ksubsets_conj(z, 1.0), sparsemax_conj(z), rtol=0, atol=1e-11)


def test_subsets_of_more_patterns_than_are_visible_take_all_of_them():
    z = draw(9, 4, 5)
    z[:, 2:] = -torch.inf
    z.requires_grad_()
    want = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(4, 5)
    assert torch.equal(ksubsets(z, 3), want)
    value = ksubsets_conj(z, 3)
    torch.testing.assert_close(value.squeeze(-1), z[:, :2].sum(-1))
    assert torch.equal(torch.autograd.grad(value.sum(), z)[0], want)
    assert torch.equal(ksubsets(z.detach()[:, :2], 2), want[:, :2])


def test_orders_out_of_range_are_clipped():
    z = draw(10, 3, 5)
    given = torch.tensor([0.3, 3.0], dtype=torch.float64)
    assert torch.equal(entmax(z, given[0]), entmax(z, 1.0))
    assert torch.equal(entmax(z, given[1]), entmax(z, 2.0))
    leader = torch.nn.functional.one_hot(z.argmax(-1), 5).double()
    torch.testing.assert_close(normmax(z, given[0]), leader, rtol=0, atol=1e-9)
    assert math.isfinite(normmax_conj(z, 1.0).sum())


@each
def test_all_of_torchs_modes(name, weights, value):
    z = draw(11, 4, 3, 6)
    y, c = weights(z), value(z)
    torch.testing.assert_close(torch.vmap(weights)(z), y)
    torch.testing.assert_close(torch.vmap(value)(z), c)
    slope = torch.func.grad(lambda v: value(v).sum())
    torch.testing.assert_close(torch.vmap(slope)(z), y)
    with torch.inference_mode():
        torch.testing.assert_close(weights(z), y)
        torch.testing.assert_close(slope(z), y)
    plain = z.clone().requires_grad_()
    (want,) = torch.autograd.grad(weights(plain).square().sum(), plain)
    twice = torch.func.grad(lambda v: slope(v).square().sum())
    torch.testing.assert_close(twice(z), want)


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        *("sparsemax", "normmax 2", "ksubsets 2.5"),
        pytest.param("entmax 1.5", marks=pytest.mark.slow),  # most of the time of the four
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
def test_it_compiles_without_breaks(name):
    weights, value = PAIRS[name]
    z = draw(12, 3, 6)
    torch.compiler.reset()
    slope = torch.func.grad(lambda v: value(v).sum())
    compiled = torch.compile(slope, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z), weights(z))


@each
@pytest.mark.parametrize("wrong", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("everywhere", [False, True], ids=["one score", "all scores"])
def test_a_row_that_is_not_finite_is_lost_alone(name, weights, value, wrong, everywhere):
    z = draw(3, 2, 3, 5)
    z[:, :, 4] = -math.inf
    spoilt = z.clone()
    spoilt[1, 1, slice(0, 4) if everywhere else 2] = wrong
    rest = torch.ones(2, 3, dtype=torch.bool)
    rest[1, 1] = False

    def derivatives(scores):
        leaf = scores.clone().requires_grad_()
        out = value(leaf)
        (first,) = torch.autograd.grad(out.sum(), leaf, create_graph=True)
        aim = torch.linspace(-1, 1, first.numel(), dtype=torch.float64).reshape(first.shape)
        (second,) = torch.autograd.grad((first * aim)[rest].sum(), leaf)
        return weights(scores), out.detach(), first.detach(), second

    for got, wanted in zip(derivatives(spoilt), derivatives(z), strict=True):
        torch.testing.assert_close(got[rest], wanted[rest])
    for got in derivatives(spoilt)[:3]:
        assert got[1, 1].isnan().all()
