"""What `import attenergy` and `attenergy --help` may import, counted: seconds vary by machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COUNT = """
import contextlib, io, json, sys
before = set(sys.modules)
import attenergy
if {layers}:
    attenergy.EnergyAttention, attenergy.LanguageModel, attenergy.EnergyMultiheadAttention
if {help}:
    from attenergy.search.cli import main
    sys.argv = ["attenergy", "--help"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
print(json.dumps(sorted(set(sys.modules) - before)))
"""
#: What may come with the help: the command line, its colours, and the plain specs of a registry.
ALLOWED = {
    *["attenergy", "typer", "click", "shellingham", "rich", "pygments", "markdown_it", "mdurl"],
    *["pydantic", "pydantic_core", "annotated_types", "annotated_doc", "typing_extensions"],
    *["typing_inspection", "yaml", "_yaml", "attr", "attrs", "cython_runtime"],
}


def imported(with_help: bool, with_layers: bool = False) -> list[str]:
    code = COUNT.replace("{help}", str(with_help)).replace("{layers}", str(with_layers))
    call = [sys.executable, "-c", code]
    run = subprocess.run(call, capture_output=True, text=True, check=True)
    return list(json.loads(run.stdout))


def test_importing_the_package_imports_next_to_nothing() -> None:
    modules = imported(with_help=False)
    assert "attenergy" in modules
    assert len(modules) <= 12, modules  # 0.01 s


@pytest.mark.parametrize("room", ["energies", "attention", "tasks", "analysis", "testing"])
def test_the_help_needs_no_heavy_room(room: str) -> None:
    assert f"attenergy.{room}" not in imported(with_help=True)


def test_the_help_imports_no_library_that_computes() -> None:
    modules = imported(with_help=True)
    assert "attenergy.search.cli.app" in modules
    third_party = {
        name.split(".")[0]
        for name in modules
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("_")
    }
    assert third_party <= ALLOWED
    assert len(modules) <= 560, len(modules)  # 0.3 s


@pytest.mark.long
def test_layers_import_nothing_that_only_exports_need() -> None:
    modules = imported(with_help=False, with_layers=True)
    assert "attenergy.attention" in modules
    assert not {"sympy", "torch.fx.experimental.symbolic_shapes"} & {*modules}
