"""Registries of installed plug-ins, found through their entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.registry import PluginWarning, load_registry
from attenergy.search.cli.app import app

GOOD = "version: 1\nenergies:\n  plugged: {title: A plug-in, formula: 0.5*|xi|^2}\n"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution on the path, as an installer would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, code: str, yaml: str = GOOD, target: str = "FILE") -> Path:
        monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
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
def test_a_plugin_adds_its_entries(code: str, install: Install) -> None:
    install("good_path", code)
    registry = load_registry()
    assert registry.energies["plugged"].title == "A plug-in"
    assert "lse" in registry.energies
    assert "plugged" not in load_registry(plugins=False).energies


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("raises", "1/0\n", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("lacks", "OTHER = 1\n", "cannot be loaded: AttributeError"),
        ("imports", "import no_such_module_at_all\n", "cannot be loaded: ModuleNotFoundError"),
        ("leaves", "import sys\nsys.exit(3)\n", "cannot be loaded: SystemExit: 3"),
        ("base", "class Odd(BaseException): pass\nraise Odd\n", "cannot be loaded: Odd"),
        (
            "silent",
            "class E(Exception):\n    def __str__(self): raise self\nraise E\n",
            "cannot be loaded: E",
        ),
        ("number", "FILE = 3\n", "must be the path of a YAML file, got int"),
        ("relative", "FILE = 'some.yaml'\n", "is a relative path (some.yaml)"),
        ("absent", "FILE = '/no/such/file.yaml'\n", "/no/such/file.yaml:1:1: cannot be read"),
        (
            "archive",
            "import zipfile\nclass Broken(zipfile.Path):\n    def __init__(self): pass\n"
            "    def is_dir(self): raise KeyError('gone')\nFILE = Broken()\n",
            "is left out: ",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_left_out(
    name: str, code: str, expected: str, install: Install
) -> None:
    install(name, code)
    with pytest.warns(PluginWarning) as caught:
        registry = load_registry()
    (warning,) = caught
    label = f"plug-in '{name}' ({name}_module:FILE) of the distribution {name} 1.5 is left out: "
    assert str(warning.message).startswith(label)
    assert expected in str(warning.message)
    assert registry == load_registry(plugins=False)


@pytest.mark.parametrize("yaml", ["", "version: 1\nmixers:\n  lse: {title: A, clas: B}\n", "\0"])
def test_a_plugin_whose_file_is_wrong_is_left_out(yaml: str, install: Install) -> None:
    code = "from pathlib import Path\nFILE = Path(__file__).with_name('typo.yaml')\n"
    path = install("typo", code, yaml)
    with pytest.warns(PluginWarning, match="plug-in 'typo'") as caught:
        registry = load_registry()
    assert f"{path}:" in str(caught[0].message)
    assert registry == load_registry(plugins=False)


def test_problems_in_a_plugin_file_have_places(install: Install) -> None:
    code = "from pathlib import Path\nFILE = Path(__file__).with_name('typo.yaml')\n"
    path = install("typo", code, "version: 1\nmixers:\n  lse: {title: A, clas: B}\n")
    with pytest.warns(PluginWarning) as caught:
        load_registry()
    text = str(caught[0].message)
    assert f"{path}:3:19: mixers.lse.clas: unknown key 'clas' (did you mean 'class'?)" in text
    assert "the name 'lse' is taken by the energy at" in text


def test_a_broken_plugin_blocks_no_command(install: Install) -> None:
    install("raising", "1/0\n")
    result = CliRunner().invoke(app, ["tasks", "list"])
    assert result.exit_code == 0, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: plug-in 'raising' ")
    assert line.endswith("ZeroDivisionError: division by zero")
