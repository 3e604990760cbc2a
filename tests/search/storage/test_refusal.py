"""What a refused study leaves of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.search.storage.locks import FileLock
from attenergy.search.storage.refusal import removed_if_refused
from attenergy.search.storage.study_lock import LOCK


def attempt(folder: Path, files: tuple[str, ...], error: BaseException) -> None:
    with removed_if_refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        raise error


def refuse(folder: Path, *files: str, error: BaseException | None = None) -> None:
    with pytest.raises(BaseException, match="refused"):
        attempt(folder, files, error or ValueError("refused"))


def test_a_new_folder_goes_and_those_around_it(tmp_path: Path) -> None:
    refuse(tmp_path / "runs" / "mine", "study.db", LOCK, "plan.json")
    assert list(tmp_path.iterdir()) == []


def test_what_stood_beside_it_stays(tmp_path: Path) -> None:
    (tmp_path / "runs" / "other").mkdir(parents=True)
    refuse(tmp_path / "runs" / "mine", "study.db")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]


def test_a_folder_that_held_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refuse(tmp_path, "study.db")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "study.db"}


@pytest.mark.parametrize("name", ["records.jsonl", "weights/a.safetensors", "checkpoints/a.pt"])
def test_what_a_run_made_stays(tmp_path: Path, name: str) -> None:
    refuse(tmp_path / "mine", "study.db", name)
    assert (tmp_path / "mine" / name).exists()
    assert (tmp_path / "mine" / "study.db").exists()


def test_another_driver_at_work_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileLock, "acquire", lambda lock: False)
    refuse(tmp_path / "mine", "study.db")
    assert (tmp_path / "mine" / "study.db").exists()


def test_an_interrupt_leaves_a_study_that_can_be_resumed(tmp_path: Path) -> None:
    refuse(tmp_path / "mine", "study.db", error=KeyboardInterrupt("refused"))
    assert (tmp_path / "mine" / "study.db").exists()
    refuse(tmp_path / "other", error=KeyboardInterrupt("refused"))
    assert not (tmp_path / "other").exists()
