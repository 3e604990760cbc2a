from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.search.engines import worker, worker_process
from attenergy.search.engines.base import run_all
from attenergy.search.engines.in_process import InProcess
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.limits import Limits
from attenergy.search.runs.records import RunStore

pytestmark = pytest.mark.long  # whole searches or processes

ConfigMaker = Callable[..., RunConfig]


class Killer:
    """A listener that strikes the first worker when it reports, once with each signal."""

    def __init__(self, pool: ProcessPool, *signals: signal.Signals) -> None:
        self.pool, self.signals = pool, list(signals)
        self.messages: list[str] = []

    def phase(self, name: str, done: int, total: int) -> None: ...

    def started(self, config: RunConfig) -> None: ...

    def evaluated(self, key: str, point: dict[str, float]) -> None: ...

    def finished(self, record: RunRecord) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        if self.signals:
            os.kill(self.pool.pids[0], self.signals.pop(0))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.usefixtures("quick_starts")
def test_two_workers_run_what_is_missing_and_are_killed_and_stopped(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any
) -> None:
    """One pool for all of it, because every worker costs seconds to start."""
    store = RunStore(tmp_path)
    configs = [make_config(seed=seed) for seed in range(4)]
    long = make_config("linear", steps=200)
    run_all(configs[:1], "compare", InProcess(tmp_path), store, watcher)
    silence = 2 if sys.platform == "linux" else 30  # where nothing tells a slow start from silence
    with ProcessPool(2, tmp_path, Limits(silence=silence)) as pool:
        workers = pool.pids
        assert pool.free == len(workers) == 2
        run_all([*configs, configs[3]], "compare", pool, store, watcher)
        assert pool.pids == workers
        assert pool.free == 2
        assert sorted(r.config.seed for r in store.all()) == [0, 1, 2, 3]
        assert watcher.records == store.all()
        assert {key for key, _, _ in watcher.steps} == {c.run_key() for c in configs}

        once = Killer(pool, signal.SIGKILL)
        pool.submit(long, "trial")
        assert pool.free == 1
        retried = pool.wait(once)
        third = pool.pids[0]
        assert pool.free == 2

        other = long.model_copy(update={"seed": 1})
        twice = Killer(pool, signal.SIGSTOP, signal.SIGKILL)
        pool.submit(other, "final")
        lost = pool.wait(twice)
        last = pool.pids[0]
        assert pool.pids[1] == workers[1], "the other worker is left alone"
    assert all(gone(pid) for pid in (*workers, third, last))
    assert len({*workers, third, last}) == 4

    torch.set_num_threads(1)  # as in a worker: sums of other parts differ in the last bits
    in_worker = next(r for r in store.all() if r.config == configs[1])
    here = worker.run_job(configs[1], "compare", tmp_path, lambda *_: None)
    assert in_worker.metrics == here.metrics, "a worker computes what this process computes"
    assert in_worker.weights == here.weights == f"weights/{configs[1].run_key()}.safetensors"

    killed = "the worker process was killed by signal 9 (SIGKILL)"
    assert retried.status == "complete"
    assert retried.reason == f"retried once: {killed}"
    assert once.messages == [f"run {long.run_key()}: {killed}; trying once more"]
    assert (lost.status, lost.purpose, lost.config.seed) == ("failed", "final", 1)
    (message,) = twice.messages
    assert message.startswith(f"run {other.run_key()}: the worker process gave no sign of life")
    assert message.endswith(" was killed; trying once more")
    assert lost.reason.startswith(f"{killed}; retried once: the worker process gave no sign of ")


def test_a_worker_that_cannot_start_is_an_error(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "main", os._exit)
    with ProcessPool(1, tmp_path) as pool:
        monkeypatch.undo()
        pool.submit(make_config(), "trial")
        with pytest.raises(RuntimeError, match=r"a worker process cannot start: .* exit code 1"):
            pool.wait(watcher)


def test_the_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined] # as before a worker
    with worker_process._worker_environment():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        resource_tracker.ensure_running()  # as the start of a process does
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("make", [InProcess])
def test_one_run_at_a_time_in_process(
    make: Callable[[Path], InProcess], make_config: ConfigMaker, tmp_path: Path, watcher: Any
) -> None:
    executor = make(tmp_path)
    with pytest.raises(RuntimeError, match="no run to wait for"):
        executor.wait(watcher)
    executor.submit(make_config(), "trial")
    with pytest.raises(RuntimeError, match="submitted already"):
        executor.submit(make_config(), "trial")
    assert executor.wait(watcher).status == "complete"
    assert executor.free == 1


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_a_run_in_process_has_one_thread_as_in_a_worker(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = InProcess(tmp_path)
    executor.submit(make_config(), "trial")
    assert executor.wait(watcher).machine["threads"] == "1"
    assert torch.get_num_threads() == 3

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "run_job", interrupt)
    executor.submit(make_config(), "trial")
    with pytest.raises(KeyboardInterrupt):
        executor.wait(watcher)
    assert torch.get_num_threads() == 3


def test_a_pool_needs_a_worker(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 worker, got -1"):
        ProcessPool(-1, tmp_path)
