"""A run whose process ends goes on from its checkpoint, in whatever process has it next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.engines.ray.runner import Runner
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import ForwardingListener
from attenergy.search.runs.limits import NO_LIMITS, Limits
from attenergy.search.training.state import Progress

pytestmark = pytest.mark.long  # whole searches or processes

ConfigMaker = Callable[..., RunConfig]


class Striking(ForwardingListener):
    """Calls something when a run is evaluated after certain steps, once for each."""

    def __init__(self, inner: Any, steps: set[int], strike: Callable[[], Any]) -> None:
        super().__init__(inner)
        self.steps, self.strike = steps, strike

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        super().evaluated(key, point)
        if point["step"] in self.steps:
            self.steps.remove(int(point["step"]))
            self.strike()


def interrupt() -> None:
    raise KeyboardInterrupt


def run_here(
    config: RunConfig, folder: Path, listener: Any, limits: Limits = NO_LIMITS
) -> RunRecord:
    executor = InProcess(folder, limits, Checkpoints(folder / "checkpoints", 1e-9))
    executor.submit(config, "trial")
    return executor.wait(listener)


def test_a_run_in_process_goes_on_and_its_deaths_are_forgiven(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any
) -> None:
    config = make_config(steps=24)
    whole, folder = run_here(config, tmp_path / "whole", watcher), tmp_path / "other"
    folder.mkdir()
    mark = folder / f".at_work.{config.run_key()}"
    mark.write_text("1")  # as left by a process that was killed
    marks: list[str] = []
    noted = Striking(watcher, {6}, lambda: marks.append(mark.read_text()))
    with pytest.raises(KeyboardInterrupt):
        run_here(config, folder, Striking(noted, {12}, interrupt))
    assert marks == ["1"], "there was a checkpoint: only what comes after it counts"
    mark.write_text("1")
    record = run_here(config, folder, watcher)
    ((key, step, curve),) = watcher.continuations
    assert (key, (step,)) == (config.run_key(), record.continued)
    assert 1 <= step < 12
    assert [point["step"] for point in curve] == [6] * (step >= 6)
    paths = [place / record.weights for place in (tmp_path / "whole", folder)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert record.curve == whole.curve
    assert record.metrics == whole.metrics


def test_what_a_run_took_before_counts_to_its_limit(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(steps=24)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "seconds", 5000.0)
        with pytest.raises(KeyboardInterrupt):
            run_here(config, tmp_path, Striking(watcher, {12}, interrupt))
    record = run_here(config, tmp_path, watcher, Limits(seconds=4000))
    assert record.status == "failed"
    assert record.reason.startswith("timed out: it took more than 4000 s")
    assert record.cost["seconds"] > 5000


@pytest.mark.usefixtures("quick_starts")
def test_a_run_survives_as_many_workers_as_it_has_checkpoints(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any
) -> None:
    config = make_config("linear", steps=36)
    whole = run_here(config, tmp_path / "whole", watcher)
    checkpoints = Checkpoints(tmp_path / "checkpoints", 1e-9)
    with ProcessPool(1, tmp_path, checkpoints=checkpoints) as pool:
        kill = Striking(watcher, {12, 24}, lambda: os.kill(pool.pids[0], signal.SIGKILL))
        pool.submit(config, "trial")
        record = pool.wait(kill)
    assert record.status == "complete"
    killed = "the worker process was killed by signal 9 (SIGKILL)"
    assert record.reason == f"retried 2 times: {killed}"
    assert len(record.continued) == 2
    paths = [place / record.weights for place in (tmp_path / "whole", tmp_path)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert (record.curve, record.metrics) == (whole.curve, whole.metrics)


def test_an_actor_that_does_not_reach_the_folder_says_so(
    make_config: ConfigMaker, tmp_path: Path
) -> None:
    config, checkpoints = make_config(), Checkpoints(tmp_path / "checkpoints", 1e-9)
    with checkpoints.marked() as marked:
        here = Runner(checkpoints=marked)
        here.run(config, "trial")
        events = [event[:2] for event in here.events()]
        assert ("noted", "saved") in events
        assert marked.path(config.run_key()).exists()
    elsewhere = Runner(checkpoints=marked)
    record, _ = elsewhere.run(config, "trial")
    assert record.continued == ()
    (message,) = [event[1] for event in elsewhere.events() if event[0] == "message"]
    assert message.startswith("a node does not reach the folder ")
