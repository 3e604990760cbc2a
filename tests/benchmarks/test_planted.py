"""What counts as log-sum-exp found again, and what the table of planted truths says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.formulas.candidate import Candidate

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "discovery"


@pytest.fixture(scope="module", autouse=True)
def at_folder() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def module(name: str) -> ModuleType:
    return __import__(name)


@pytest.mark.parametrize(
    ("formula", "how"),
    [
        ("0.5*|xi|^2 - lse(beta*X @ xi)/beta", "fingerprint"),
        ("alpha*|xi|^2 - 3*log(sum_n(exp(2*beta*X @ xi)))/kappa", "proof"),
        ("0.3*|xi|^2 - log(mean_n(exp(beta*X @ xi + 1)))", "proof"),
        ("0.5*|xi|^2 - lse(0.7*X @ xi)/kappa", "proof"),
        ("-lse(-0.5*beta*sqdist(X, xi))/beta", "proof, equal lengths"),
        # The temperature cannot be chosen, or not without a scale that is not 1.
        ("0.5*|xi|^2 - lse(X @ xi)/kappa", ""),
        ("|xi|^2/alpha - lse(alpha*X @ xi)/alpha", ""),
        ("0.5*|xi|^2 + lse(beta*X @ xi)/beta", ""),
        ("0.5*|xi|^2 - sum_n(exp(beta*X @ xi))/beta", ""),
        ("0.5*|xi|^2 - lse(beta*(X @ xi)^2)/beta", ""),
        ("0.5*|xi|^2 - lse(beta*|xi|^2*(X @ xi))/beta", ""),
        ("0.5*|xi|^2 - |xi|^2*lse(beta*X @ xi)/beta", ""),
        ("-lse(beta*X @ xi)/beta", ""),
    ],
)
def test_log_sum_exp_is_known_in_other_words(formula: str, how: str) -> None:
    assert module("rediscovery").rediscovered(Candidate.from_formula(formula)) == how


def test_relatives_of_log_sum_exp_are_no_seeds() -> None:
    rediscovery, registry = module("rediscovery"), load_registry(plugins=False)
    removed, seeds = rediscovery.relatives(registry), rediscovery.seeds(registry)
    assert removed["lse"] == "fingerprint"
    assert not removed.keys() & set(seeds)
    assert len(seeds) > 5
    for name in seeds:
        formula = registry.energies[name].formula
        assert formula is not None
        assert "lse(" not in formula
        assert "softmax(" not in formula
