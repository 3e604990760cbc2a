from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attenergy.search.engines.base import Resources
from attenergy.search.runs import checkpoints as module
from attenergy.search.runs.checkpoints import CheckpointRemoval, Checkpoints
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener

KEYS = [f"{number:016x}" for number in range(4)]


@pytest.fixture
def filled(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.folder.mkdir()
    for key in KEYS:
        checkpoints.path(key).write_bytes(b"x" * 100)
    return checkpoints


def test_where_they_lie(tmp_path: Path) -> None:
    assert Resources().checkpoints(tmp_path) == Checkpoints(tmp_path / "checkpoints", 30.0)
    shared = Resources(checkpoint_folder="/shared", checkpoint_seconds=5)
    assert shared.checkpoints(tmp_path) == Checkpoints(Path("/shared"), 5.0)
    assert Resources().checkpoints(Path("runs/a")).folder.is_absolute()


def test_the_last_one_takes_the_folder_with_it(
    filled: Checkpoints, make_record: Callable[..., RunRecord]
) -> None:
    record = make_record("softmax", (0.5,))
    filled.path(record.key).touch()
    CheckpointRemoval(Listener(), filled).finished(record)
    assert not filled.path(record.key).exists()
    filled.tidy(KEYS[:3])
    assert [path.stem for path in filled.folder.iterdir()] == KEYS[3:]
    filled.discard(KEYS[3])
    assert not filled.folder.exists()
    filled.discard(KEYS[3])
    filled.tidy(KEYS)


def test_abandoned_ones_make_room_and_others_do_not(
    filled: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 400)
    (filled.folder / "notes.txt").write_bytes(b"x" * 1000)
    other = filled.path("f" * 16)
    assert filled.make_room(filled.path(KEYS[0]), 100) == "", "its own file is replaced"
    assert "at most" in filled.make_room(other, 100)
    hours_ago = time.time() - 7200
    for number, key in enumerate(KEYS[1:]):
        os.utime(filled.path(key), (hours_ago + number, hours_ago + number))
    assert filled.make_room(other, 150) == ""
    assert sorted(path.stem for path in filled.folder.iterdir()) == [KEYS[0], KEYS[3], "notes"]


def test_whoever_sees_the_marker_reaches_the_folder(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", 7.0)
    assert checkpoints.reachable
    with checkpoints.marked() as marked:
        assert marked.reachable
        assert marked.seconds == 7
        assert not Checkpoints(tmp_path, marker=marked.marker).reachable
    assert not marked.reachable
    assert not checkpoints.folder.exists()
