"""Workers that are stopped, hang or grow are noticed, and replaced."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attenergy.search.engines import watch as watch_module
from attenergy.search.engines.base import Resources
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.engines.ray.executor import RayExecutor
from attenergy.search.engines.watch import Learned, Watch
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.limits import Limits

ConfigMaker = Callable[..., RunConfig]


MIB = 2**20


def finished(config: RunConfig, seconds: float, status: str = "complete") -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status=status,  # type: ignore[arg-type]
        cost={"seconds": seconds},
    )


def test_the_time_without_a_step_is_learned_from_the_longest_run(make_config: ConfigMaker) -> None:
    learned, config = Learned(), make_config(steps=100)
    assert learned.allowed(config) == 3600
    learned.finished(finished(config, 5000.0, "failed"))
    assert learned.allowed(config) == 3600
    learned.finished(finished(config, 5.0))
    assert learned.allowed(config) == 600
    learned.finished(finished(config, 90.0))
    learned.finished(finished(config, 7.0))
    assert learned.allowed(config) == pytest.approx(900)
    assert learned.allowed(make_config(steps=1000)) == pytest.approx(9000)
    assert learned.allowed(make_config(steps=10)) == 600


def test_silence_is_a_death_but_a_lack_of_processor_time_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [5.0]
    monkeypatch.setattr(watch_module, "processor_seconds", lambda pid: used[0])

    def pass_by(watch: Watch, seconds: int, busy: bool) -> str:
        for _ in range(seconds):
            used[0] += 0.01 * busy
            watch.add_time(1.0)
            if death := watch.death(1):
                return death
        return ""

    watch = Watch(Limits(silence=10), "the worker")
    assert pass_by(watch, 10, busy=False) == ""
    assert (
        pass_by(watch, 1, busy=False) == "the worker gave no sign of life for 11 s and was killed"
    )
    watch.sign_of_life()
    assert pass_by(watch, 100, busy=True) == "", "it starves, but it is alive"
    assert pass_by(watch, 11, busy=False) != ""
    starting = Watch(Limits(silence=10), "the worker")
    for _ in range(30):
        starting.add_time(1.0)
        assert not starting.death(None, ready=False)
    starting.add_time(1.0)
    assert starting.death(None, ready=False)


def test_pauses_of_the_driver_do_not_count() -> None:
    watch = Watch(Limits(seconds=100, silence=10), "the worker")
    watch.add_time(1e6)
    assert not watch.death(None)
    assert not watch.excess(0.0, 600)


class Stop(Listener):
    """Stops the worker when it reports, once."""

    def __init__(self, pool: ProcessPool | RayExecutor) -> None:
        self.pool, self.messages = pool, list[str]()

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        if not self.messages:
            os.kill(self.pool.pids[0], signal.SIGSTOP)

    def message(self, text: str) -> None:
        self.messages.append(text)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the state of a process")


@LINUX
@pytest.mark.slow  # a stopped worker is one of those in `test_executors.py`
def test_a_worker_that_is_stopped_is_replaced(make_config: ConfigMaker, tmp_path: Path) -> None:
    with ProcessPool(1, tmp_path, Limits(silence=2)) as pool:
        (first,) = pool.pids
        stop = Stop(pool)
        pool.submit(make_config(steps=200), "trial")
        retried = pool.wait(stop)
        (second,) = pool.pids
    assert retried.status == "complete"
    assert retried.reason.startswith("retried once: the worker process gave no sign of life")
    assert stop.messages[0].endswith("was killed; trying once more")
    assert second != first
    assert not any(Path(f"/proc/{pid}").exists() for pid in (first, second))


@LINUX
@pytest.mark.slow  # every limit costs a worker
def test_a_worker_that_hangs_or_grows_is_replaced(make_config: ConfigMaker, tmp_path: Path) -> None:
    # An evaluation without an end: no step, no evaluation, yet signs of life.
    endless = make_config(steps=4, warmup=0, evaluate_every=1, valid_instances=10**9)
    cases = [
        (Limits(seconds=0.5), endless, "timed out: it took more than 0.5 s (--trial-seconds)"),
        (Limits(memory=100 * MIB), make_config(steps=10**6), "out of memory: its process used "),
    ]
    for limits, config, reason in cases:
        with ProcessPool(1, tmp_path, limits) as pool:
            (first,) = pool.pids
            pool.submit(config, "final")
            record = pool.wait(Listener())
            assert pool.free == 1
            (second,) = pool.pids
        assert (record.status, record.purpose) == ("failed", "final")
        assert record.reason.startswith(reason)
        assert second != first
        assert not any(Path(f"/proc/{pid}").exists() for pid in (first, second))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets open
def test_an_actor_that_is_stopped_hangs_or_grows_is_replaced(
    make_config: ConfigMaker, tmp_path: Path
) -> None:
    resources = Resources(engine="ray", workers=1, heartbeat=1)
    with RayExecutor(resources, tmp_path) as executor:
        stop = Stop(executor)
        executor.submit(make_config(steps=300), "trial")
        retried = executor.wait(stop)
        assert retried.status == "complete"
        assert retried.reason.startswith("retried once: the Ray actor gave no sign of life")
    endless = make_config(steps=4, warmup=0, evaluate_every=1, valid_instances=10**9)
    for limit, reason in (
        ({"trial_seconds": 1}, "timed out"),
        ({"trial_memory": "100M"}, "out of"),
    ):
        with RayExecutor(Resources(engine="ray", workers=1, **limit), tmp_path) as executor:
            executor.submit(endless, "trial")
            record = executor.wait(Listener())
            assert record.status == "failed"
            assert record.reason.startswith(reason)
