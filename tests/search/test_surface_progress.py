from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from attenergy.search.board import Board
from attenergy.search.progress import LiveListener, PlainListener, SafeListener, make_listener


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Callable[[], float]) -> Board:
    board = Board("accuracy", clock=clock)
    board.phase("trials", 2, 10)
    return board


def test_pace_and_time_left_count_running_runs_in_part(board, clock, make_record) -> None:
    record, running = make_record("lse", (0.5,)), make_record("rbm", (0.5,), seed=1).config
    board.started(record.config)
    board.started(running)
    clock.now = 30.0
    board.finished(record)
    board.progress(running.run_key(), 50, 100, 1.0)
    # 1.5 runs in 30 s, and 10 - 3 - 0.5 runs to go.
    assert board.left() == pytest.approx(6.5 * 20)
    assert board.rate() == pytest.approx(2.0)


def test_nothing_is_promised_before_anything_is_known(board) -> None:
    assert board.left() is None
    assert board.rate() is None
    assert board.standing() == "best so far: none yet"


def test_the_best_stands_beside_the_baseline(board, make_record) -> None:
    board.finished(make_record("lse", (0.5, 0.9)))
    assert board.standing() == "best so far: lse 0.500 (baseline softmax: not yet)"
    board.finished(make_record("softmax", (0.4, 0.99)))
    board.finished(make_record("rbm", (0.3,)))
    assert board.standing() == ("best so far: lse 0.500 (baseline softmax 0.400, +0.100)")
    board.finished(make_record("softmax", (0.6,), seed=1))
    assert board.standing() == "best so far: softmax 0.600 (the baseline)"


def test_longer_training_begins_the_contest_anew(board, make_record) -> None:
    board.finished(make_record("softmax", (0.6,), steps=100))
    board.finished(make_record("lse", (0.5,), steps=200))
    assert board.standing() == "best so far: lse 0.500 (baseline softmax: not yet)"
    board.finished(make_record("rbm", (0.9,), steps=100))
    board.finished(make_record("softmax", (0.4,), steps=200))
    assert board.standing() == "best so far: lse 0.500 (baseline softmax 0.400, +0.100)"


def test_lost_runs_are_counted_and_never_the_best(board, make_record) -> None:
    lost = make_record("lse", (0.9,), status="diverged", reason="training loss nan")
    board.finished(lost)
    assert (board.lost, board.done, board.best) == (1, 3, None)
    assert board.outcome(lost) == "diverged: training loss nan"


def test_remembered_runs_compete_but_do_not_count(board, make_record) -> None:
    board.remember(make_record("lse", (0.8,)))
    assert board.done == 2
    assert "lse 0.800" in board.standing()


def test_plain_lines(board, make_record, clock) -> None:
    stream = io.StringIO()
    listener = PlainListener(board, stream)
    listener.phase("trials", 9, 12)
    clock.now = 10.0
    record = make_record("lse", (0.5,), beta=0.25)
    listener.started(record.config)
    listener.progress(record.key, 1, 2, 0.5)
    listener.finished(record)
    listener.message("hello")
    assert stream.getvalue().splitlines() == [
        "trials: 9 of 12 done",
        "[10/12] lse beta=0.25 heads=8 lr=0.003 seed=0: valid 0.500 (12.0 s, 0:20 left); "
        "best so far: lse 0.500 (baseline softmax: not yet)",
        "hello",
    ]


def draw(listener: LiveListener, width: int = 80) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream).print(listener.render())
    return stream.getvalue()


def live(board: Board) -> LiveListener:
    return LiveListener(board, Console(file=io.StringIO(), width=80))


def test_the_live_display_fits_80_columns(board, clock, make_record) -> None:
    listener = live(board)
    runs = [
        make_record("graph_hopfield", (0.5,), beta=0.1, graph="watts_strogatz", coupling=0.123),
        make_record("rbm", status="diverged", reason="training loss nan at step 31 of 1600 " * 3),
        make_record("softmax", (0.4,)),
    ]
    for record in runs:
        listener.started(record.config)
    clock.now = 60.0
    listener.progress(runs[0].key, 700, 1600, 1.234)
    for record in runs[1:]:
        listener.finished(record)
    text = draw(listener)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "4/10" in lines[0]
    assert "2.0/min" in lines[0]
    assert "1 lost" in lines[0]
    assert "graph_hopfield" in lines[1]
    assert "700/1600" in lines[1]
    assert "loss 1.234" in lines[1]
    assert "best so far: softmax 0.400 (the baseline)" in text
    assert "rbm" in text
    assert "diverged" in text


def test_the_live_display_is_drawn_on_a_narrow_terminal(board, make_record) -> None:
    listener = live(board)
    listener.started(make_record("lse", (0.5,)).config)
    assert max(map(len, draw(listener, 30).splitlines())) <= 30


def test_names_in_square_brackets_are_not_markup(board, make_record) -> None:
    listener = live(board)
    listener.finished(make_record("lse", (0.5,), graph="[bold]ring[/bold]"))
    assert "[bold]ring" in draw(listener, 120)


def test_a_mistake_in_drawing_is_shown_not_raised(board) -> None:
    listener = live(board)
    board.running = None  # type: ignore[assignment]
    assert "(display:" in draw(listener)


def test_the_live_display_starts_and_stops(board, make_record) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True)
    with LiveListener(board, console) as listener:
        listener.finished(make_record("lse", (0.5,)))
        listener.message("a worker was replaced")
        listener.phase("finalists", 0, 4)
    assert "a worker was replaced" in stream.getvalue()
    assert "trials: 3 of 10 in 0:00; best so far: lse 0.500" in stream.getvalue()


def test_a_closed_stream_does_not_end_a_search(board, make_record) -> None:
    stream = io.StringIO()
    with SafeListener(PlainListener(board, stream)) as listener:
        stream.close()
        record = make_record("lse", (0.5,))
        listener.phase("trials", 0, 1)
        listener.started(record.config)
        listener.progress(record.key, 1, 2, 0.5)
        listener.finished(record)
        listener.message("still here")


def test_the_display_is_plain_away_from_a_terminal(capsys, make_record) -> None:
    with make_listener(metric="accuracy", known=[make_record("lse", (0.7,))]) as listener:
        listener.phase("trials", 0, 1)
        listener.finished(make_record("softmax", (0.6,)))
    out, err = capsys.readouterr()
    assert out == ""
    assert "best so far: lse 0.700 (baseline softmax 0.600, +0.100)" in err
