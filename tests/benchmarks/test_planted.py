"""What counts as log-sum-exp found again, and what the table of planted truths says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.discovery import Formula

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


@pytest.mark.long
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


def formula(number: int, arm: Any, text: str, score: float) -> Formula:
    candidate = Candidate.from_formula(text)
    return Formula(
        number=number,
        arm=arm,
        formula=text,
        length=candidate.length,
        operation="point",
        scores={"denoising": score},
        seconds=2.0,
    )


def test_the_table_says_when_each_arm_was_there_and_whether_it_is_on_top(tmp_path: Path) -> None:
    planted = module("planted")
    near, lse = "0.5*|xi|^2 - max_n(X @ xi)", "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
    population = [
        formula(0, "registry", lse, 1.0),
        *(formula(1, "evolved", near, 0.4), formula(2, "random", near, 0.4)),
        *(formula(3, "evolved", lse, 0.9), formula(4, "evolved", near, 0.95)),
    ]
    outcomes = {arm: planted.outcome(population, arm) for arm in planted.ARMS}
    evolved = outcomes["evolved"]
    assert (evolved.how, evolved.after_candidates, evolved.after_seconds) == ("fingerprint", 2, 4.0)
    assert not evolved.on_top
    assert evolved.progress == [(1, 0.4), (2, 0.9), (3, 0.95)]
    assert not outcomes["random"].how
    rows = [{"setting": "named", "seed": 0, **{a: vars(each) for a, each in outcomes.items()}}]
    shown = planted.table(rows)
    assert "named, evolved: 1 of 1 seeds" in shown
    assert "named, random: 0 of 1 seeds" in shown
    pytest.importorskip("matplotlib")
    planted.picture(rows, tmp_path / "planted.png")
    assert (tmp_path / "planted.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_small_discovery_is_a_row_that_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, out = module("planted"), tmp_path / "rows.json"
    words = ["planted.py", "--settings", "assembled", "--seeds", "1", "--candidates", "4"]
    words += ["--workers", "0", "--folder", str(tmp_path / "runs"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    planted.main()
    (row,) = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert row["evolved"]["candidates"] == row["random"]["candidates"] == 2
    monkeypatch.setattr(planted, "discover", None)
    planted.main()
