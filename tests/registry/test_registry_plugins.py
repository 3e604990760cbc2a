"""Registries of installed plug-ins, found through their entry points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attenergy.registry import RegistryError, load_registry, plugin_modules

GOOD = "version: 1\nenergies:\n  plugged: {title: A plug-in, formula: 0.5*|xi|^2}\n"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution on the path, as an installer would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, code: str, yaml: str = GOOD, target: str = "FILE") -> Path:
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(
            f"[attenergy.registries]\n{name} = {name}_module:{target}\n"
        )
        (tmp_path / f"{name}_module.py").write_text(code)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml)
        return path

    return make


@pytest.mark.parametrize(
    "code",
    [
        "from pathlib import Path\nFILE = Path(__file__).with_name('good_path.yaml')\n",
        "import os\nFILE = os.path.join(os.path.dirname(__file__), 'good_path.yaml')\n",
        "from importlib.resources import files\nimport zipfile, pathlib\n"
        "archive = pathlib.Path(__file__).with_suffix('.zip')\n"
        "with zipfile.ZipFile(archive, 'w') as z:\n"
        "    z.write(pathlib.Path(__file__).with_name('good_path.yaml'), 'inside.yaml')\n"
        "FILE = zipfile.Path(str(archive), 'inside.yaml')\n",
    ],
    ids=["path", "text", "zip"],
)
def test_a_plugin_adds_its_entries(
    code: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("good_path", code)
    monkeypatch.delitem(__import__("sys").modules, "good_path_module", raising=False)
    registry = load_registry()
    assert registry.energies["plugged"].title == "A plug-in"
    assert "lse" in registry.energies
    assert "good_path_module" in plugin_modules()
    assert "plugged" not in load_registry(plugins=False).energies


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("raises", "1/0\n", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("lacks", "OTHER = 1\n", "cannot be loaded: AttributeError"),
        ("imports", "import no_such_module_at_all\n", "cannot be loaded: ModuleNotFoundError"),
        ("number", "FILE = 3\n", "must be the path of a YAML file, got int"),
        ("relative", "FILE = 'some.yaml'\n", "is a relative path (some.yaml)"),
    ],
)
def test_a_broken_plugin_is_named(name: str, code: str, expected: str, install: Install) -> None:
    install(name, code)
    with pytest.raises(RegistryError) as caught:
        load_registry()
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"<plug-in {name}>:1:1: plug-in '{name}' ({name}_module:FILE) ")
    assert f"of the distribution {name} 1.5 {expected}" in str(problem)
    assert load_registry(plugins=False).energies


def test_problems_in_a_plugin_file_have_places(install: Install) -> None:
    code = "from pathlib import Path\nFILE = Path(__file__).with_name('typo.yaml')\n"
    path = install("typo", code, "version: 1\nmixers:\n  lse: {title: A, clas: B}\n")
    with pytest.raises(RegistryError) as caught:
        load_registry()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert f"{path}:3:19: mixers.lse.clas: unknown key 'clas' (did you mean 'class'?)" in lines
    assert any("the name 'lse' is taken by the energy at" in line for line in lines)
