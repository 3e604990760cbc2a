from __future__ import annotations

import io
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from attenergy.search.display.live import LiveListener
from attenergy.search.display.plain import PlainListener, SafeListener, make_listener
from attenergy.search.display.state import Board


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


def test_no_time_is_promised_by_the_first_step_of_a_run(board, clock, make_record) -> None:
    config = make_record("lse").config
    board.started(config)
    clock.now = 5.0  # the workers start
    board.progress(config.run_key(), 1, 1000, 1.0)
    clock.now = 5.5
    board.progress(config.run_key(), 40, 1000, 1.0)
    assert board.left() is None
    clock.now = 6.0
    board.progress(config.run_key(), 100, 1000, 1.0)
    # A tenth in 1 s, without the start of the workers, and 7.9 runs to go.
    assert board.left() == pytest.approx(79.0)


def test_no_phase_ends_before_its_slowest_run(board, clock, make_record) -> None:
    board.phase("trials", 8, 10)
    fast, slow = make_record("lse", (0.5,)), make_record("rbm", (0.5,)).config
    for config in (fast.config, slow):
        board.started(config)
        board.progress(config.run_key(), 0, 100, 1.0)
    clock.now = 10.0
    board.finished(fast)
    clock.now = 20.0
    board.progress(slow.run_key(), 20, 100, 1.0)
    # By the pace, 0.8 runs take 13 s; but this one has needed 20 s for a fifth.
    assert board.left() == pytest.approx(80.0)


def test_a_run_that_begins_anew_is_timed_anew(board, clock, make_record) -> None:
    board.phase("trials", 9, 10)
    config = make_record("lse").config
    board.started(config)
    board.progress(config.run_key(), 1, 100, 1.0)
    clock.now = 90.0
    board.progress(config.run_key(), 90, 100, 1.0)
    clock.now = 100.0
    board.progress(config.run_key(), 1, 100, 1.0)  # its worker died
    clock.now = 110.0
    board.progress(config.run_key(), 10, 100, 1.0)
    assert board.running[config.run_key()].left(clock()) == pytest.approx(90.0)


def test_runs_of_another_driver_count_as_progress(board, clock, make_record) -> None:
    own = make_record("lse", (0.5,))
    board.started(own.config)
    clock.now = 10.0
    board.progress(own.key, 50, 100, 1.0)
    clock.now = 20.0
    board.finished(make_record("softmax", (0.4,)))
    board.finished(make_record("rbm", status="pruned", reason="too slow"))
    board.progress("a run that nobody knows", 1, 2, 1.0)
    assert (board.done, board.pruned, board.lost) == (4, 1, 0)
    assert list(board.running) == [own.key]
    # 2.5 runs in 20 s; 10 - 4 - 0.5 to go.
    assert board.left() == pytest.approx(5.5 * 8)
    assert board.rate() == pytest.approx(6.0)
    text = draw(live(board))
    assert "4/10" in text
    assert "softmax" in text
    assert "best so far: softmax 0.400 (the baseline)" in text


def test_more_runs_than_planned_are_no_mistake(board, clock, make_record) -> None:
    clock.now = 10.0
    for seed in range(10):
        board.finished(make_record("lse", (0.5,), seed=seed))
    assert board.left() == 0.0
    assert "12/10" in draw(live(board))


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


def draw(listener: LiveListener) -> str:
    stream = io.StringIO()
    Console(width=listener.console.width, file=stream).print(listener.render())
    return stream.getvalue()


def live(board: Board, width: int = 80, height: int = 24) -> LiveListener:
    return LiveListener(board, Console(file=io.StringIO(), width=width, height=height))


def test_the_live_display_fits_80_columns(board, clock, make_record) -> None:
    listener = live(board)
    runs = [
        make_record("graph_hopfield", (0.5,), beta=0.1, graph="watts_strogatz", coupling=0.123),
        make_record("rbm", status="diverged", reason="training loss nan at step 31 of 1600 " * 3),
        make_record("softmax", (0.4,)),
        make_record("lse", status="pruned", reason="after 60% of its training ..."),
    ]
    for record in runs:
        listener.started(record.config)
    clock.now = 60.0
    listener.progress(runs[0].key, 700, 1600, 1.234)
    for record in runs[1:]:
        listener.finished(record)
    lines = draw(listener).splitlines()
    assert max(map(len, lines)) <= 80
    for fact in ("5/10", "3.0/min", "1 lost", "1 pruned"):
        assert fact in lines[0]
    assert lines[1] == "best so far: softmax 0.400 (the baseline)"
    for line, words in zip(
        lines[2:],
        [
            ("graph_hopfield", "700/1600", "loss 1.234", "beta=0.1 graph=watts"),
            ("lse", "pruned", "12.0 s", "no score", "after 60% of its"),
            ("softmax", "done", "12.0 s", "valid 0.400", "heads=8 lr=0.003"),
            ("rbm", "diverged", "12.0 s", "no score", "training loss nan"),
        ],
        strict=True,
    ):
        for word in words:
            assert word in line
    # Running and finished runs stand below each other.
    assert lines[2].index("loss") == lines[3].index("no score") == lines[4].index("valid")


@pytest.mark.parametrize("width", [20, 30, 40, 60, 71, 72, 80, 200])
def test_no_line_is_wider_than_the_terminal(board, clock, make_record, width: int) -> None:
    listener = live(board, width)
    name = "an_energy_with_a_very_long_name_that_goes_on_and_on"
    for record in (make_record(name, (0.5,)), make_record("lse", (0.5,))):
        listener.started(record.config)
        clock.now += 10
        listener.progress(record.key, 60, 100, 1.0)
    listener.finished(record)
    listener.started(make_record("rbm").config)
    lines = draw(listener).splitlines()
    assert max(map(len, lines)) <= width
    assert "3/10" in lines[0]
    text = "\n".join(lines)
    assert ("heads=8" in text) == (width >= 72)
    if width >= 40:
        assert "valid 0.500" in text
        assert "60/100" in text


@pytest.mark.parametrize("height", [6, 10, 24])
def test_the_display_is_never_higher_than_the_terminal(board, make_record, height: int) -> None:
    listener = live(board, height=height)
    for seed in range(64):
        listener.started(make_record("lse", seed=seed).config)
    for seed in range(64, 70):
        listener.finished(make_record("softmax", (0.5,), seed=seed))
    lines = draw(listener).splitlines()
    assert len(lines) < height
    shown = sum(line.startswith("lse") for line in lines)
    assert any(line.startswith(f"and {64 - shown} more") for line in lines)
    if height > 6:
        assert any(line.startswith("softmax") for line in lines)


def test_only_what_failed_is_red(board, make_record) -> None:
    board.started(make_record("lse", seed=7).config)
    colours = {}
    for status in ("complete", "pruned", "diverged", "failed"):
        stream = io.StringIO()
        console = Console(file=stream, width=100, force_terminal=True, color_system="standard")
        listener = LiveListener(board, console)
        board.last.clear()
        listener.finished(make_record("lse", (0.5,), status=status, reason="because"))
        console.print(listener.render())
        found = stream.getvalue()
        colours[status] = next(c for c in ("31", "32", "33") if f"\x1b[{c}m" in found)
    assert colours == {"complete": "32", "pruned": "33", "diverged": "31", "failed": "31"}


def test_a_reason_of_several_lines_is_shown_by_its_last(board, make_record) -> None:
    board.finished(
        make_record("lse", status="failed", reason="Traceback\n  here\nValueError: no\n")
    )
    text = draw(live(board))
    assert "ValueError: no" in text
    assert "Traceback" not in text


def test_seeds_are_shown_where_they_tell_runs_apart(board, make_record) -> None:
    listener = live(board)
    for seed in (0, 1001):
        listener.started(make_record("lse", beta=0.5, seed=seed).config)
    text = draw(listener)
    assert "seed=1001 beta=0.5 heads=8" in text
    assert "seed=0" not in text


def test_slow_searches_have_a_pace_too(board, clock, make_record) -> None:
    clock.now = 1200.0
    board.finished(make_record("lse", (0.5,)))
    assert "3.0/h" in draw(live(board))


def test_before_the_first_phase_nothing_is_counted() -> None:
    text = draw(live(Board("accuracy")))
    assert "starting" in text
    assert "0/0" not in text


def test_names_in_square_brackets_are_not_markup(board, make_record) -> None:
    listener = live(board, 120)
    listener.finished(make_record("lse", (0.5,), graph="[bold]ring[/bold]"))
    assert "[bold]ring" in draw(listener)


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
        listener.finished(make_record("lse", status="pruned"))
    assert "a worker was replaced" in stream.getvalue()
    assert "trials: 3 of 10 in 0:00; best so far: lse 0.500" in stream.getvalue()
    assert "finalists: 1 of 4 in 0:00, 1 pruned; best so far: lse 0.500" in stream.getvalue()


def test_an_interrupt_leaves_a_line_and_the_cursor(board) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True)
    with pytest.raises(KeyboardInterrupt), LiveListener(board, console):
        raise KeyboardInterrupt
    shown, hidden = stream.getvalue().rindex("\x1b[?25h"), stream.getvalue().rindex("\x1b[?25l")
    assert shown > hidden
    assert "trials: 2 of 10 in 0:00; best so far: none yet" in stream.getvalue()


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


@pytest.mark.parametrize(
    ("terminal", "encoding", "kind"),
    [
        ("xterm-256color", "utf-8", LiveListener),
        ("dumb", "utf-8", PlainListener),
        ("xterm-256color", "ascii", PlainListener),
    ],
)
def test_the_display_is_live_where_it_can_be_redrawn(
    monkeypatch, terminal: str, encoding: str, kind: type
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(sys, "stderr", Terminal(io.BytesIO(), encoding=encoding))
    assert isinstance(make_listener(metric="accuracy")._inner, kind)


def test_the_display_is_plain_away_from_a_terminal(capsys, make_record) -> None:
    with make_listener(metric="accuracy", known=[make_record("lse", (0.7,))]) as listener:
        listener.phase("trials", 0, 1)
        listener.finished(make_record("softmax", (0.6,)))
    out, err = capsys.readouterr()
    assert out == ""
    assert "best so far: lse 0.700 (baseline softmax 0.600, +0.100)" in err


ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["terminal", "terminal-end"])
def test_the_pictures_of_the_docs_fetch_nothing_and_name_no_place(name: str) -> None:
    text = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|@font-face|url\((?!#)|/tmp|/home|/work", text)
    words = re.sub(r"<[^>]+>", "", text).replace("&#160;", " ")
    assert "$ attenergy search --task stacked-recall" in words


@pytest.mark.slow  # a search with a worker process
def test_pictures_are_made_from_a_real_search(tmp_path: Path, monkeypatch) -> None:
    space = runpy.run_path(str(ROOT / "benchmarks" / "terminal_picture.py"))
    command = "attenergy search --task stacked-recall-small --energies softmax --trials 2 --steps 4"
    monkeypatch.setitem(
        space["main"].__globals__, "COMMAND", f"{command} --finalists 0 --fix heads=1"
    )
    monkeypatch.setattr(sys, "argv", ["picture", "--out", str(tmp_path), "--done", "1"])
    assert space["main"]() == 0
    half, end = (
        (tmp_path / f"{name}.svg").read_text(encoding="utf-8").replace("&#160;", " ")
        for name in ("terminal", "terminal-end")
    )
    assert "1/2" in half
    assert "best so far: softmax" in half
    assert "trials: 2 of 2 in" in end
    assert "attenergy.load(" in end
