"""A run whose worker dies is tried once more, and its record says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attenergy.search.engines.retry import Assignment
from attenergy.search.engines.watch import Watch
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.limits import Limits

ConfigMaker = Callable[..., RunConfig]


def test_the_second_death_is_the_last(make_config: ConfigMaker, watcher: Any) -> None:
    run = Assignment(make_config(), "final")
    assert run.worker_died("it was killed", watcher) is None
    assert watcher.messages == [f"run {run.key}: it was killed; trying once more"]
    record = run.worker_died("it hung", watcher)
    assert record is not None
    assert (record.status, record.purpose) == ("failed", "final")
    assert record.reason == "it hung; retried once: it was killed"
    assert len(watcher.messages) == 1


def test_a_result_says_what_became_of_the_first_worker(
    make_config: ConfigMaker, watcher: Any
) -> None:
    run = Assignment(make_config(), "trial")
    result = provenance.failed(run.config, "trial", "too bad")
    assert run.finished(result) is result
    assert run.failed("too long").reason == "too long"
    run.worker_died("it was killed", watcher)
    assert run.finished(result).reason == "retried once: it was killed; too bad"
    assert run.failed("too long").reason == "too long; retried once: it was killed"


def test_a_death_after_a_checkpoint_is_another_first_one(
    make_config: ConfigMaker, watcher: Any
) -> None:
    run = Assignment(make_config(), "trial")
    for _ in range(3):
        assert run.worker_died("it was killed", watcher) is None
        run.note("saved", [5], watcher)
    assert run.worker_died("it hung", watcher) is None
    record = run.worker_died("it was killed", watcher)
    assert record is not None
    assert record.reason == "it was killed; retried 4 times: it was killed, it hung"


def test_events_of_a_checkpoint_reach_the_listener_and_the_watch(
    make_config: ConfigMaker, watcher: Any
) -> None:
    run, limits = Assignment(make_config(), "trial"), Limits(seconds=100)
    watch, curve = Watch(limits, "the worker"), [{"step": 6.0, "accuracy": 0.5}]
    watch.begin()
    run.note("message", ["too bad"], watcher)
    run.note("continued", [7, 110.0, curve], watcher, watch)
    assert watcher.messages == [
        f"run {run.key}: too bad",
        f"run {run.key} goes on from step 7",
    ]
    assert watcher.continuations == [(run.key, 7, curve)]
    assert "more than 100 s" in watch.excess(0.0, 1.0), "what it took before counts"
