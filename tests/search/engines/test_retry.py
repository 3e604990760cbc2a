"""A run whose worker dies is tried once more, and its record says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attenergy.search.engines.retry import Assignment
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig

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
