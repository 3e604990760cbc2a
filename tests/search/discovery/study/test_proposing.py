"""Which energies of the registry a discovery begins with."""

from __future__ import annotations

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.filters import Screening, screen
from attenergy.search.discovery.formulas import Candidate, Grammar
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.proposals import Proposal
from attenergy.search.discovery.study import proposing
from attenergy.search.discovery.study.proposing import Proposer, Seeds


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


def test_what_was_rejected_or_proposed_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "0.5*|xi|^2 - beta*|X @ xi|^2"
    good = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
    proposals = iter([bad, bad, good, bad, good, good])
    looked: list[str] = []

    def propose(*_: object) -> Proposal:
        return Proposal(Candidate.from_formula(next(proposals)))

    def counted(candidate: Candidate, *rest: object) -> Screening:
        looked.append(candidate.key)
        return screen(candidate, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(proposing, "propose", propose)
    monkeypatch.setattr(proposing, "screen", counted)
    plan = DiscoverPlan(study="a", folder="a", tasks=("denoising",), candidates=9, control=0.0)
    proposer = Proposer(plan, Grammar.of(), Seeds({}, {}), ("denoising",), 1)
    first = proposer.prepare([], 0, 3)
    assert first is not None
    assert dict(first.rejections.counts) == {"bounded": 2}
    assert proposer.prepare([first.individual], 1, 3) is None
    assert looked == [Candidate.from_formula(text).key for text in (bad, good)]
