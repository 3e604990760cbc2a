"""Plug-ins that a user names, and clumsy ones of either kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attenergy.attention.mixers import CLASSES, TopKAttention
from attenergy.registry import PluginWarning, UnknownName, load_plugins, load_registry
from attenergy.registry.plugins import _STATE, VARIABLE, Plugin, name_plugins, named_plugins
from attenergy.search.cli.app import app

YAML = "version: 1\nenergies:\n  plugged: {title: A plug-in, formula: 0.5*|xi|^2}\n"
CODE = "from pathlib import Path\nREGISTRY = Path(__file__).with_name('own.yaml')\n"
MIXER = """
import attenergy
from attenergy.attention.mixers import Mixer

@attenergy.register_mixer("{name}")
class {name}(Mixer):
    pass
"""
Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """Whatever a test names and registers is gone after it."""
    yield
    for state in (_STATE.files, _STATE.failures, _STATE.named):
        state.clear()
    for name in list(CLASSES.owners):
        del CLASSES[name], CLASSES.owners[name]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Put a module on the path, and beside it a registry file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.yaml").write_text(YAML)

    def make(name: str, code: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(code)

    return make


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_module_that_is_named_brings_its_registry_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("brings_one", CODE)
    write("brings_two", f"{CODE}REGISTRY = (REGISTRY, str(REGISTRY))\n")
    write("brings_other", CODE.replace("REGISTRY", "OTHER"))
    write("brings_none", "")
    assert "plugged" not in load_registry().energies
    for name in ("brings_one", "brings_two", "brings_other:OTHER"):
        _STATE.named.clear()
        load_plugins(name)
        assert "plugged" in load_registry().energies
    _STATE.named.clear()
    load_plugins("brings_none")
    assert "plugged" not in load_registry().energies
    monkeypatch.setenv(VARIABLE, " brings_one ,, brings_none")
    assert "plugged" in load_registry().energies


def test_the_command_line_names_modules(write: Write) -> None:
    write("brings_one", CODE)
    result = call("--plugin", "brings_one", "energies", "list", "-f", "json")
    assert "plugged" in {row["name"] for row in json.loads(result.stdout)}


@pytest.mark.parametrize("name", ["./own.py", "a-b", "", "a..b", "a:b:c", "1st"])
def test_what_is_no_module_is_refused(name: str) -> None:
    result = call("--plugin", name, "tasks", "list")
    assert result.exit_code == 2
    assert result.stderr.startswith("a plug-in is the name of a module on Python's path, such as")


def test_a_module_that_is_not_there_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lies_here.py").write_text("1/0")
    (tmp_path / "lies_there").mkdir()
    for name, hint in (("lies_here", True), ("lies_there", True), ("not_at_all", False)):
        monkeypatch.setenv(VARIABLE, name)
        result = call("tasks", "list")
        assert result.exit_code == 0
        (line,) = result.stderr.splitlines()
        expected = f"warning: plug-in '{name}' is left out: there is no module '{name}' on Python's"
        assert line.startswith(expected)
        assert line.endswith("install it, or set PYTHONPATH=.") == hint


def test_a_module_in_this_folder_is_found_if_it_is_named_on_the_command_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    write("lies_elsewhere", CODE)
    for name in ("lies_here", "lies_elsewhere", "json"):
        monkeypatch.delitem(sys.modules, "lies_here", raising=False)
        (here / f"{name}.py").write_text("raise SystemExit('it was taken from here')\n")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    result = call(
        "--plugin", "lies_elsewhere", "--plugin", "json", "energies", "list", "-f", "json"
    )
    assert "plugged" in {row["name"] for row in json.loads(result.stdout)}
    assert result.stderr == ""
    assert str(here) not in sys.path
    result = call("--plugin", "lies_here", "tasks", "list")
    assert "plug-in 'lies_here' is left out: cannot be loaded: SystemExit: it was" in result.stderr


def test_a_plugin_that_prints_does_not_spoil_the_result(write: Write) -> None:
    write("talks", "print('hello')\n")
    result = call("--plugin", "talks", "tasks", "list", "-f", "json")
    assert json.loads(result.stdout)
    assert result.stderr == "hello\n"


def test_a_plugin_may_read_registries_while_it_is_imported(write: Write) -> None:
    write("reads", f"import attenergy\nassert 'lse' in attenergy.load_registry().energies\n{CODE}")
    load_plugins("reads")
    assert "plugged" in load_registry().energies


@pytest.mark.parametrize(
    "end",
    [
        "1/0",
        "import sys; sys.exit()",
        "raise BaseException",
        "REGISTRY = 3",
        r"REGISTRY = '/a\0b'",
        "import warnings; warnings.simplefilter('error'); warnings.warn('no')",
    ],
)
def test_one_that_fails_registers_nothing(end: str, write: Write) -> None:
    write("fails", f"{MIXER.format(name='Early')}\n{end}\n")
    with pytest.warns(PluginWarning, match="^plug-in 'fails' is left out: "):
        load_plugins("fails")
    assert "Early" not in CLASSES
    with (
        pytest.warns(PluginWarning),
        pytest.raises(UnknownName, match=r"'Early' .*'fails' is left"),
    ):
        CLASSES.lookup("Early")


@pytest.mark.parametrize("target", ["own_part", "own_part [extra]", "own_part:NAME [a,b]"])
def test_the_module_of_an_entry_point_is_named_without_its_extras(target: str) -> None:
    assert Plugin("own", target, "a-package", "1.0").module == "own_part"


def test_many_are_named_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"many{number}" for number in range(30_000)]
    comparisons = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal comparisons
            comparisons += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    name_plugins(map(Name, names))
    name_plugins(map(Name, names))
    assert named_plugins()[-1] == "many29999"
    assert comparisons < 10 * len(names)


def test_the_toolkits_own_names_are_safe(write: Write) -> None:
    write("takes", MIXER.format(name="TopKAttention"))
    with pytest.warns(PluginWarning, match="'TopKAttention' is taken by the mixer class of atten"):
        load_plugins("takes")
    assert CLASSES["TopKAttention"] is TopKAttention


def test_of_two_plugins_with_one_name_the_first_has_it(write: Write) -> None:
    write("comes_first", MIXER.format(name="Same"))
    write("comes_second", MIXER.format(name="Same"))
    with pytest.warns(PluginWarning) as caught:
        load_plugins("comes_first", "comes_second")
    (warning,) = caught
    assert str(warning.message).startswith("plug-in 'comes_second' is left out: cannot be loaded")
    assert "'Same' is taken by the mixer class of plug-in 'comes_first'" in str(warning.message)
    assert CLASSES["Same"].__module__ == "comes_first"


def test_one_that_was_mended_is_tried_again_when_it_is_named(write: Write) -> None:
    write("mended", "1/0\n")
    with pytest.warns(PluginWarning, match="ZeroDivisionError"):
        load_plugins("mended")
    with pytest.warns(PluginWarning, match="ZeroDivisionError"):
        load_plugins()
    write("mended", CODE + "# and a comment, for another size\n")
    load_plugins("mended")
    assert "plugged" in load_registry().energies


def test_who_owns_a_plugin_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run asks, and looking through all installed packages takes longer than a small run."""
    calls: list[None] = []
    monkeypatch.setattr(
        metadata, "packages_distributions", lambda: calls.append(None) or {"torch": ["torch"]}
    )
    monkeypatch.syspath_prepend("a place that nobody has asked for")
    for _ in range(3):
        plugin = Plugin("torch", "torch")
        assert (plugin.package, plugin.release) == ("torch", metadata.version("torch"))
    assert len(calls) == 1
