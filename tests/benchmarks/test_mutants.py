"""What can be planted: each operator once, and nothing in words."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "mutations"

PROGRAM = '''"""Text 1 < 2."""

from math import sqrt

LIMIT: int = 3


def area(width: float, scale: bool = True) -> float:
    """Text 4 + 5."""
    if not width < 2.5 and scale:
        raise ValueError(f"got {width + 1}")
    total = round(sqrt(width) * width, ndigits=LIMIT)
    total += -width if scale else width
    print("said", 7)
    known.append(total)
    return total
'''

EXPECTED = {
    ("boundary", "3", "4"),
    ("boundary", "3", "2"),
    ("constant", "True", "False"),
    ("branches", "not width < 2.5 and scale", "(not (not width < 2.5 and scale))"),
    ("and-or", "not width < 2.5 and scale", "(not width < 2.5 or scale)"),
    ("not", "not width < 2.5", "(width < 2.5)"),
    ("comparison", "width < 2.5", "(width <= 2.5)"),
    ("comparison", "width < 2.5", "(width > 2.5)"),
    ("constant", "2.5", "5.0"),
    ("removal", 'raise ValueError(f"got {width + 1}")', "pass"),
    ("argument", "round(sqrt(width) * width, ndigits=LIMIT)", "(round(sqrt(width) * width))"),
    ("arithmetic", "sqrt(width) * width", "(sqrt(width) / width)"),
    ("removal", "total += -width if scale else width", "pass"),
    ("branches", "-width if scale else width", "(width if scale else -width)"),
    ("sign", "-width", "width"),
    ("removal", "known.append(total)", "pass"),
    ("return", "total", "None"),
}


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "mutants", raising=False)
    return importlib.import_module("mutants")


def test_every_operator_and_no_words(mutants) -> None:
    made = mutants.faults(PROGRAM)
    assert {(f.operator, f.before, f.after) for f in made} == EXPECTED
    assert len(made) == len(EXPECTED)
    for fault in made:
        assert mutants.changes(PROGRAM, fault)
        assert fault.before in "\n".join(PROGRAM.splitlines()[fault.first - 1 : fault.last])
        assert fault.function == ("" if fault.before == "3" else "area")


def test_the_files_of_the_package_can_be_changed(mutants) -> None:
    for file in (
        "energies/base.py",
        "attention/gradients/gradient.py",
        "search/planning/space.py",
        "tasks/series/waves.py",
    ):
        text = (FOLDER.parents[1] / file).read_text()
        made = mutants.faults(text)
        assert len(made) > 50
        assert all(mutants.changes(text, fault) for fault in made[::61])
