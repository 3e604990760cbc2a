from __future__ import annotations

import io

import pytest
from rich.console import Console

from attenergy.search.display.live import LiveListener, settings_of
from attenergy.search.display.state import ProgressState


def draw(listener: LiveListener) -> str:
    stream = io.StringIO()
    Console(width=listener.console.width, file=stream).print(listener.render())
    return stream.getvalue()


def live(state: ProgressState, width: int = 80, height: int = 24) -> LiveListener:
    return LiveListener(state, Console(file=io.StringIO(), width=width, height=height))


def test_the_live_display_fits_80_columns(state, clock, make_record) -> None:
    listener = live(state)
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
def test_no_line_is_wider_than_the_terminal(state, clock, make_record, width: int) -> None:
    listener = live(state, width)
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
def test_the_display_is_never_higher_than_the_terminal(state, make_record, height: int) -> None:
    listener = live(state, height=height)
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


def test_only_what_failed_is_red(state, make_record) -> None:
    state.started(make_record("lse", seed=7).config)
    colours = {}
    for status in ("complete", "pruned", "diverged", "failed"):
        stream = io.StringIO()
        console = Console(file=stream, width=100, force_terminal=True, color_system="standard")
        listener = LiveListener(state, console)
        state.last.clear()
        listener.finished(make_record("lse", (0.5,), status=status, reason="because"))
        console.print(listener.render())
        screen = stream.getvalue()
        colours[status] = next(c for c in ("31", "32", "33") if f"\x1b[{c}m" in screen)
    assert colours == {"complete": "32", "pruned": "33", "diverged": "31", "failed": "31"}


def test_a_reason_of_several_lines_is_shown_by_its_last(state, make_record) -> None:
    state.finished(
        make_record("lse", status="failed", reason="Traceback\n  here\nValueError: no\n")
    )
    text = draw(live(state))
    assert "ValueError: no" in text
    assert "Traceback" not in text


def test_seeds_are_shown_where_they_tell_runs_apart(state, make_record) -> None:
    listener = live(state)
    for seed in (0, 1001):
        listener.started(make_record("lse", beta=0.5, seed=seed).config)
    text = draw(listener)
    assert "seed=1001 beta=0.5 heads=8" in text
    assert "seed=0" not in text


def test_slow_searches_have_a_pace_too(state, clock, make_record) -> None:
    clock.now = 1200.0
    state.finished(make_record("lse", (0.5,)))
    assert "3.0/h" in draw(live(state))


def test_before_the_first_phase_nothing_is_counted() -> None:
    text = draw(live(ProgressState("accuracy")))
    assert "starting" in text
    assert "0/0" not in text


@pytest.mark.parametrize(
    ("part", "name", "shown"),
    [
        ("training", "muon_learning_rate", "muon_lr"),
        ("training", "weight_decay", "weight_decay"),
        ("training", "batch_size", "batch_size"),
        ("model", "mlp", "mlp"),
        ("model", "width", "width"),
    ],
)
def test_what_is_tuned_is_shown_whatever_it_is(make_record, part, name, shown) -> None:
    config = make_record("softmax").config
    usual = getattr(getattr(config.task_spec, part), name)
    alike = getattr(config, part).model_copy(update={name: usual})
    other = alike.model_copy(update={name: (usual or 0) + 1})
    assert shown not in settings_of(config.model_copy(update={part: alike}))
    assert settings_of(config.model_copy(update={part: other}))[shown] == (usual or 0) + 1


def test_names_in_square_brackets_are_not_markup(state, make_record) -> None:
    listener = live(state, 120)
    listener.finished(make_record("lse", (0.5,), graph="[bold]ring[/bold]"))
    assert "[bold]ring" in draw(listener)


def test_a_mistake_in_drawing_is_shown_not_raised(state) -> None:
    listener = live(state)
    state.running = None  # type: ignore[assignment]
    assert "(display:" in draw(listener)


def test_the_live_display_starts_and_stops(state, make_record) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True)
    with LiveListener(state, console) as listener:
        listener.finished(make_record("lse", (0.5,)))
        listener.message("a worker was replaced")
        listener.phase("finalists", 0, 4)
        listener.finished(make_record("lse", status="pruned"))
    assert "a worker was replaced" in stream.getvalue()
    assert "trials: 3 of 10 in 0:00; best so far: lse 0.500" in stream.getvalue()
    assert "finalists: 1 of 4 in 0:00, 1 pruned; best so far: lse 0.500" in stream.getvalue()


def test_an_interrupt_leaves_a_line_and_the_cursor(state) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True)
    with pytest.raises(KeyboardInterrupt), LiveListener(state, console):
        raise KeyboardInterrupt
    shown, hidden = stream.getvalue().rindex("\x1b[?25h"), stream.getvalue().rindex("\x1b[?25l")
    assert shown > hidden
    assert "trials: 2 of 10 in 0:00; best so far: none yet" in stream.getvalue()


def test_runs_of_another_driver_count_as_progress(state, clock, make_record) -> None:
    own = make_record("lse", (0.5,))
    state.started(own.config)
    clock.now = 10.0
    state.progress(own.key, 50, 100, 1.0)
    clock.now = 20.0
    state.finished(make_record("softmax", (0.4,)))
    state.finished(make_record("rbm", status="pruned", reason="too slow"))
    state.progress("a run that nobody knows", 1, 2, 1.0)
    assert (state.done, state.pruned, state.lost) == (4, 1, 0)
    assert list(state.running) == [own.key]
    # 2.5 runs in 20 s; 10 - 4 - 0.5 to go.
    assert state.left() == pytest.approx(5.5 * 8)
    assert state.rate() == pytest.approx(6.0)
    text = draw(live(state))
    assert "4/10" in text
    assert "softmax" in text
    assert "best so far: softmax 0.400 (the baseline)" in text


def test_more_runs_than_planned_are_no_mistake(state, clock, make_record) -> None:
    clock.now = 10.0
    for seed in range(10):
        state.finished(make_record("lse", (0.5,), seed=seed))
    assert state.left() == 0.0
    assert "12/10" in draw(live(state))
