"""Compiled energies against a loop over single states, from which hidden patterns are deleted."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from attenergy.energies import make_energy
from attenergy.energies.language import FIELD, PATTERNS, XI, Symbol, compile_tree, parse
from attenergy.testing.cases import float64

# formula, and the same for one state: xi (D,), X (n, D), h (n,), and parameters of one head
CASES = {
    "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta": lambda xi, X, h, p: (
        0.5 * xi @ xi - torch.log(torch.exp(p["beta"] * (X @ xi) + h).sum()) / p["beta"]
    ),
    "sum_n(X @ xi)": lambda xi, X, h, p: sum(x @ xi for x in X),
    "sum_n(X) @ xi": lambda xi, X, h, p: X.sum(0) @ xi,
    "mean_n(X) @ xi": lambda xi, X, h, p: X.sum(0) @ xi / len(X),
    "|xi - mean_n(X)|^2": lambda xi, X, h, p: ((xi - X.mean(0)) ** 2).sum(),
    "mean_n((X @ xi + h)^3)": lambda xi, X, h, p: ((X @ xi + h) ** 3).sum() / len(X),
    "max_n(X @ xi + h)": lambda xi, X, h, p: max(X @ xi + h),
    "xi @ (X' @ softmax(X @ xi + h))": lambda xi, X, h, p: (
        sum(torch.exp(x @ xi + b) * (x @ xi) for x, b in zip(X, h, strict=True))
        / sum(torch.exp(x @ xi + b) for x, b in zip(X, h, strict=True))
    ),
    "softmax(X @ xi) @ h": lambda xi, X, h, p: torch.softmax(X @ xi, 0) @ h,
    "-lse(-0.5*beta*sqdist(X, xi) + h)/beta": lambda xi, X, h, p: (
        -torch.log(torch.exp(-0.5 * p["beta"] * ((X - xi) ** 2).sum(1) + h).sum()) / p["beta"]
    ),
    "sum_n(|X| * (X @ xi))": lambda xi, X, h, p: sum(x.norm() * (x @ xi) for x in X),
    "sum_n(|X|^2) + |xi|": lambda xi, X, h, p: (X * X).sum() + xi.norm(),
    "|X @ xi| + |X @ xi|^2": lambda xi, X, h, p: (X @ xi).norm() + (X @ xi) @ (X @ xi),
    "sum_n(sum_d(X) * h) + sum_d(xi)": lambda xi, X, h, p: X.sum(1) @ h + xi.sum(),
    "mean_d(xi)*sum_n(mean_d(X))": lambda xi, X, h, p: xi.mean() * X.mean(1).sum(),
    "0.5*xi @ (M @ xi) - w @ xi": lambda xi, X, h, p: 0.5 * xi @ p["M"] @ xi - p["w"] @ xi,
    "xi @ M @ xi": lambda xi, X, h, p: sum(
        xi[i] * p["M"][i, j] * xi[j] for i in range(len(xi)) for j in range(len(xi))
    ),
    "lse(X @ (M @ xi))": lambda xi, X, h, p: torch.log(torch.exp(X @ (p["M"] @ xi)).sum()),
    "lse((X @ M') @ xi)": lambda xi, X, h, p: torch.log(torch.exp(X @ p["M"].T @ xi).sum()),
    "sum_n(relu(X @ (w*xi) + c)^2)/count_n()": lambda xi, X, h, p: (
        (torch.relu(X @ (p["w"] * xi) + p["c"]) ** 2).sum() / len(X)
    ),
    "|xi|^2*log(count_n())/sqrt(count_d())": lambda xi, X, h, p: (
        (xi * xi).sum() * math.log(len(X)) / math.sqrt(len(xi))
    ),
    "|xi|^2 + 1/count_n() + count_d()^-0.5": lambda xi, X, h, p: (
        (xi * xi).sum() + 1 / len(X) + len(xi) ** -0.5
    ),
    "lse(h)*|xi|^2 + sum_n(h) + max_n(h)": lambda xi, X, h, p: (
        torch.log(torch.exp(h).sum()) * (xi @ xi) + h.sum() + h.max()
    ),
    "sum_n(softplus(X @ xi))": lambda xi, X, h, p: torch.log(1 + torch.exp(X @ xi)).sum(),
    "sum_n(logcosh(X @ xi))": lambda xi, X, h, p: torch.log(torch.cosh(X @ xi)).sum(),
    "sum_n(sigmoid(X @ xi))": lambda xi, X, h, p: (1 / (1 + torch.exp(-(X @ xi)))).sum(),
    "sum_n(tanh(X @ xi)*sin(h) + cos(h))": lambda xi, X, h, p: (
        (torch.tanh(X @ xi) * torch.sin(h) + torch.cos(h)).sum()
    ),
    "sum_n(abs(X @ xi)*sign(h) + step(h))": lambda xi, X, h, p: (
        (torch.abs(X @ xi) * torch.sign(h) + (h > 0)).sum()
    ),
    "log(1 + exp(|xi|)) + sqrt(beta) + beta^c": lambda xi, X, h, p: (
        torch.log(1 + torch.exp(xi.norm())) + p["beta"].sqrt() + p["beta"] ** p["c"]
    ),
    "(X @ xi) @ (X @ xi + h)": lambda xi, X, h, p: ((X @ xi) * (X @ xi + h)).sum(),
}  # fmt: skip

PARAMETERS = {
    "beta": {"init": 0.8, "constraint": "positive"},
    "c": {"init": -0.3},
    "w": {"init": 0.5, "shape": ["D"]},
    "M": {"init": 0.4, "shape": ["D", "D"]},
}
# B, H, L, S, D: all different, then all equal, so that no axis is taken for another
SIZES = [(2, 3, 4, 5, 6), (3, 3, 3, 3, 3), (1, 2, 1, 1, 2)]


def build(energy_of, formula, heads, dim, learnable):
    used = {k: {**v, "learnable": learnable} for k, v in PARAMETERS.items() if k in formula}
    energy = energy_of(formula, dim, heads, **used)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return energy


def of_head(energy, head):
    """Parameters of one head: scalars (), vectors (D,), matrices (D, D)."""
    of_one = {}
    for name, stored in energy.values().items():
        wanted = len(energy.spec.parameters[name].shape)
        value = torch.as_tensor(stored, dtype=torch.float64)
        own = value[head] if value.ndim == 3 else value
        of_one[name] = own.reshape(own.shape[-wanted:] if wanted else ())
    return of_one


def draw(*shape):
    return 0.6 * torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("learnable", ["per_head", "shared"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("formula", CASES)
def test_compiled_energies_equal_a_loop_over_states(formula, sizes, learnable, energy_of):
    B, H, L, S, D = sizes
    energy = build(energy_of, formula, H, D, learnable)
    values = [of_head(energy, head) for head in range(H)]
    xi, X, h = draw(B, H, L, D), draw(B, H, S, D), draw(B, H, L, S)
    masks = {"none": None, "full": torch.rand(B, H, L, S) < 0.6, "shared": torch.rand(L, S) < 0.6}
    masks["padding"] = torch.rand(B, 1, 1, S) < 0.7
    for mask in masks.values():
        if mask is not None:
            mask[..., -1] = True
        seen = torch.ones(B, H, L, S).bool() if mask is None else mask.expand(B, H, L, S)
        got = energy(xi, X, mask=mask, field=h)
        assert got.shape == (B, H, L)
        wanted = [
            CASES[formula](
                xi[b, k, i], X[b, k][seen[b, k, i]], h[b, k, i][seen[b, k, i]], values[k]
            )
            for b, k, i in product(range(B), range(H), range(L))
        ]
        wanted = torch.stack([torch.as_tensor(value) for value in wanted]).view(B, H, L)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("formula", CASES)
def test_without_heads_and_with_few_axes(formula, energy_of):
    energy = build(energy_of, formula, None, 3, "shared")
    xi, X, h = draw(4, 3), draw(5, 3), draw(4, 5)
    values = of_head(energy, 0)
    for field in (h, None):
        for i, got in enumerate(energy(xi, X, field=field)):
            wanted = CASES[formula](xi[i], X, h[i] if field is not None else 0 * h[i], values)
            torch.testing.assert_close(got, torch.as_tensor(wanted), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("formula", CASES)
def test_the_dtype_is_kept(formula, dtype, energy_of):
    energy = build(energy_of, formula, 2, 4, "per_head").to(dtype)
    xi, X, h = draw(2, 3, 4).to(dtype), draw(2, 5, 4).to(dtype), draw(2, 3, 5).to(dtype)
    mask = torch.rand(2, 3, 5) < 0.6
    for seen in (None, mask):
        out = energy(xi, X, mask=seen, field=h)
        assert out.dtype == dtype
        assert out.isfinite().all()


@pytest.mark.parametrize("formula", CASES)
def test_masks_and_fields_are_broadcast(formula, energy_of, named):
    energy = build(energy_of, formula, None, 3, "shared")
    xi, X = draw(2, 4, 3), draw(2, 5, 3)
    for shape in ((1,), (5,), (4, 1), (1, 5), (1, 1), ()):
        mask, h = torch.rand(shape) < 0.6, draw(*shape)
        got = energy(xi, X, mask=mask, field=h)
        wanted = energy(xi, X, mask=mask.expand(2, 4, 5), field=h.expand(2, 4, 5))
        with named(shape):
            torch.testing.assert_close(got, wanted)


def test_extreme_scores_stay_finite(energy_of):
    X = torch.tensor([[1000.0], [-1000.0]], dtype=torch.float64)
    xi = torch.ones(1, 1, dtype=torch.float64)
    for function, wanted in {"softplus": 1000.0, "logcosh": 2000 - 2 * math.log(2)}.items():
        energy = energy_of(f"sum_n({function}(X @ xi))", 1)
        torch.testing.assert_close(energy(xi, X), torch.tensor([wanted]).double())
    assert energy_of("lse(X @ xi)", 1)(xi, X).item() == 1000.0


def test_lengths_have_finite_derivatives_of_all_orders_at_zero(energy_of):
    energy = energy_of("|xi| + |xi|^2 + |X @ xi|", 3)
    X, zero = draw(4, 3), torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(energy(zero, X).sum(), zero, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), zero)
    assert torch.equal(first, torch.zeros_like(first))
    assert torch.equal(second, torch.full_like(second, 2.0))


def test_sums_are_written_once_and_constants_folded():
    symbols = {"xi": XI, "X": PATTERNS, "h": FIELD, "beta": Symbol((), name="beta")}
    code = compile_tree(parse("lse(X @ xi)^2 + lse(X @ xi)", symbols), masked=True).code
    assert code.count("torch.logsumexp(") == 1
    code = compile_tree(parse("(1 + 2)*3*|xi|^2", symbols), masked=False).code
    assert "9.0" in code


def test_settings_replace_initial_values_and_choices(entry):
    prior = {"default": "a", "options": {"a": "sum_n(z)", "b": "max_n(z)"}}
    spec = entry("|xi|^2 - p(beta * X @ xi)", choices={"p": prior}, beta={"init": "1/sqrt(D)"})
    with float64():
        energy = make_energy(spec, dim=4, beta=2.0, p="b")
        default = make_energy(spec, dim=4)
    xi, X = draw(2, 4), draw(3, 4)
    q, s = (xi * xi).sum(-1), xi @ X.mT
    torch.testing.assert_close(energy(xi, X), q - 2 * s.amax(-1))
    torch.testing.assert_close(default(xi, X), q - 0.5 * s.sum(-1))


def test_a_step_does_not_hide_what_is_no_number() -> None:
    values = torch.tensor([-1.0, 0.0, 2.0, math.nan])
    torch.testing.assert_close(
        compile_tree(parse("step(xi)", {"xi": XI}), masked=False)({"xi": values}),
        torch.tensor([0.0, 0.0, 1.0, math.nan]),
        equal_nan=True,
    )
