"""Formulas that no person would write are read, derived and compiled all the same."""

from __future__ import annotations

import random
import warnings
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from attenergy import EnergyAttention, make_energy
from attenergy.attention import gradient
from attenergy.energies.language import (
    Expr,
    compile_tree,
    parse,
    simplify,
    stable_form,
    to_latex,
    to_text,
)
from attenergy.search.discovery.formulas import (
    OPERATIONS,
    SYMBOLS,
    Candidate,
    Grammar,
    random_candidate,
    vary,
)

GRAMMAR = Grammar.of()
FEW = range(24)
MANY = range(24, 1500)


def formula(seed: int) -> Candidate:
    """A random energy, at odd seeds after some variations."""
    rng = random.Random(f"generated {seed}")
    candidate = random_candidate(GRAMMAR, rng)
    for _ in range(3 * (seed % 2)):
        operation = OPERATIONS[rng.choice(list(OPERATIONS))]
        others = [random_candidate(GRAMMAR, rng) for _ in range(operation.parents - 1)]
        candidate = vary(operation, [candidate, *others], GRAMMAR, rng) or candidate
    return candidate.with_field()


def numbers(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"xi": (3, 4), "X": (5, 4), "h": (3, 5)}
    values = {
        name: torch.randn(size, generator=generator, dtype=torch.float64)
        for name, size in sizes.items()
    }
    scalars = {"beta": 0.7, "alpha": 1.3, "kappa": 0.4}
    return values | {k: torch.tensor(v, dtype=torch.float64) for k, v in scalars.items()}


def value(tree: Expr, seed: int) -> Tensor:
    result = compile_tree(tree, masked=False)(numbers(seed))
    return torch.as_tensor(result, dtype=torch.float64).expand(3, 1)


def check_language(seed: int) -> None:
    """Text, normal form, stable form and LaTeX say what the tree says."""
    tree = formula(seed).tree
    assert parse(to_text(tree), SYMBOLS) == tree
    normal, stable = simplify(tree), stable_form(tree)
    assert simplify(normal) == normal
    assert stable_form(stable) == stable
    assert simplify(parse(to_text(normal), SYMBOLS)) == normal
    wanted = value(tree, seed)
    for other in (normal, stable):
        got = value(other, seed)
        known = wanted.isfinite()
        torch.testing.assert_close(got[known], wanted[known], rtol=1e-7, atol=1e-9)
    check_latex(to_latex(tree))


def check_latex(text: str) -> None:
    """Braces and brackets close, and no exponent follows another, which LaTeX refuses."""
    assert text.count(r"\left") == text.count(r"\right")
    opened: list[bool] = []
    for index, character in enumerate(text):
        if character == "{":
            opened.append(text[index - 1] == "^")
        if character == "}":
            assert not (opened.pop() and text[index + 1 : index + 2] == "^"), text
    assert not opened


def check_energy(seed: int) -> None:
    """The written derivative is autograd's, and what is masked is as good as deleted."""
    energy = make_energy(formula(seed).entry(title="drawn"), dim=4).double()
    given = numbers(seed)
    xi, X, field = given["xi"], given["X"], given["h"]
    seen = torch.arange(5) < 3
    mask = seen.expand(3, 5)
    wanted = gradient(energy, xi, X[seen], field=field[:, seen], backend="eager")
    if not (wanted.isfinite().all() and wanted.abs().max() < 1e9):
        return
    far = torch.where(seen[:, None], X, float("nan"))
    for backend in ("eager", "scores") if energy.has_weights else ("eager",):
        for patterns, rows, bias in ((X[seen], None, field[:, seen]), (far, mask, field)):
            got = gradient(energy, xi, patterns, mask=rows, field=bias, backend=backend)
            torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


def check_layer(seed: int) -> None:
    """A layer runs forward and backward, in two precisions, and tells what acts from what not."""
    layer = EnergyAttention(8, 2, formula(seed).entry(title="drawn"), steps=2, step_size=0.1)
    generator = torch.Generator().manual_seed(seed)
    inputs = 0.5 * torch.randn(2, 5, 8, generator=generator)
    result = layer(inputs)
    assert result.shape == inputs.shape
    if result.isfinite().all():
        result.sum().backward()
    reduced = layer.bfloat16()(inputs.bfloat16())
    assert reduced.dtype == torch.bfloat16


@pytest.mark.parametrize("check", [check_language, check_energy, check_layer])
@pytest.mark.parametrize("first", FEW[::8])
def test_some_generated_formulas(check: object, first: int) -> None:
    assert callable(check)
    for seed in range(first, first + 8):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_language, check_energy, check_layer])
@pytest.mark.parametrize(("first", "last"), [*pairwise([*MANY[::246], MANY.stop])])
def test_many_generated_formulas(check: object, first: int, last: int) -> None:
    assert callable(check)
    for seed in range(first, last):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, 8))
def test_a_generated_formula_is_compiled_without_a_break(seed: int) -> None:
    energy = make_energy(formula(seed).entry(title="drawn"), dim=4).double()
    given = numbers(seed)

    def slope(xi: Tensor, X: Tensor) -> Tensor:
        return gradient(energy, xi, X)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own
        compiled = torch.compile(slope, fullgraph=True, backend="aot_eager")
        got = compiled(given["xi"], given["X"])
    torch.testing.assert_close(got, slope(given["xi"], given["X"]), equal_nan=True)


def test_weights_of_whole_rows_are_right_where_another_term_keeps_empty_rows_closed() -> None:
    energy = make_energy("0.5*|xi|^2 - max_n(log(4*|X|)) - sparsemax_conj(X @ xi)", dim=4).double()
    given = numbers(0)
    xi, X = given["xi"].requires_grad_(), given["X"].requires_grad_()
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[2] = mask[:, 4] = False
    results = []
    for backend in ("eager", "scores"):
        slope = gradient(energy, xi, X, mask=mask, backend=backend)
        results.append((slope, *torch.autograd.grad(slope.square().sum(), [xi, X])))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "text", ["sum_n(sqrt(exp((9*|X|^2 + |xi|^2)^4)))", "relu(X @ xi + h) @ log(|X| - 1.5)"]
)
def test_where_a_formula_has_no_value_its_derivative_is_not_doubted(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        energy = make_energy(f"0.5*|xi|^2 - {text}", dim=4)
    assert energy.has_weights
