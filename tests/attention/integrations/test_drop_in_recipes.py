"""The recipes of `docs/drop_ins.md` run, wherever the packages that they import are installed."""

from __future__ import annotations

import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "drop_ins.md"
PACKAGES = ("transformers", "timm", "x_transformers")


def sections():
    """The blocks of code of each section, by its title."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    result = zip(parts[::2], parts[1::2], strict=True)
    return {
        title: re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) for title, text in result
    }


def missing(code):
    needed = [p for p in PACKAGES if re.search(rf"^(?:from|import) {p}\b", code, re.MULTILINE)]
    return [package for package in needed if find_spec(package) is None]


@pytest.mark.parametrize("title", sections())
def test_the_recipe_runs(title, tmp_path):
    blocks = sections()[title]
    runnable = [code for code in blocks if not missing(code)]
    assert blocks
    if not runnable:
        pytest.skip(f"not installed: {', '.join(sorted({p for c in blocks for p in missing(c)}))}")
    script = tmp_path / "recipe.py"
    script.write_text("\n".join(runnable), encoding="utf-8")
    assert runpy.run_path(str(script))


def test_what_needs_no_other_package_always_runs():
    always = {t: [missing(code) == [] for code in blocks] for t, blocks in sections().items()}
    assert always["PyTorch"] == [True]
    assert always["x-transformers"][0]
    assert list(always) == ["PyTorch", "Hugging Face", "timm", "x-transformers"]
