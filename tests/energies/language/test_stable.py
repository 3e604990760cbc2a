"""Log-sum-exp and softmax that a formula puts together from parts are computed as such."""

from __future__ import annotations

import pytest
import torch

from attenergy import make_energy
from attenergy.attention import gradient
from attenergy.energies.language import (
    PATTERNS,
    XI,
    Symbol,
    compile_tree,
    parse,
    simplify,
    stable_form,
)
from attenergy.testing import check_energy

SYMBOLS = {"X": PATTERNS, "xi": XI, "beta": Symbol((), "beta", positive=True)}


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("log(sum_n(exp(X @ xi)))", "lse(X @ xi)"),
        ("log(mean_n(exp(X @ xi)))", "lse(X @ xi) + log(1/count_n())"),
        ("log(beta*sum_n(exp(X @ xi)^2))", "lse(2*(X @ xi)) + log(beta)"),
        ("log(1 + sum_n(exp(X @ xi)))", "softplus(lse(X @ xi))"),
        ("log(sum_n(|X|^2*exp(X @ xi)))", "log(sum_n(|X|^2*exp(X @ xi)))"),
        ("log(sum_n(softplus(X @ xi)*exp(|X|)))", "lse(|X| + log(softplus(X @ xi)))"),
        ("log(exp(|xi|^2))", "|xi|^2"),
        ("sum_n(log(1 + exp(X @ xi)))", "sum_n(softplus(X @ xi))"),
        ("log(sum_n(exp(X @ xi)) - 1)", "log(sum_n(exp(X @ xi)) - 1)"),
        ("log(sum_n(exp(X @ xi))*(X @ xi) @ |X|)", None),
        ("exp(X @ xi) @ |X|/sum_n(exp(X @ xi))", "|X| @ softmax(X @ xi)"),
        ("|X' @ (exp(X @ xi)/sum_n(exp(X @ xi)))|", None),
        ("sum_n(exp(X @ xi))*|xi|", None),
    ],
)
def test_the_stable_form_has_the_same_value(text: str, stable: str | None) -> None:
    tree = parse(text, SYMBOLS)
    changed = stable_form(tree)
    if stable is not None:
        assert changed == simplify(parse(stable, SYMBOLS))
    assert stable_form(changed) == changed
    generator = torch.Generator().manual_seed(0)
    X, xi = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (5, 3))
    values = {"X": X, "xi": xi, "beta": torch.tensor(0.7, dtype=torch.float64)}
    one, other = (compile_tree(t, masked=False)(values) for t in (tree, changed))
    torch.testing.assert_close(one, other, equal_nan=True)


def test_log_sum_exp_from_its_parts_is_attention_and_does_not_overflow() -> None:
    text = "0.5*|xi|^2 - log(sum_n(exp(beta*X @ xi + h)))/beta"
    assembled = make_energy(text, dim=4, beta=1.0)
    named = make_energy("0.5*|xi|^2 - lse(beta*X @ xi + h)/beta", dim=4, beta=1.0)
    assert assembled.is_attention
    generator = torch.Generator().manual_seed(1)
    xi, X = (100 * torch.randn(n, 4, generator=generator) for n in (3, 5))
    mask = torch.ones(3, 5, dtype=torch.bool).tril(1)
    for of in (
        lambda energy: energy(xi, X, mask=mask),
        lambda energy: gradient(energy, xi, X, mask=mask),
    ):
        assert of(assembled).isfinite().all()
        torch.testing.assert_close(of(assembled), of(named))


@pytest.mark.long
def test_a_pattern_that_others_see_too_far_for_numbers_does_not_break_the_law_of_masks() -> None:
    formula = "0.5*|xi|^2 - lse(X @ xi + log(softplus(X @ xi)))"  # 0/0 in its slope at -1e4
    results = {r.law[0]: r for r in check_energy(formula)}
    assert results["2"].passed
    assert "far" in results["2"].note
