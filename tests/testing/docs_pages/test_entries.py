"""What the pages of entries read: the registry's text, and recorded scores."""

from __future__ import annotations

import json
from pathlib import Path

from attenergy.registry import load_registry
from attenergy.testing.docs_pages.entries.facts import written_entries
from attenergy.testing.docs_pages.entries.neighbours import neighbours
from attenergy.testing.docs_pages.entries.results import scores

TEXT = """\
version: 1
# a comment
energies:
  one:
    title: One
    # kept: it speaks of the next line
    formula: 0.5*|xi|^2

  # a heading
  two:
    title: Two
mixers:
  three: {title: Three}
tasks:
  one:
    title: Other
"""


def test_entries_as_they_are_written() -> None:
    entries = written_entries(TEXT)
    assert entries["energies"] == {
        "one": ("    title: One\n    # kept: it speaks of the next line\n    formula: 0.5*|xi|^2"),
        "two": "    title: Two",
    }
    assert entries["tasks"] == {"one": "    title: Other"}


def test_a_file_of_scores_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert scores(tmp_path) == []
    pool = {"task": "t", "variant": "v", "command": "x --steps 80", "scores": {"1": 0.5, "2": 1.0}}
    (tmp_path / "deciding_pools.json").write_text(json.dumps([pool]), encoding="utf-8")
    (score,) = scores(tmp_path)
    assert (score.variant, score.task, score.mean, score.seeds) == ("v", "t", 0.75, 2)
    assert score.how == "80 steps"


def test_neighbours_are_those_named_first() -> None:
    energies = load_registry(plugins=False).energies
    assert neighbours(energies, "pure_polynomial")[0] == "polynomial"
    assert neighbours(energies, "biased_hopfield")[0] == "classical_hopfield"
    assert "lse" not in neighbours(energies, "lse")
