from __future__ import annotations

import pytest

from attenergy.search.display.state import ProgressState


def test_pace_and_time_left_count_running_runs_in_part(state, clock, make_record) -> None:
    record, running = make_record("lse", (0.5,)), make_record("rbm", (0.5,), seed=1).config
    state.started(record.config)
    state.started(running)
    clock.now = 30.0
    state.finished(record)
    state.progress(running.run_key(), 50, 100, 1.0)
    # 1.5 runs in 30 s, and 10 - 3 - 0.5 runs to go.
    assert state.left() == pytest.approx(6.5 * 20)
    assert state.rate() == pytest.approx(2.0)


def test_nothing_is_promised_before_anything_is_known(state) -> None:
    assert state.left() is None
    assert state.rate() is None
    assert state.standing() == "best so far: none yet"


def test_no_time_is_promised_by_the_first_step_of_a_run(state, clock, make_record) -> None:
    config = make_record("lse").config
    state.started(config)
    clock.now = 5.0  # the workers start
    state.progress(config.run_key(), 1, 1000, 1.0)
    clock.now = 5.5
    state.progress(config.run_key(), 40, 1000, 1.0)
    assert state.left() is None
    clock.now = 6.0
    state.progress(config.run_key(), 100, 1000, 1.0)
    # A tenth in 1 s, without the start of the workers, and 7.9 runs to go.
    assert state.left() == pytest.approx(79.0)


def test_no_phase_ends_before_its_slowest_run(state, clock, make_record) -> None:
    state.phase("trials", 8, 10)
    fast, slow = make_record("lse", (0.5,)), make_record("rbm", (0.5,)).config
    for config in (fast.config, slow):
        state.started(config)
        state.progress(config.run_key(), 0, 100, 1.0)
    clock.now = 10.0
    state.finished(fast)
    clock.now = 20.0
    state.progress(slow.run_key(), 20, 100, 1.0)
    # By the pace, 0.8 runs take 13 s; but this one has needed 20 s for a fifth.
    assert state.left() == pytest.approx(80.0)


def test_a_run_that_begins_anew_is_timed_anew(state, clock, make_record) -> None:
    state.phase("trials", 9, 10)
    config = make_record("lse").config
    state.started(config)
    state.progress(config.run_key(), 1, 100, 1.0)
    clock.now = 90.0
    state.progress(config.run_key(), 90, 100, 1.0)
    clock.now = 100.0
    state.progress(config.run_key(), 1, 100, 1.0)  # its worker died
    clock.now = 110.0
    state.progress(config.run_key(), 10, 100, 1.0)
    assert state.running[config.run_key()].left(clock()) == pytest.approx(90.0)


def test_a_run_that_goes_on_is_timed_from_there(state, clock, make_record) -> None:
    state.phase("trials", 9, 10)
    config = make_record("lse", steps=100).config
    state.started(config)
    state.continued(config.run_key(), 50, [])
    state.progress(config.run_key(), 50, 100, 1.0)
    clock.now = 10.0
    state.progress(config.run_key(), 60, 100, 1.0)
    assert state.running[config.run_key()].left(clock()) == pytest.approx(40.0)
    assert state.left() == pytest.approx(40.0)
    state.progress(config.run_key(), 1, 100, 1.0)  # its worker died, and the checkpoint was no good
    clock.now = 20.0
    state.progress(config.run_key(), 20, 100, 1.0)
    assert state.running[config.run_key()].left(clock()) == pytest.approx(40.0)
    state.continued("another driver's", 1, [])


def test_the_best_stands_beside_the_baseline(state, make_record) -> None:
    state.finished(make_record("lse", (0.5, 0.9)))
    assert state.standing() == "best so far: lse 0.500 (baseline softmax: not yet)"
    state.finished(make_record("softmax", (0.4, 0.99)))
    state.finished(make_record("rbm", (0.3,)))
    assert state.standing() == ("best so far: lse 0.500 (baseline softmax 0.400, +0.100)")
    state.finished(make_record("softmax", (0.6,), seed=1))
    assert state.standing() == "best so far: softmax 0.600 (the baseline)"


def test_longer_training_begins_the_contest_anew(state, make_record) -> None:
    state.finished(make_record("softmax", (0.6,), steps=100))
    state.finished(make_record("lse", (0.5,), steps=200))
    assert state.standing() == "best so far: lse 0.500 (baseline softmax: not yet)"
    state.finished(make_record("rbm", (0.9,), steps=100))
    state.finished(make_record("softmax", (0.4,), steps=200))
    assert state.standing() == "best so far: lse 0.500 (baseline softmax 0.400, +0.100)"


def test_lost_runs_are_counted_and_never_the_best(state, make_record) -> None:
    lost = make_record("lse", (0.9,), status="diverged", reason="training loss nan")
    state.finished(lost)
    assert (state.lost, state.done, state.best) == (1, 3, None)
    assert state.outcome(lost) == "diverged: training loss nan"


def test_remembered_runs_compete_but_do_not_count(state, make_record) -> None:
    state.remember(make_record("lse", (0.8,)))
    assert state.done == 2
    assert "lse 0.800" in state.standing()


def test_the_lines_name_task_and_chance(make_record, clock) -> None:
    state = ProgressState("accuracy", "softmax", clock, task="raven-small", chance=0.016)
    assert state.title == ""
    state.phase("trials", 0, 4)
    assert state.title == "raven-small, trials"
    state.finished(make_record("softmax", (0.4,)))
    assert state.standing() == "best so far: softmax 0.400 (the baseline; chance 0.016)"
    state.finished(make_record("lse", (0.5,)))
    text = "best so far: lse 0.500 (baseline softmax 0.400, +0.100; chance 0.016)"
    assert state.standing() == text
