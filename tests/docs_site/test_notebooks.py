"""Tutorials as notebooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from notebooks import notebook

TUTORIALS = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "docs" / "tutorials").glob("*.md")
    if path.name != "index.md"
)
TEXT = """\
---
title: A tutorial
---

# A tutorial

See [the glossary](../glossary.md#beta) and [a paper](https://arxiv.org/abs/1).

<!-- file: my.yaml -->
```yaml
version: 1
```

<!-- run: slow -->
```python
print(1)
```

<!-- because: a cluster -->
<!-- run: small slow -->
```sh
attenergy search --engine ray
```

```sh
attenergy --help
```
"""


def cells(text: str) -> list[tuple[str, str]]:
    made = json.loads(notebook(text))
    assert made["nbformat"] == 4
    return [(cell["cell_type"], "".join(cell["source"])) for cell in made["cells"]]


def test_blocks_become_cells() -> None:
    first, saved, python, words, shell = cells(TEXT)
    assert first == (
        "markdown",
        "# A tutorial\\n\\nSee the glossary (`docs/glossary.md`) and "
        "[a paper](https://arxiv.org/abs/1).".replace("\\n", "\n"),
    )
    assert saved == ("code", "%%writefile my.yaml\nversion: 1")
    assert python == ("code", "print(1)")
    assert words[0] == "markdown"
    assert "--engine ray" in words[1]
    assert shell == ("code", "%%sh\nattenergy --help")


def test_a_page_of_shell_blocks_is_a_notebook_of_python_too() -> None:
    [only] = cells("# T\n\n```sh\nattenergy --help\n```\n")[1:]
    assert only == ("code", "%%sh\nattenergy --help")


def test_a_notebook_is_the_same_every_time() -> None:
    assert notebook(TEXT) == notebook(TEXT)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_every_tutorial_converts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made = cells(text)
    assert text.startswith("---\n"), "a tutorial begins with a header: its title"
    assert not any("<!--" in source for _, source in made)
    for kind, source in made:
        if kind == "code" and not source.startswith("%%"):
            compile(source, path.name, "exec")
