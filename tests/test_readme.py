"""The code of the README runs: the four homes of a layer, and what else stands alone."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
HOMES = README.split("## At home in other people's models")[1].split("\n## ")[0]
PAIRS = re.findall(r"\*\*([^*]+?)\.?\*\*.*?```python\n(.*?)```", HOMES, re.DOTALL)


def test_there_are_four_homes_of_ten_lines_at_most() -> None:
    assert [name for name, _ in PAIRS] == [
        *["PyTorch", "Hugging Face", "PyTorch Geometric", "Plain retrieval"]
    ]
    for name, code in PAIRS:
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 10, name


@pytest.mark.parametrize(("name", "code"), PAIRS, ids=[name for name, _ in PAIRS])
def test_a_home_runs_as_it_stands(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "home.py"
    script.write_text(code, encoding="utf-8")
    assert runpy.run_path(str(script))
