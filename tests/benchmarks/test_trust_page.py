"""The tables of docs/trust.md are those of the recorded results."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from attenergy.registry import load_registry
from attenergy.testing import LAWS, LawResult

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Imports a script of a folder of benchmarks/, for this test alone."""
    names = []

    def load(folder, name):
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
        names.append(name)
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_the_tables_are_those_of_the_results(script):
    trust_page = script("pages", "trust_page")
    text = trust_page.PAGE.read_text()
    assert trust_page.page(text) == text, "run python benchmarks/pages/trust_page.py"
    assert trust_page.page(text.replace("| yes |", "| perhaps |")) == text


def test_every_claim_has_a_table_and_every_table_a_claim(script):
    trust_page, checks = script("pages", "trust_page"), script("known_answers", "checks")
    shown = {name for _, name, _, _ in trust_page._PART.findall(trust_page.PAGE.read_text())}
    asked_of_others = {check.claim for check in checks.CHECKS}
    recorded = {row["claim"] for row in trust_page.result("known_answers")["rows"]}
    assert shown == asked_of_others | set(trust_page.TABLES)
    assert recorded == asked_of_others


def test_checks_that_need_no_other_package_give_what_is_recorded(script):
    trust_page, elsewhere = script("pages", "trust_page"), script("known_answers", "elsewhere")
    script("known_answers", "checks")
    rows = [elsewhere.row(check) for check in elsewhere.CHECKS if check.package in ("", "torch")]
    recorded = trust_page.result("known_answers")["rows"]
    assert rows
    for row in rows:
        (same,) = [
            old for old in recorded
            if (old["claim"], old["project"]) == (row["claim"], row["project"])
        ]  # fmt: skip
        if row["version"] == same["version"]:
            assert (same["holds"], same["seen"]) == (row["holds"], row["seen"])


def test_the_laws_hold_where_they_were_counted(script):
    measured = script("pages", "trust_page").result("laws")
    assert list(measured["laws"]) == list(LAWS)
    for counts in measured["laws"].values():
        assert counts["passed"] + len(counts["not_applicable"]) == measured["energies"]
        assert not counts["failed"]


def test_laws_are_counted(script, monkeypatch):
    laws = script("known_answers", "laws")
    law, other = list(LAWS)[:2]
    results = {
        (law, "lse"): LawResult(law, True, 0.5),
        (law, "rbm"): LawResult(law, True, 0.25),
        (other, "lse"): LawResult(other, False, 2.0, "too large"),
        (other, "rbm"): LawResult(other, None, None, "no"),
    }
    energies = load_registry(plugins=False).energies
    names = {id(spec): name for name, spec in energies.items()}
    monkeypatch.setattr(laws, "load_registry", lambda plugins: SimpleNamespace(energies=energies))
    monkeypatch.setattr(laws, "LAWS", [law, other])
    monkeypatch.setattr(laws, "check_law", lambda law, spec: results[law, names[id(spec)]])
    assert laws.count(["lse", "rbm"])["laws"] == {
        law: {"passed": 2, "not_applicable": [], "failed": [], "worst": 0.5},
        other: {
            "passed": 0, "not_applicable": ["rbm"], "failed": ["lse: too large"], "worst": 0.0,
        },
    }  # fmt: skip
