from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.search import pool as pool_module
from attenergy.search import worker
from attenergy.search.config import RunConfig, RunRecord
from attenergy.search.executors import make_executor, run_all
from attenergy.search.in_process import InProcess
from attenergy.search.plan import Crew
from attenergy.search.pool import ProcessPool
from attenergy.search.records import RunStore

ConfigMaker = Callable[..., RunConfig]


class Killer:
    """A listener that kills the worker when it reports, so many times."""

    def __init__(self, pool: ProcessPool, times: int) -> None:
        self.pool, self.times = pool, times
        self.messages: list[str] = []

    def phase(self, name: str, done: int, total: int) -> None: ...

    def started(self, config: RunConfig) -> None: ...

    def evaluated(self, key: str, point: dict[str, float]) -> None: ...

    def finished(self, record: RunRecord) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, key: str, step: int, steps: int, loss: float) -> None:
        if self.times:
            self.times -= 1
            for pid in self.pool.pids:
                os.kill(pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_killed_worker_costs_one_retry(make_config: ConfigMaker, tmp_path: Path) -> None:
    plain, long = make_config(), make_config("linear", steps=200)
    with ProcessPool(1, tmp_path) as pool:
        first = pool.pids
        pool.submit(plain, "trial")
        assert pool.free == 0
        untouched = pool.wait(Killer(pool, 0))
        assert pool.pids == first
        assert pool.free == 1

        once = Killer(pool, 1)
        pool.submit(long, "trial")
        retried = pool.wait(once)

        pool.submit(long.model_copy(update={"seed": 1}), "final")
        lost = pool.wait(Killer(pool, 2))
        last = pool.pids
    assert gone(first[0])
    assert gone(last[0])

    here = worker.run_job(plain, "trial", tmp_path, lambda *_: None)
    assert untouched.metrics == here.metrics, "a worker computes what this process computes"
    assert untouched.weights == here.weights == f"weights/{plain.run_key()}.safetensors"

    killed = "the worker process was killed by signal 9 (SIGKILL)"
    assert retried.status == "complete"
    assert retried.reason == f"retried once: {killed}"
    assert once.messages == [f"run {long.run_key()}: {killed}; trying once more"]
    assert (lost.status, lost.purpose, lost.config.seed) == ("failed", "final", 1)
    assert lost.reason == f"{killed}; retried once: {killed}"


def test_two_workers_run_what_is_missing(
    make_config: ConfigMaker, tmp_path: Path, watcher: Any
) -> None:
    store = RunStore(tmp_path)
    configs = [make_config(seed=seed) for seed in range(4)]
    run_all(configs[:1], "compare", InProcess(tmp_path), store, watcher)
    with make_executor(Crew(workers=2), tmp_path) as pool:
        assert pool.free == 2
        run_all([*configs, configs[3]], "compare", pool, store, watcher)
    assert sorted(r.config.seed for r in store.all()) == [0, 1, 2, 3]
    assert watcher.records == store.all()
    assert {key for key, _, _ in watcher.steps} == {c.run_key() for c in configs}


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
    with pool_module._worker_environment():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
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
