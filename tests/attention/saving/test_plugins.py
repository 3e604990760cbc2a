"""Folders that say they need a plug-in, whoever wrote them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import attenergy
from attenergy.attention.saving.weights import SavedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    layer = attenergy.EnergyAttention(8, 2)
    return layer.save_pretrained(tmp_path / "saved")


def claim(folder: Path, plugins: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "plugins": plugins}))


def test_a_layer_without_plugins_says_nothing_of_them(folder: Path) -> None:
    assert "plugins" not in json.loads((folder / "config.json").read_text())


def test_nothing_is_imported_because_a_folder_names_it(folder: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    try:
        (tmp_path / "hostile_plugin.py").write_text("raise SystemExit('it was run')\n")
        need = {"name": "x", "version": "1", "module": "hostile_plugin"}
        claim(folder, [{**need, "provides": {"energy class": ["Evil"]}}])
        with pytest.raises(
            SavedError, match=r"the plug-in x 1 is needed .energy class 'Evil'. and"
        ):
            attenergy.load(folder)
        assert "hostile_plugin" not in sys.modules
        claim(folder, [need])  # and needs nothing of it
        attenergy.load(folder)
        assert "hostile_plugin" not in sys.modules
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    "plugins",
    [3, "os", {"a": 1}, [3], [{}], [{"name": "x" * 999, "version": "", "module": "m"}],
     [{"name": "x", "version": "", "module": "m", "provides": {"energy class": 3}}],
     [{"name": "x", "version": "", "module": "m", "provides": {str(i): [] for i in range(99)}}]],
)  # fmt: skip
def test_a_damaged_list_is_refused(plugins: Any, folder: Path) -> None:
    claim(folder, plugins)
    with pytest.raises(SavedError, match=r"config\.json: plugins: "):
        attenergy.load(folder)


def test_what_a_folder_says_cannot_move_the_cursor(folder: Path) -> None:
    need = {"name": "x\x1b[2J", "version": "", "module": "m", "provides": {"domain": ["\x1b[31m"]}}
    claim(folder, [need])
    with pytest.raises(SavedError) as caught:
        attenergy.load(folder)
    assert "\x1b" not in str(caught.value)
