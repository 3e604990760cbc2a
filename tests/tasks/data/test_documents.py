"""The page on one's own data names every such task, and its example runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from attenergy.registry import load_registry

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_task_of_the_page_is_there() -> None:
    named = set(re.findall(r"^\| `([\w-]+)` \|", PAGE.split("\n## ")[0], re.MULTILINE))
    waiting = {
        n for n, s in load_registry(plugins=False).tasks.items() if s.options.get("path") == ""
    }
    assert named == waiting


def test_the_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra `data`")
    example = runpy.run_path(str(ROOT / "examples" / "own_data.py"))
    example["main"](steps=2, folder=here)
    printed = capsys.readouterr().out
    assert printed.count("softmax: 0.") == printed.count("rbm: 0.") == 2
    assert "price is a class, 2 of them" in printed
