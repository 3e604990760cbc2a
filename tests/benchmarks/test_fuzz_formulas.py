"""Forty random formulas: derived and masked as autograd and deletion say; a planted fault shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from attenergy.energies.language import PUBLIC, emit

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz"


@pytest.fixture
def fuzz(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import fuzz_formulas

    yield fuzz_formulas
    for name in ("fuzz_formulas", "random_formulas"):
        sys.modules.pop(name)


@pytest.mark.long
def test_a_sample_of_random_formulas(fuzz):
    result = fuzz.fuzz(20, seed=1)
    assert result["wrong"] == []
    assert sum(result["outcomes"].values()) == 20
    assert result["outcomes"]["equal, derived"] >= 5
    assert result["outcomes"]["equal, by autograd"] >= 2
    assert all("EXCEPTION" not in outcome for outcome in result["outcomes"])


def test_the_generator_knows_every_function(fuzz):
    import random

    import random_formulas

    texts = [random_formulas.random_formula(random.Random(n)) for n in range(3000)]
    missing = {name for name in PUBLIC if not any(f"{name}(" in text for text in texts)}
    assert missing == set()
    words = {word for text in texts for word in text.replace("(", " ").replace(")", " ").split()}
    assert set(random_formulas.PARAMETERS) <= words


def test_a_function_that_reads_what_is_hidden_is_seen(fuzz, monkeypatch):
    formula = "0.5*|xi|^2 - sum_n(1/sqdist(X, xi))*0.01*mixing"
    assert fuzz.look(formula, 1) == "equal, derived"
    emit._compiled.cache_clear()
    monkeypatch.setattr(emit.Emitter, "guarded", lambda self, expr: self.emit(expr))
    assert "WRONG" in fuzz.look(formula.replace("0.01", "0.02"), 1)
    emit._compiled.cache_clear()
