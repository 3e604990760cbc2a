"""Which energies of the registry a discovery begins with."""

from __future__ import annotations

from attenergy.registry import load_registry
from attenergy.search.discovery.filters import screen
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.study.proposing import Seeds


def test_an_unbounded_energy_of_the_registry_takes_part() -> None:
    energies = load_registry(plugins=False).energies
    candidates = {
        name: candidate
        for name in ("lse", "linear_attention")
        if (candidate := Candidate.from_entry(energies[name])) is not None
    }
    assert screen(candidates["linear_attention"]).rejected_by == "bounded", "what is evolved is not"
    seeds = Seeds.screened(candidates)
    assert [*seeds.passed] == ["lse", "linear_attention"]
    assert all(result.fingerprint is not None for _, result in seeds.passed.values())


def test_of_equal_energies_the_first_takes_part() -> None:
    texts = {
        "one": "0.5*|xi|^2 - lse(beta*X @ xi)/beta",
        "two": "|xi|^2 - 2*lse(alpha*X @ xi)/alpha",
    }
    seeds = Seeds.screened({n: Candidate.from_formula(text) for n, text in texts.items()})
    assert [*seeds.passed] == ["one"]
    assert [*seeds.rejected] == ["two"]
