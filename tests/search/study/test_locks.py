"""The locks of a study: of files and of a server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attenergy.search.runs.errors import StudyStuck
from attenergy.search.storage.locks import Connection, FileLock, Lock, PostgresLock
from attenergy.search.storage.study_lock import study_lock
from tests.search.study.conftest import POSTGRES, SERVER


@pytest.fixture(params=["file", pytest.param("server", marks=SERVER)])
def make_lock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Lock]]:
    closers: list[Callable[[], None]] = []
    name = uuid.uuid4().hex

    def file_lock() -> Lock:
        lock = FileLock(tmp_path / "lock")
        closers.append(lock.close)
        return lock

    def server_lock() -> Lock:
        assert POSTGRES is not None
        connection = Connection(POSTGRES)
        closers.append(connection.close)
        return PostgresLock(connection, name)

    yield file_lock if request.param == "file" else server_lock
    for close in closers:
        close()


def test_locks(make_lock: Callable[[], Lock]) -> None:
    one, two, three = make_lock(), make_lock(), make_lock()
    assert one.acquire()
    assert not two.acquire()
    assert not two.acquire(shared=True)
    assert one.acquire(shared=True), "from alone to shared"
    assert two.acquire(shared=True)
    assert not one.acquire(), "not back while another holds it"
    assert not three.acquire()
    one.acquire(shared=True)
    two.release()
    three.release()
    assert one.acquire()
    one.release()
    assert three.acquire()
    three.release()


def test_turns_do_not_overlap(tmp_path: Path) -> None:
    url, inside, most = f"sqlite:///{tmp_path}/study.db", [0], [0]

    def work() -> None:
        with study_lock(tmp_path, url, "s", join=True) as lock:
            for _ in range(20):
                with lock.exclusive():
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    inside[0] -= 1

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(work) for _ in range(3)]:
            future.result(timeout=120)
    assert most == [1]


def test_a_turn_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attenergy.search.storage.study_lock.LONGEST_WAIT", 0.1)
    url = f"sqlite:///{tmp_path}/study.db"
    with (
        study_lock(tmp_path, url, "s", join=True) as one,
        study_lock(tmp_path, url, "s", join=True) as two,
        one.exclusive(),
        pytest.raises(StudyStuck, match=r"study 's' has kept the others waiting for 0\.1 s"),
        two.exclusive(),
    ):
        pass
