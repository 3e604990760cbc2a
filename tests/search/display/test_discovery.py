from __future__ import annotations

import io

from attenergy.search.display.discovery import (
    DiscoveryState,
    LiveDiscoveryListener,
    PlainDiscoveryListener,
)
from tests.search.conftest import RecordMaker


def test_lines_are_written_now_and_then_and_at_the_end() -> None:
    now, stream = [0.0], io.StringIO()
    state = DiscoveryState("", clock=lambda: now[0], task="denoising")
    listener = PlainDiscoveryListener(state, stream)
    listener.phase("candidates", 0, 9)
    for done in range(1, 10):
        now[0] += 1
        listener.reached(done, 9, f"best {done}")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "denoising, candidates: 0 of 9 done"
    assert [line.split(" ")[0] for line in lines[1:]] == ["[1/9]", "[6/9]", "[9/9]"]
    assert lines[-1].endswith("best 9")


def test_a_number_that_nobody_knows_yet_is_not_written() -> None:
    stream = io.StringIO()
    listener = PlainDiscoveryListener(DiscoveryState("", task="denoising"), stream)
    listener.phase("candidates", 0, 0)
    listener.reached(0, 0, "no score yet")
    assert stream.getvalue().splitlines() == ["denoising, candidates", "[0] no score yet"]


def test_candidates_are_counted_and_runs_are_shown(make_record: RecordMaker) -> None:
    state = DiscoveryState("")
    listener = LiveDiscoveryListener(state)
    record = make_record("discovered-0123", (0.5,))
    listener.phase("candidates", 3, 20)
    listener.started(record.config)
    assert state.running
    listener.finished(record)
    listener.reached(4, 20, "best: evolved 0.5")
    assert (state.done, state.total, state.running) == (4, 20, {})
    assert state.outcome(record) == "valid 0.500"
    assert state.standing() == "best: evolved 0.5"
