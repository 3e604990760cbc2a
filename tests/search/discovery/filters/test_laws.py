"""Laws that hold by construction are looked at all the same; descent is promised if proven."""

from __future__ import annotations

import pytest
import torch

from attenergy.energies import language
from attenergy.energies.language.table import forget_results
from attenergy.search.discovery.filters import laws, screen
from attenergy.search.discovery.filters.subject import Subject


@pytest.mark.parametrize(
    ("text", "descends"),
    [
        ("0.5*|xi|^2 - lse(beta*X @ xi)/beta", True),
        ("alpha*|xi|^2 - kappa*sum_n(softplus(beta*X @ xi))", True),
        ("|xi|^2 - lse(X @ xi)/sqrt(count_d())", True),
        ("|xi|^4 - sum_n(relu(X @ xi)^3)", False),
        ("|xi - X' @ softmax(beta*X @ xi)|^2", False),
    ],
)
def test_descent_is_promised_where_it_is_proven(candidate, text, descends):
    screening = screen(candidate(text))
    assert screening.rejected_by == ""
    assert screening.descends == descends


def reason(candidate, text: str) -> str:
    return laws.keeps_laws(Subject(candidate(text)))


def test_a_promise_that_does_not_hold(candidate, monkeypatch):
    monkeypatch.setattr(laws, "quadratic_part", lambda tree: 0.2)
    assert "a step raises" in reason(candidate, "0.5*|xi|^2 - lse(beta*X @ xi)/beta")


def test_derivatives_at_zero(candidate):
    assert "at xi = 0" in reason(candidate, "|xi|^2 + (|xi|^2)^1.25 - lse(X @ xi)")


@pytest.fixture
def wrong(monkeypatch):
    """Puts another row into the language's table for a while."""

    def replace(name, **changes):
        row = language.FUNCTIONS[name]
        fields = {f: getattr(row, f) for f in row.__dataclass_fields__}
        monkeypatch.setitem(language.FUNCTIONS, name, language.Function(**{**fields, **changes}))
        forget_results()

    yield replace
    monkeypatch.undo()
    forget_results()


def test_a_wrong_derivative(candidate, wrong):
    wrong("softplus", derivative=lambda z: language.call("tanh", z))
    assert "autograd" in reason(candidate, "|xi|^2 - sum_n(softplus(X @ xi))")


def test_a_wrong_mask(candidate, wrong):
    wrong("sum_n", emit=lambda code, arg: code.call(torch.sum, code.emit(arg), -1, keepdim=True))
    assert "hidden pattern" in reason(candidate, "|xi|^2 - sum_n(softplus(X @ xi))")


def test_an_order_that_matters(candidate, wrong):
    wrong("max_n", emit=lambda code, arg: code.emit(arg)[..., :1])
    assert "order" in reason(candidate, "|xi|^2 - max_n(softplus(X @ xi))")


def test_a_wrong_normal_form(candidate, wrong):
    wrong("lse", normal_form=lambda args: 2.0 * language.call("lse", *args))
    assert "normal form" in reason(candidate, "|xi|^2 - lse(X @ xi)")
