from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from attenergy.search.engines import worker_process
from attenergy.search.training import train


@pytest.fixture
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers begin as copies of one process that has imported everything, not anew.

    How they begin anew is tried wherever a search has a worker: in `test_killed_driver.py`.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([train.__name__, "torch._dynamo"])
    monkeypatch.setattr(worker_process.multiprocessing, "get_context", lambda _: server)
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
