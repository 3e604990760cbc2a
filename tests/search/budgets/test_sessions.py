"""The file of sessions, which somebody else may have written; and what a display shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError
from attenergy.search.budgets.sessions import Session, Sessions, read_sessions, write_session
from attenergy.search.display.state import ProgressState

HOUR = Session(budget="1h", seconds=3600, spent=3412.0, trials=44, finals=36, ended="complete")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_sessions(tmp_path) == Sessions()
    first = HOUR.model_copy(update={"steps": 400, "shortened": True})
    write_session(tmp_path, Sessions(), first)
    write_session(tmp_path, read_sessions(tmp_path), HOUR)
    assert read_sessions(tmp_path).sessions == (first, HOUR)
    assert read_sessions(tmp_path).steps == 400


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        (HOUR, "budget 1h: 44 trials and 36 runs of the finals in 56:52"),
        (Session(budget="3m", seconds=180, spent=9.0), "budget 3m: no run in 0:09"),
        (
            Session(budget="3m", seconds=180, spent=90, trials=1, ended="interrupted"),
            "budget 3m: 1 trial in 1:30 (interrupted)",
        ),
    ],
)
def test_a_session_in_a_sentence(session: Session, sentence: str) -> None:
    assert session.sentence == sentence


@pytest.mark.parametrize(
    "data",
    [
        "no JSON",
        "[]",
        json.dumps({"sessions": [{"budget": "1h", "seconds": -1}]}),
        json.dumps({"sessions": [{"budget": "x" * 1000, "seconds": 1}]}),
        json.dumps({"sessions": [{"budget": "1h", "seconds": 1, "trials": "many"}]}),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, data: str) -> None:
    (tmp_path / "budget.json").write_text(data)
    with pytest.raises(ArgumentError, match=r"budget\.json: cannot be read"):
        read_sessions(tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(Sessions().model_dump_json())
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "budget.json").symlink_to(other)
    with pytest.raises(OSError, match=r"budget\.json"):
        read_sessions(tmp_path / "study")


def test_the_display_shows_what_is_left_of_the_budget(make_record: Any) -> None:
    now = [0.0]
    state = ProgressState("accuracy", clock=lambda: now[0])
    state.phase("trials", 0, 1)
    assert state.time_left() == ""
    state.forecast(12, 725.0)
    now[0] = 5.0
    assert (state.total, state.time_left()) == (12, "12:00 of the budget left")
    state.phase("finalists", 0, 9)
    assert state.time_left() == "12:00 of the budget left"
