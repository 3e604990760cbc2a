from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.cli.app import app
from attenergy.search.cli.entries.in_the_study import MEASURED, in_the_study

REGISTRY = load_registry(plugins=False)
VARIANTS = {**REGISTRY.energies, **REGISTRY.mixers}


@pytest.mark.long
def test_every_entry_that_was_measured_has_a_line() -> None:
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    entries = measured["entries"]
    assert entries.keys() <= VARIANTS.keys()
    assert len(entries) > 30
    for name, spec in VARIANTS.items():
        line = in_the_study(name, spec)
        if name not in entries:
            assert line == ""
            continue
        score = re.fullmatch(
            r"raven-small, unseen pairs of rules: (0\.\d{3})\S*( \[.*\])? over (\d+) seeds?"
            r"(; softmax 0\.\d{3})?; chance 0\.016, ceiling 0\.98\d(; over (\d+) fresh seeds .*)?",
            line,
        )
        assert score is not None, line
        assert float(score[1]) == pytest.approx(entries[name]["mean"], abs=6e-4)
        assert int(score[3]) == entries[name]["seeds"]
        assert bool(score[4]) == (name != "softmax")
        assert bool(score[5]) == ("race" in entries[name])
    assert in_the_study("linear_attention", VARIANTS["linear_attention"]).endswith(
        "; over 14 fresh seeds it beats softmax by 0.064 on valid"
    )


def test_an_entry_of_the_same_name_has_none() -> None:
    other = REGISTRY.energies["lse"].model_copy(update={"formula": "0.5*|xi|^2 - lse(X @ xi)"})
    assert in_the_study("lse", other) == ""
    assert in_the_study("lse", REGISTRY.energies["lse"])


def test_it_is_shown() -> None:
    text = CliRunner().invoke(app, ["energies", "show", "lsr"]).output
    assert "in the study" in text
    data = json.loads(CliRunner().invoke(app, ["energies", "show", "hyla", "-f", "json"]).output)
    assert data["in_the_study"] == in_the_study("hyla", REGISTRY.mixers["hyla"])
