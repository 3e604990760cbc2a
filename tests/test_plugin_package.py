"""A package with a thing of every kind, installed into a folder of its own, goes through all doors.

Checked, searched with worker processes and on Ray, exported, loaded in another process; and what is
said where it is not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import attenergy
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import CATALOGUES, carried
from attenergy.registry.plugins import _STATE
from attenergy.search.cli.app import app
from attenergy.search.runs.records import read_records
from tests.docs.blocks import ROOT, blocks_of

pytestmark = pytest.mark.long  # whole searches or processes

SOURCE = Path(__file__).with_name("plugin_package")
ENTRIES = ("fieldkit_tethered", "fieldkit_centred", "fieldkit_warm")
SEARCH = [
    *("search", "-t", "fieldkit-echo", "-n", "4", "-e", ",".join(ENTRIES)),
    *("--baseline", "fieldkit_warm", "--match", "", "--finalists", "0", "--no-export", "--plain"),
]
LOAD = """
import sys, torch, attenergy
layer = attenergy.load(sys.argv[1], plugins=sys.argv[2:])
with torch.no_grad():
    out = layer(torch.ones(1, 3, 8))
print(type(getattr(layer, "energy", layer)).__name__, out.sum().item())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(SOURCE, folder / "source")
    install(source, folder / "site")
    return folder / "site"


def install(source: Path, target: Path) -> None:
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--target", target)
    words = [sys.executable, "-m", "pip", "install", "-q", *options, source]
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def on_path(site: Path) -> Iterator[None]:
    """Have the package installed in this process; afterwards it has never been there."""
    before = {kind: set(table.owners) for kind, table in CATALOGUES.items()}
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for module in [
            m
            for m in sys.modules
            if m.partition(".")[0] in {"fieldkit", "my_package", "my_examples"}
        ]:
            del sys.modules[module]
        for state in (_STATE.files, _STATE.failures, _STATE.named):
            state.clear()
        for kind, table in CATALOGUES.items():
            for name in set(table.owners) - before.get(kind, set()):
                del table[name], table.owners[name]


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture(scope="module")
def study(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with two worker processes, and the export of each of its variants."""
    folder = tmp_path_factory.mktemp("runs")
    with on_path(site):
        own = ["--sampler", "dice", "--pruner", "lenient"]
        result = call(*SEARCH, *own, "--workers", "1", "--folder", str(folder))
        assert result.exit_code == 0, result.stderr
        for name in ENTRIES:
            out = ["-o", str(folder / name)]
            result = call("export", str(folder / "fieldkit-echo"), "--trial", name, *out)
            assert result.exit_code == 0, result.stderr
    return folder / "fieldkit-echo"


@pytest.mark.parametrize("name", [ENTRIES[0], pytest.param(ENTRIES[1], marks=pytest.mark.slow)])
def test_its_energies_obey_the_laws(name: str, site: Path) -> None:
    with on_path(site):
        file = site / "fieldkit" / "fieldkit.yaml"
        result = call("energies", "check", f"{file}:{name}", "-f", "json")
    assert result.exit_code == 0, result.stderr
    laws = json.loads(result.stdout)
    assert {law["energy"] for law in laws} == {name}
    assert len(laws) == 9
    assert all(law["passed"] is not False for law in laws)


def test_it_takes_part_in_a_search_with_a_worker(study: Path) -> None:
    records = read_records(study)
    assert {record.config.variant for record in records} == set(ENTRIES)
    assert {record.status for record in records} == {"complete"}
    assert {record.versions["attenergy-fieldkit"] for record in records} == {"1.5"}


@pytest.mark.slow  # a cluster of its own
def test_it_takes_part_in_a_search_on_ray(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{site}")
    with on_path(site):
        result = call(*SEARCH, "--engine", "ray", "--workers", "1", "--folder", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    records = read_records(tmp_path / "fieldkit-echo")
    assert {record.status for record in records} == {"complete"}


def test_a_study_and_its_exports_record_what_they_use(study: Path) -> None:
    (need,) = json.loads((study / "plugins.json").read_text())
    assert (need["name"], need["version"]) == ("attenergy-fieldkit", "1.5")
    assert need["module"] == "fieldkit"
    provided = {(kind, name) for kind, names in need["provides"].items() for name in names}
    assert provided == {
        ("task class", "Echo"), ("energy class", "Tethered"), ("mixer class", "Warm"),
        ("domain", "centred"), ("solver", "careful"), ("formula function", "root"),
        ("sampler", "dice"), ("pruner", "lenient"),
    }  # fmt: skip
    uses = {}
    for name in ENTRIES:
        (need,) = json.loads((study.parent / name / "config.json").read_text())["plugins"]
        uses[name] = need["provides"]
    assert uses["fieldkit_tethered"] == {"energy class": ["Tethered"]}
    assert uses["fieldkit_warm"] == {"mixer class": ["Warm"]}
    assert list(uses["fieldkit_centred"]) == ["domain", "formula function", "solver"]


def test_an_export_loads_in_another_process(site: Path, study: Path) -> None:
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(site)])
    command = [sys.executable, "-c", LOAD, str(study.parent / "fieldkit_tethered")]
    loaded = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    with on_path(site), torch.no_grad():
        here = attenergy.load(study.parent / "fieldkit_tethered")(torch.ones(1, 3, 8)).sum().item()
    name, value = loaded.stdout.split()
    assert name == "Tethered"
    assert float(value) == pytest.approx(here, abs=1e-5)


def test_a_plugin_that_is_no_package_is_named(site: Path, study: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "fieldkit", tmp_path / "fieldkit")
    with on_path(tmp_path):
        layer = attenergy.load(study.parent / "fieldkit_centred", plugins=["fieldkit"])
        assert layer.energy.spec.domain == "centred"
        assert carried() == ("fieldkit",)
        shown = call("--plugin", "fieldkit", "energies", "show", "fieldkit_centred")
    assert shown.exit_code == 0, shown.stderr
    assert "root(X @ xi" in shown.stdout


NEED = "the plug-in attenergy-fieldkit 1.5 is needed ("
HELP = ") and not loaded here: install it, or name its module (attenergy --plugin fieldkit ..."


def test_an_export_says_which_plugin_is_missing(study: Path) -> None:
    for name, uses in zip(
        ENTRIES, ("energy class 'Tethered'", "domain 'centred'", ""), strict=True
    ):
        with pytest.raises(SavedError) as caught:
            attenergy.load(study.parent / name)
        assert f"config.json: {NEED}{uses}" in str(caught.value)
        assert HELP in str(caught.value)
    assert "fieldkit" not in sys.modules


def test_a_sampler_that_is_missing_is_named(study: Path) -> None:
    for own in (["--sampler", "dice"], ["--pruner", "lenient"]):
        result = call(*SEARCH, "--resume", "--folder", str(study.parent), *own)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"{study}: {NEED}")
        assert f"{own[0][2:]} '{own[1]}'" in line
        assert HELP in line
    result = call(*SEARCH, "--study", "another", "--folder", str(study.parent), "--sampler", "dice")
    assert result.stderr.startswith("--sampler: no sampler 'dice'")


@pytest.mark.parametrize("verb", ["report", "replay", "export", "search"])
def test_a_study_says_which_plugin_is_missing(verb: str, study: Path, tmp_path: Path) -> None:
    words = {"search": [*SEARCH, "--resume", "--folder", str(study.parent)]}
    result = call(
        *words.get(verb, [verb, str(study), *(["-o", str(tmp_path / "x")] * (verb != "replay"))])
    )
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{study}: {NEED}task class 'Echo'")
    assert HELP in line


def test_an_upgraded_plugin_is_reported(study: Path, site: Path, tmp_path: Path) -> None:
    newer = shutil.copytree(site, tmp_path / "site")
    info = newer / "attenergy_fieldkit-1.5.dist-info"
    text = (info / "METADATA").read_text().replace("Version: 1.5", "Version: 2.0")
    (info / "METADATA").write_text(text)
    info.rename(newer / "attenergy_fieldkit-2.0.dist-info")
    with on_path(newer):
        result = call("replay", str(study), "fieldkit_warm", "--workers", "0")
        page = call("report", str(study), "-o", str(tmp_path / "page.html"))
    assert "attenergy-fieldkit: 1.5, now 2.0" in result.stdout, result.stderr
    assert page.exit_code == 0, page.stderr
    assert "attenergy --plugin fieldkit search" in (tmp_path / "page.html").read_text()


def test_the_package_of_the_page_is_installed_with_its_registry_file(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "my_package").mkdir(parents=True)
    for block in blocks_of(ROOT / "docs" / "plugins.md"):
        if block.file:
            (source / block.file).write_text(block.code, encoding="utf-8")
    install(source, site)
    with on_path(site):
        (plugin,) = (p for p in attenergy.load_plugins() if p.distribution == "my-package")
        assert "echo" in attenergy.load_registry().tasks
    assert (plugin.package, plugin.release) == ("my-package", "1.0")
