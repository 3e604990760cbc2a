"""Filters say which of them a formula does not pass, and never raise."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest

from attenergy.search.discovery.filters.screen import FILTERS, screen
from attenergy.search.discovery.formulas import Grammar
from attenergy.search.discovery.formulas.generate import random_candidate

SOFTMAX = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"


def test_softmax_passes_once(candidate):
    first = screen(candidate(SOFTMAX))
    assert (first.rejected_by, first.reason) == ("", "")
    assert first.fingerprint is not None
    assert first.milliseconds > 0
    again = screen(candidate("0.5*|xi|^2 - lse(2*kappa*X @ xi)/(2*kappa)"), {first.fingerprint.key})
    assert again.rejected_by == "known"
    assert again.fingerprint is not None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("|xi|^2", "types"),
        ("0*sum_n(X @ xi) + |xi|^2", "types"),
        ("|xi|^2 - lse(X @ xi) + 0.1/|xi|", "finite"),
        ("ksubsets_conj(cos(X @ xi), 1.5)^1.5", "finite"),
        ("sum_n(sqrt(exp(count_d()*(X @ xi))))/count_n()", "finite"),
        ("log(sum_n(X @ xi))", "bounded"),
        ("lse(((alpha + X')' @ abs(xi))*(2 + |X|))", "bounded"),
        ("|xi|^2 - lse(X @ xi) + exp(0.02*|xi|^4)", "finite"),
        ("0.5*|xi|^2 - 0.5*beta*|X @ xi|^2", "bounded"),
        ("0.5*|xi|^2 - sum_n(relu(X @ xi)^3)", "bounded"),
        ("|xi| - lse(X @ xi)", "bounded"),
        ("-sum_n(exp(beta*X @ xi))/beta", "bounded"),
        ("0.5*|xi|^2 - |mean_n(X)|^2", "signal"),
        ("0.5*|xi|^2 - sum_n(X @ xi)", "signal"),
        ("0.5*|xi|^2 - max_n(X @ xi)", "signal"),
        ("0.5*|xi|^2 - lse(1e3*X @ xi)/1e3", "signal"),
        ("0.5*|xi|^2 - 1e-6*lse(X @ xi) + 1e6*|xi|^2", "signal"),
        ("0.5*|xi|^2 - lse(X @ xi)/1e5", "signal"),
        ("|xi|^2 - lse(X @ sqrt(relu(0.5 + xi)))", "signal"),
    ],
)
def test_rejected(candidate, text, name):
    screening = screen(candidate(text))
    assert screening.rejected_by == name
    assert screening.reason
    assert screening.fingerprint is None


@pytest.mark.parametrize(
    "text",
    [
        "0.5*|xi|^2 - log(sum_n(exp(beta*X @ xi)))/beta",
        "0.5*|xi|^2 - log(mean_n(exp(beta*X @ xi)))/beta",
        "-log(sum_n(exp(-beta*sqdist(X, xi))))/beta",
        "0.5*|xi|^2 - log(1 + sum_n(exp(beta*X @ xi)))/beta",
    ],
)
def test_it_looks_at_what_is_compiled(candidate, text):
    """Exponentials that overflow or vanish are under a logarithm, which the compiler takes."""
    assert screen(candidate(text)).rejected_by == ""


def test_what_overflows_far_out_counts_as_the_law_has_it(candidate):
    assert "without bound" in screen(candidate("|xi|^2 - lse(X @ xi) - exp(0.1*|xi|)")).reason
    assert screen(candidate("|xi|^2 - lse(X @ xi) + exp(0.1*|xi|)")).rejected_by == ""


def test_no_error_leaves_it():
    assert "AttributeError" in screen(SimpleNamespace()).reason


def test_every_filter_explains_itself():
    names = [row.name for row in FILTERS]
    assert len(set(names)) == len(names)
    assert all(row.explanation for row in FILTERS)


@pytest.mark.long
def test_formulas_that_no_person_would_write():
    """No error on the way, and something of everything: some pass, most do not."""
    rng, grammar = random.Random(4), Grammar.of()
    known: set[str] = set()
    results = []
    for _ in range(30):
        screening = screen(random_candidate(grammar, rng), known)
        results.append(screening.rejected_by)
        assert not re.match(r"\w+Error:|the language refuses", screening.reason), screening.reason
        if not screening.rejected_by:
            known.add(screening.fingerprint.key)
    assert 2 < results.count("") < 20
    assert "signal" in results


@pytest.mark.parametrize("text", ["sum_n(step(X @ xi))", "sum_n(X @ step(xi))", "|sign(X @ xi)|^2"])
def test_no_gradient_at_all(candidate, text):
    assert screen(candidate(text)).reason.startswith("the update is 0")
