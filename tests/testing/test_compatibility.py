"""The table of modes says something of every entry, and what it says is so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attenergy.registry import load_registry
from attenergy.testing.compatibility.checks import MODES
from attenergy.testing.compatibility.known_limits import UNEXPLAINED, reason
from attenergy.testing.compatibility.layer_under_test import subject
from attenergy.testing.compatibility.page import page, read, write
from attenergy.testing.compatibility.table import YES, outcome, row_of, rows

REGISTRY = load_registry(plugins=False)
DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE = DOCS / "modes.json"
CELLS = read(TABLE)

#: Modes that take seconds for every row.
LONG = {"compile", "export", "onnx"}
SAMPLE = [
    *(("lse/" + backend, LONG) for backend in ("eager", "scores", "sdpa", "chunked", "flex")),
    *(("energy_transformer/" + b, LONG) for b in ("eager", "scores", "sdpa", "chunked", "flex")),
    ("lse/auto", set()),
    ("window", {"onnx"}),
]


def test_there_is_one_cell_for_every_entry_backend_and_mode() -> None:
    assert list(CELLS) == rows(REGISTRY), "run `make modes`"
    assert len(CELLS) == 7 * len(REGISTRY.energies) + len(REGISTRY.mixers)
    for row in CELLS.values():
        assert list(row) == list(MODES)
        assert all(text.strip() for text in row.values())


def test_every_reason_is_explained_and_used() -> None:
    data = json.loads(TABLE.read_text(encoding="utf-8"))
    used = {letter for row in data["cells"].values() for letter in row.values()}
    assert used - {YES} == set(data["reasons"])
    assert not [text for text in data["reasons"].values() if text.startswith(UNEXPLAINED)]
    assert len(set(data["reasons"].values())) == len(data["reasons"])


def test_the_page_shows_the_data(tmp_path: Path) -> None:
    assert (DOCS / "modes.md").read_text(encoding="utf-8") == page(CELLS), "run `make modes`"
    write(tmp_path / "modes.json", CELLS)
    assert (tmp_path / "modes.json").read_bytes() == TABLE.read_bytes()


def test_the_default_works_where_nothing_in_the_energy_forbids_it() -> None:
    """`auto` trains, copies, saves and runs under every energy and mixer."""
    always = [m for m in MODES if m not in {"export", "onnx", "causal", "field", "cross"}]
    for row, cells in CELLS.items():
        if row.endswith("/auto") or "/" not in row:
            assert {cells[mode] for mode in always} == {YES}, row


@pytest.mark.parametrize(("row", "without"), SAMPLE, ids=[row for row, _ in SAMPLE])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # at import of onnxruntime's helpers
def test_a_sample_is_as_the_table_says(row: str, without: set[str]) -> None:
    modes = [mode for mode in MODES if mode not in without]
    assert row_of(REGISTRY, row, modes) == {mode: CELLS[row][mode] for mode in modes}


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(REGISTRY))
def test_all_is_as_the_table_says(row: str) -> None:
    assert row_of(REGISTRY, row) == CELLS[row]


def test_a_layer_that_computes_something_else_is_no_yes() -> None:
    checked = subject(REGISTRY, "lse", "scores")
    checked.layer.step_size = 0.5
    for mode in ("train", "no_grad", "checkpoint", "deepcopy", "causal", "vmap"):
        assert outcome(checked, MODES[mode]).startswith("AssertionError: "), mode


def test_an_error_without_explanation_is_given_whole() -> None:
    assert reason("lse/auto", "train", "KeyError: 3") == UNEXPLAINED + "KeyError: 3"
    refusal = "ArgumentError: 'Lse' reads no field h; give positions with the inputs"
    assert not reason("lse/auto", "field", refusal).startswith(UNEXPLAINED)
