"""Memories in the formula language, steps by the radial factor, and learned metrics."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import gradient, relax
from attenergy.energies import (
    FormulaError,
    formula_problems,
    formula_tree,
    guarantee_of,
    make_energy,
)
from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    XI,
    Symbol,
    equivalent,
    parse,
    score_form,
    to_latex,
)
from attenergy.registry import EnergySpec, Registry
from attenergy.testing.cases import draw, float64

SYMBOLS = {"xi": XI, "X": PATTERNS, "h": FIELD, "beta": Symbol((), name="beta", positive=True)}
BETA = {"init": 1.0, "constraint": "positive"}
LSR = "-log(1e-3 + sum_n(relu(1 + h - 0.5*beta*sqdist(X, xi))))/beta"


@pytest.mark.parametrize(
    ("conjugate", "weights"),
    [
        ("sparsemax_conj({})", "sparsemax({})"),
        ("entmax_conj({}, 1.5)", "entmax({}, 1.5)"),
        ("normmax_conj({}, beta)", "normmax({}, beta)"),
        ("ksubsets_conj({}, 2)", "ksubsets({}, 2)"),
    ],
)
def test_the_derivative_is_the_weights_themselves(conjugate, weights):
    drive = "beta * X @ xi + h"
    tree = parse(f"0.5*|xi|^2 - {conjugate.format(drive)}/beta", SYMBOLS)
    form = score_form(tree)
    scores = {"s": Symbol(("N",), name="s"), "h": FIELD, "beta": SYMBOLS["beta"]}
    assert form is not None
    assert form.attention is None
    assert equivalent(form.weights, parse(weights.format("beta * s + h"), scores))
    assert str(form.radial) == "1"
    assert equivalent(parse(str(tree), SYMBOLS), tree)
    assert "conj" in to_latex(tree)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("entmax_conj(X @ xi, 3)", "must be above 1 and at most 2, got 3"),
        ("entmax_conj(X @ xi, 1)", "must be above 1 and at most 2, got 1"),
        ("normmax_conj(X @ xi, 0.5)", "must be above 1, got 0.5"),
        ("ksubsets_conj(X @ xi, 0)", "must be above 0, got 0"),
        ("entmax_conj(X @ xi, |xi|^2)", "may not depend on xi or h"),
        ("entmax_conj(X @ xi, h)", r"takes a scalar as its second argument; got \[N\]"),
        ("entmax_conj(X @ xi)", "takes 2 arguments, got 1"),
        ("sparsemax_conj(xi)", r"reduces \[N\], got \[D\]"),
        ("sum_n(sparsemax(xi))", r"takes \[N\], got \[D\]"),
        ("sparsemx_conj(X @ xi)", "did you mean 'sparsemax_conj'"),
    ],
)
def test_wrong_uses_say_what_is_wrong(formula, message):
    with pytest.raises(FormulaError, match=message):
        parse(formula, SYMBOLS)


def test_constant_scores_are_left_alone(energy_of):
    """A vector that simplifies to a scalar is no argument of a reduction over patterns."""
    energy = energy_of("0.5*|xi|^2 - sparsemax_conj(0*(X @ xi))")
    xi, X = draw(1, 3, 4), draw(2, 5, 4)
    torch.testing.assert_close(energy(xi, X), 0.5 * xi.square().sum(-1) - 0.4)


def test_weights_themselves_may_stand_in_a_formula(energy_of):
    energy = energy_of("|xi - X' @ sparsemax(X @ xi)|^2")
    xi, X = draw(3, 3, 4), draw(4, 5, 4)
    assert not energy.has_weights
    step = torch.func.grad(lambda state: energy(state, X).sum())(xi)
    torch.testing.assert_close(gradient(energy, xi, X), step)


@pytest.mark.parametrize("beta", [1e-3, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "formula",
    [
        "0.5*|xi|^2 - sparsemax_conj(beta * X @ xi + h)/beta",
        "0.5*|xi|^2 - entmax_conj(beta * X @ xi + h, 1.5)/beta",
        "0.5*|xi|^2 - normmax_conj(beta * X @ xi + h, 2)/beta",
        "0.5*|xi|^2 - ksubsets_conj(beta * X @ xi + h, 2)/beta",
        "0.5*|xi|^2 - softplus(lse(beta * X @ xi + h))/beta",
        "-sum_n(exp(beta * X @ xi + h - max_n(beta*sqrt(count_d())*|X| + h)))/beta",
        "-lse(-0.5*beta*sqdist(X, xi) + h)/beta",
        LSR,
    ],
)
def test_extreme_temperatures_and_a_single_pattern_are_finite(energy_of, formula, dtype, beta):
    energy = energy_of(formula, settings={"beta": beta}, beta=BETA).to(dtype)
    for patterns in (1, 6):
        xi = draw(5, 3, 4).to(dtype).requires_grad_()
        X = draw(6, patterns, 4).to(dtype).requires_grad_()
        state = relax(energy, xi, X, steps=2).state
        wanted = (xi, X, *energy.parameters())
        gradients = torch.autograd.grad(
            state.square().sum() + energy(xi, X).sum(), wanted, allow_unused=True
        )
        assert torch.isfinite(state).all()
        assert all(g is None or torch.isfinite(g).all() for g in gradients)


# Steps divided by the radial factor.


def radial_entry(formula=LSR, **more):
    data = {"title": "kernel", "formula": formula, "parameters": {"beta": BETA}}
    return EnergySpec.model_validate({**data, "quadratic": "radial", **more})


def test_a_step_by_the_radial_factor_lands_on_the_mean_of_the_patterns_in_reach():
    with float64():
        energy = make_energy(radial_entry(), dim=2, beta=0.5)  # reach 2
    X = torch.tensor([[0.0, 0.0], [1.0, 0.0], [8.0, 8.0]], dtype=torch.float64)
    xi = torch.tensor([[0.4, 0.3], [7.0, 8.0], [4.0, 4.0]], dtype=torch.float64)
    want = torch.tensor([[0.5, 0.0], [8.0, 8.0], [4.0, 4.0]], dtype=torch.float64)
    for backend in ("eager", "scores"):
        got = relax(energy, xi, X, step_size=1.0, backend=backend).state
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    hidden = torch.tensor([True, False, True])
    seen = relax(energy, xi, X, mask=hidden.expand(3, 3), step_size=1.0).state
    torch.testing.assert_close(seen[0], X[0], rtol=0, atol=1e-12)
    blind = relax(energy, xi, X, mask=torch.zeros(3, 3, dtype=torch.bool)).state
    assert torch.equal(blind, xi)


def test_out_of_reach_there_is_no_slope_and_no_nan():
    with float64():
        energy = make_energy(radial_entry(), dim=2, beta=0.5)
    X = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    xi = torch.full((1, 2), 9.0, dtype=torch.float64, requires_grad=True)
    state = relax(energy, xi, X, steps=3).state
    slope_xi, slope_X = torch.autograd.grad(state.sum(), (xi, X))
    assert torch.equal(state, xi)
    assert torch.equal(slope_xi, torch.ones_like(xi))
    assert not slope_X.any()


def test_the_radial_factor_promises_descent_and_has_no_constant_part():
    spec = radial_entry()
    energy = make_energy(spec, dim=2)
    assert guarantee_of(spec) == "parallel"
    assert energy.quadratic() is None
    assert energy.largest_step_size() == 2.0
    assert formula_problems(Registry(energies={"kernel": spec})) == []


def test_an_energy_without_a_radial_factor_cannot_step_by_it():
    energy = make_energy(radial_entry("|xi - X' @ softmax(beta * X @ xi)|^2"), dim=2)
    with pytest.raises(ValueError, match="says 'quadratic: radial', but its gradient"):
        relax(energy, torch.randn(1, 2), torch.randn(3, 2))


def test_a_misspelt_radial_is_an_error_in_the_expression():
    spec = radial_entry(quadratic="radiall")
    (problem,) = formula_problems(Registry(energies={"kernel": spec}))
    assert problem.path == "energies.kernel.quadratic"


# Learned metrics.


def metric_entry(name="EllipticalMemory", **parameters):
    given = {"beta": BETA, "A": {"init": 1.0, "shape": ["D", "D"]}}
    data = {"title": "metric", "class": name, "descends": "parallel"}
    return EnergySpec.model_validate({**data, "parameters": {**given, **parameters}})


def with_map(spec, matrix, **settings):
    with float64():
        energy = make_energy(spec, dim=matrix.shape[-1], **settings)
    with torch.no_grad():
        energy.parameters_.raw["A"].copy_(matrix)
    return energy


def test_a_diagonal_metric_gives_mean_shift_in_one_step():
    scale = torch.tensor([0.3, 2.0, 1.0], dtype=torch.float64)
    energy = with_map(metric_entry(), torch.diag(scale))
    xi, X = draw(7, 4, 3), draw(8, 5, 3)
    distances = ((xi[:, None] - X) * scale).square().sum(-1)
    want = torch.softmax(-0.5 * distances, -1) @ X
    torch.testing.assert_close(relax(energy, xi, X, step_size=1.0).state, want)


def test_the_diagonal_lies_above_the_metric():
    for seed in range(20):
        matrix = draw(seed, 5, 5)
        bound = with_map(metric_entry(), matrix).quadratic()
        slack = torch.diag(bound.squeeze(0)) - matrix.mT @ matrix
        assert torch.linalg.eigvalsh(slack).min() > -1e-12


def test_a_map_with_a_null_space_ignores_it():
    flat = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    energy = with_map(metric_entry(), flat)
    xi, X = draw(9, 3, 2), draw(10, 4, 2)
    moved = relax(energy, xi, X, steps=2).state
    torch.testing.assert_close(moved[:, 1], xi[:, 1])
    assert torch.isfinite(moved).all()


def test_heads_have_metrics_of_their_own():
    energy = make_energy(metric_entry(), dim=3, num_heads=2).double()
    assert energy.quadratic().shape == (2, 1, 3)
    assert energy(draw(11, 5, 2, 4, 3), draw(12, 5, 2, 6, 3)).shape == (5, 2, 4)


@pytest.mark.parametrize("name", ["EllipticalMemory", "KernelMemory"])
def test_a_metric_needs_its_map(name):
    wrong = {"A": {"init": 1.0}, "Phi": {"init": 1.0}}
    with pytest.raises(ValueError, match=r"needs a parameter '(A|Phi)' of shape \['D', 'D'\]"):
        make_energy(metric_entry(name, **wrong), dim=3)


def test_the_formula_tree_folds_a_fixed_order():
    excess = {"init": 0.5, "learnable": "no"}
    data = {"title": "t", "formula": "entmax_conj(X @ xi, 1 + excess)"}
    spec = EnergySpec.model_validate({**data, "parameters": {"excess": excess}})
    assert str(formula_tree(spec, dim=4)) == "entmax_conj(X @ xi, 1.5)"
    with pytest.raises(FormulaError, match=r"at most 2, got 2\.5"):
        formula_tree(spec, dim=4, settings={"excess": 1.5})
