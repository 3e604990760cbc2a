"""The code of docs/own_energy.md runs as it stands."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from attenergy.energies import CLASSES

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("page", ["own_energy"])
def test_the_code_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    try:
        assert runpy.run_path(str(script))
    finally:
        CLASSES.pop("Mine", None)
        CLASSES.owners.pop("Mine", None)
