"""The code of `docs/in_context.md` runs, section by section."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from attenergy.tasks import CLASSES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "in_context.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_code_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    before = set(CLASSES)
    try:
        assert runpy.run_path(str(script))
    finally:
        for name in set(CLASSES) - before:
            del CLASSES[name], CLASSES.owners[name]


def test_there_are_sections_with_code() -> None:
    assert len(BLOCKS) == 4
