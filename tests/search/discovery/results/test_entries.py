from __future__ import annotations

from pathlib import Path

import pytest
import torch

import attenergy
from attenergy.energies.language import FUNCTIONS
from attenergy.registry import Registry, load_registry
from attenergy.registry.plugins import Plugin
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.entries import entries_of, entries_text, entry_of
from attenergy.testing import check_law

ROOTED = "0.5*|xi|^2 - sum_n(root(X @ xi))"


@pytest.fixture
def loaded(discovery: Discovery, tmp_path: Path) -> Registry:
    path = tmp_path / "discovered.yaml"
    path.write_text(entries_text(discovery))
    return load_registry(path, plugins=False)


def test_entries_are_usable_at_once(loaded: Registry) -> None:
    torch.manual_seed(0)
    layer = attenergy.EnergyAttention(16, 2, energy="discovered_5", registry=loaded)
    assert layer(torch.randn(2, 5, 16)).shape == (2, 5, 16)
    assert check_law("2 masking equals deleting", loaded.energies["discovered_5"]).passed
    assert check_law("4 descent", loaded.energies["discovered_3"]).passed


def test_finalists_come_first_then_others_that_evolved(loaded: Registry) -> None:
    own = [name for name in loaded.energies if "_" in name and name[-1].isdigit()]
    assert own == ["discovered_5", "discovered_3", "random_2"]


def test_settings_become_defaults(loaded: Registry) -> None:
    spec = loaded.energies["discovered_5"]
    assert (spec.steps.default, spec.step_size.default) == (2, 0.9)
    assert spec.parameters["beta"].init == "1/sqrt(D)"  # which is learned


@pytest.mark.parametrize(
    "settings", [{"beta": 2.0}, {"steps": 2.5}, {"steps": "two"}, {"step_size": True}, {"x": 1}]
)
def test_a_setting_that_no_search_gives_is_passed_over(settings: dict[str, float]) -> None:
    candidate = Candidate.from_formula("|xi|^2 - lse(beta*X @ xi)")
    spec = entry_of(candidate, settings, title="Mine")
    assert spec == candidate.entry(title="Mine")


def test_provenance_names_study_trial_parents_and_scores(loaded: Registry) -> None:
    spec = loaded.energies["discovered_5"]
    assert spec.reference == (
        "attenergy discover, study made-up, trial 5, tasks stacked-recall-small, seed 7, 2026-11-27"
    )
    assert "5 by crossover of 3 and 1; 3 by number of 0; 1 from quadratic; 0 from lse" in spec.doc
    assert "denoising 0.700" in spec.doc
    assert "Nearest known energy: lse" in spec.doc


def test_a_name_that_is_taken_gets_an_underscore(discovery: Discovery, loaded: Registry) -> None:
    assert next(iter(entries_of(discovery, loaded))) == "discovered_5_"


@pytest.mark.parametrize("text", ["import os", "xi", "|xi|^2 +", "lse(" * 200, "0.5*|y|^2"])
def test_what_is_no_formula_is_no_entry(discovery: Discovery, text: str) -> None:
    names = entries_of(_with_formula(discovery, text))
    assert list(names) == ["discovered_3", "random_2"]


@pytest.mark.usefixtures("rootfun")
def test_a_function_of_a_plug_in_is_said_in_a_comment(discovery: Discovery) -> None:
    text = entries_text(_with_formula(discovery, ROOTED))
    (line,) = [line for line in text.splitlines() if "plug-in" in line]
    assert line == (
        "# Needs the plug-in rootfun (formula function 'root'): attenergy --plugin rootfun ..."
    )
    FUNCTIONS.owners["root"] = Plugin("__main__", "__main__")
    text = entries_text(_with_formula(discovery, ROOTED))
    assert "# Needs what a script registered: formula function 'root'.\n" in text
    assert "plug-in" not in entries_text(discovery)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ROOTED, "formula, column 20: unknown function 'root'"),
        ("0.5*|y|^2", "formula, column 6: unknown name 'y'"),
        ("|xi|^2 \u202e\n- lse(X @ xi)", "formula, column 8: unexpected"),
    ],
)
def test_what_is_left_out_is_said_in_a_comment(
    discovery: Discovery, text: str, reason: str, tmp_path: Path
) -> None:
    written = entries_text(_with_formula(discovery, text))
    (line,) = [line for line in written.splitlines() if "left out" in line]
    assert line.startswith(f"# discovered_5 is left out: {reason}")
    assert len(line) < 150
    (tmp_path / "discovered.yaml").write_text(written)
    energies = load_registry(tmp_path / "discovered.yaml", plugins=False).energies
    assert "discovered_3" in energies


def _with_formula(discovery: Discovery, text: str) -> Discovery:
    population = [
        f.model_copy(update={"formula": text}) if f.number == 5 else f for f in discovery.population
    ]
    return discovery.model_copy(update={"population": tuple(population)})


def test_one_form_is_written_once(discovery: Discovery) -> None:
    three, five = discovery.by_number[3], discovery.by_number[5]
    twin = five.model_copy(update={"number": 9, "key": three.key})
    population = (*discovery.population, twin)
    names = entries_of(discovery.model_copy(update={"population": population}))
    assert "discovered_9" not in names


def test_nothing_discovered_is_an_empty_file_that_loads(
    discovery: Discovery, tmp_path: Path
) -> None:
    empty = discovery.model_copy(update={"population": (), "finalists": ()})
    path = tmp_path / "discovered.yaml"
    path.write_text(entries_text(empty))
    assert load_registry(path, plugins=False).energies == load_registry(plugins=False).energies
