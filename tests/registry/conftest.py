"""A registry file written on the spot, read without the built-in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attenergy.registry import Registry, load_registry

Load = Callable[[str], Registry]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a registry from a text, as the file `my.yaml`."""

    def read(text: str) -> Registry:
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return load_registry(path, builtin=False, plugins=False)

    return read
