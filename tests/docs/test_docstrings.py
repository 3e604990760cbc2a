"""Every public name shows an example in its docstring, and every example of a docstring is run.

An example stands below `import torch`, `import attenergy` and an import of what it names from the
package that it belongs to.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import re
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

import pytest
import torch

import attenergy
from tests.docs.blocks import ROOT
from tests.docs.runner import FLAGS, isolated

PACKAGES = (
    "attenergy",
    *(f"attenergy.{name}" for name in ("registry", "energies", "attention", "tasks", "analysis")),
    *("attenergy.testing", "attenergy.energies.language"),
    *("attenergy.attention.graphs", "attenergy.attention.mixers"),
)
ROOMS = ("registry", "energies", "attention", "tasks", "search", "analysis", "testing")
#: A line of an example.
EXAMPLE = re.compile(r"^ +>>> ", re.MULTILINE)


def public(package: ModuleType) -> dict[str, Any]:
    """The classes and functions of a package's `__all__`."""
    every = {name: getattr(package, name) for name in package.__all__}
    return {
        name: thing
        for name, thing in every.items()
        if (inspect.isclass(thing) and not isinstance(thing, GenericAlias))
        or inspect.isroutine(inspect.unwrap(thing))
    }


def own_docstring(thing: Any) -> str:
    """What is written below the thing itself; an inherited docstring is none."""
    text = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
    return text or ""


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_shows_an_example(name: str) -> None:
    names = public(importlib.import_module(name))
    assert len(names) >= 4
    without = sorted(n for n, thing in names.items() if ">>> " not in own_docstring(thing))
    assert not without, f"no example: {without}"


def modules() -> list[str]:
    """Modules of the package whose text has examples."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    texts = [path for path in sorted(paths) if EXAMPLE.search(path.read_text("utf-8"))]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in texts]
    return ["attenergy." + ".".join(part).removesuffix(".__init__") for part in parts]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(name)
    packages = [module, *(importlib.import_module(each) for each in PACKAGES if each in name)]
    shown = {"torch": torch, "attenergy": attenergy}
    for package in packages:
        shown |= {n: getattr(package, n) for n in getattr(package, "__all__", vars(package))}
    tests = [test for test in doctest.DocTestFinder().find(module, name) if test.examples]
    assert tests
    for test in tests:
        with isolated(tmp_path) as names:
            names.update(shown)
            test.globs = names
            report = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            failed = runner.run(test, out=report.write, clear_globs=False).failed
        assert not failed, report.getvalue()
