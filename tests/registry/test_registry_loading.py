"""Good registries: what is read, where it was written, and how it is looked up."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from attenergy.registry import (
    EnergySpec,
    Kind,
    Range,
    Registry,
    RegistryError,
    Scalar,
    UnknownName,
    load_registry,
    nearest,
)

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[[str], Registry]


@pytest.fixture(scope="module")
def builtin() -> Registry:
    return load_registry(plugins=False)


def test_builtin_registry_has_the_promised_entries(builtin: Registry) -> None:
    assert {"lse", "polynomial", "rbm", "graph_hopfield"} <= set(builtin.energies)
    assert {"softmax", "linear", "hyla"} <= set(builtin.mixers)
    assert {"raven", "raven-small"} <= set(builtin.tasks)
    assert "default" in builtin.spaces
    assert len(builtin.files) == 1


def test_every_builtin_default_lies_in_its_range(builtin: Registry) -> None:
    def inside(value: object, span: Range | None) -> bool:
        if span is None or (isinstance(value, str) and span.choices is None):
            return True  # an expression, such as 1/sqrt(D)
        if span.choices is not None:
            return value in span.choices
        return float(span.low) <= float(value) <= float(span.high)  # type: ignore[arg-type]

    for spec in builtin.energies.values():
        assert all(inside(p.init, p.search) for p in spec.parameters.values())
        assert all(inside(o.default, o.search) for o in spec.options.values())
        assert inside(spec.steps.default, spec.steps.search)
        assert inside(spec.step_size.default, spec.step_size.search)
        offered = spec.solver.search
        assert offered is None or spec.solver.default in offered.choices
        assert all(c.default in c.options for c in spec.choices.values())


def test_numbers_of_the_builtin_file_are_read_as_numbers(builtin: Registry) -> None:
    assert builtin.task("raven").training.learning_rate == 0.001
    assert builtin.space("default")["learning_rate"] == Range(low=0.001, high=0.01, log=True)
    assert builtin.energies["lse"].steps.search == Range(low=1, high=4)
    assert builtin.energies["lse"].steps.search.integer


def test_switches_are_read_as_true_and_false(load: Load) -> None:
    registry = load(
        "version: 1\nmixers:\n  a: {title: A, class: A, options: {p: {default: true},"
        " q: {default: false, search: {choices: [true, false]}}, r: {default: 1}}}\n"
    )
    options = registry.mixers["a"].options
    assert (options["p"].default, options["q"].default) == (True, False)
    assert type(options["r"].default) is int
    assert options["q"].search == Range(choices=(True, False))


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (Range(choices=(True, False)), [True, False], [1, 0, "true"]),
        (Range(choices=(0, 1)), [0, 1, 1.0], [True, False]),
        (Range(low=0, high=1), [0, 1], [True, False, "0"]),
    ],
)
def test_true_is_no_one(span: Range, inside: list[Scalar], outside: list[Scalar]) -> None:
    assert all(map(span.holds, inside))
    assert not any(map(span.holds, outside))


def test_an_entry_says_how_its_states_relax(load: Load) -> None:
    registry = load(
        "version: 1\nenergies:\n  a: {title: A, formula: f}\n"
        "  b: {title: B, formula: f, solver: {default: sequential}}\n"
        "  c: {title: C, formula: f, solver: {search: {choices: [descent, implicit]}}}\n"
    )
    solvers = {name: spec.solver for name, spec in registry.energies.items()}
    assert [solver.default for solver in solvers.values()] == ["descent", "sequential", "descent"]
    assert solvers["a"].search is None
    assert solvers["c"].search is not None
    assert solvers["c"].search.choices == ("descent", "implicit")


def test_a_user_file_adds_to_the_builtin_entries(tmp_path: Path, builtin: Registry) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nenergies:\n  mine: {title: Mine, formula: 0.5*|xi|^2}\n")
    registry = load_registry(path, plugins=False)
    assert list(registry.energies) == [*builtin.energies, "mine"]
    assert registry.layer("mine") == EnergySpec(title="Mine", formula="0.5*|xi|^2")
    assert registry.files == (*builtin.files, str(path))


def test_a_file_named_twice_is_read_once(tmp_path: Path, builtin: Registry) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nenergies:\n  mine: {title: Mine, formula: 0.5*|xi|^2}\n")
    registry = load_registry(ROOT / "registry.yaml", path, str(path), plugins=False)
    assert registry.files == (*builtin.files, str(path))


def test_a_copy_of_the_builtin_file_clashes_with_it(tmp_path: Path, builtin: Registry) -> None:
    copy = tmp_path / "registry.yaml"
    shutil.copy(ROOT / "registry.yaml", copy)
    with pytest.raises(RegistryError) as caught:
        load_registry(copy, plugins=False)
    count = sum(len(getattr(builtin, kind)) for kind in get_args(Kind))
    assert len(caught.value.problems) == count
    assert load_registry(copy, builtin=False, plugins=False).energies == builtin.energies


def test_without_any_file_the_registry_is_empty() -> None:
    assert load_registry(builtin=False, plugins=False) == Registry()


def test_aliases_are_copies_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    text = (
        "version: 1\nenergies:\n  a: &a\n    title: A\n    formula: f\n"
        "    parameters: {beta: {init: 1.0, search: &range {low: 0.5, high: 2.0}}}\n"
        "    step_size: {default: 1.0, search: *range}\n  b: *a\n"
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    registry = load_registry(path, builtin=False, plugins=False)
    assert registry.energies["a"] == registry.energies["b"]
    assert registry.energies["a"].step_size.search == Range(low=0.5, high=2.0)
    assert str(registry.places["energies", "a"]) == f"{path}:3:3"


FORMULAS = """\
version: 1
energies:
  plain: {title: A, formula: 0.5*|xi|^2 - lse(X @ xi)}
  single: {title: A, formula: '0.5*|xi|^2 - lse(X @ xi)'}
  double: {title: A, formula: "0.5*|xi|^2 - lse(X @ xi)"}
  folded:
    title: A
    formula: >-

      0.5*|xi|^2
      - lse(X @ xi)
  literal:
    title: A
    formula: |
        0.5*|xi|^2
          - lse(X @ xi)
  lines:
    title: A
    formula: 0.5*|xi|^2
      - lse(X @ xi)
"""


@pytest.mark.parametrize("name", ["plain", "single", "double", "folded", "literal", "lines"])
def test_characters_of_a_formula_have_places_in_the_file(name: str, load: Load) -> None:
    registry = load(FORMULAS)
    path = ("energies", name, "formula")
    formula = registry.energies[name].formula
    assert formula is not None
    lines = FORMULAS.splitlines()
    first = registry.places[path]
    assert lines[first.line - 1][first.column - 1 :].startswith("0.5*|xi|^2")
    assert registry.locate(path, 0) == first
    there = registry.locate(path, formula.index("lse"))
    assert there is not None
    assert lines[there.line - 1][there.column - 1 :].startswith("lse(X @ xi)")
    start = lines.index(f"  {name}:") if f"  {name}:" in lines else first.line - 1
    assert there.line - 1 in range(start, start + 6)


def test_places_point_to_keys_of_mappings_and_to_scalars(load: Load) -> None:
    registry = load(
        "version: 1\nspaces:\n  a:\n    heads: {choices: [4, 8]}\n    mlp: {low: 1, high: 2}\n"
    )
    spots = {path: (p.line, p.column) for path, p in registry.places.items()}
    assert spots["spaces", "a"] == (3, 3)
    assert spots["spaces", "a", "heads"] == (4, 5)
    assert spots["spaces", "a", "heads", "choices", 1] == (4, 26)
    assert spots["spaces", "a", "mlp", "high"] == (5, 25)
    assert registry.locate(("spaces", "b"), 0) is None


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda r: r.layer("lsee"), "no energy or mixer 'lsee' (did you mean 'lse'?); known: lse,"),
        (lambda r: r.layer("HYLA"), "no energy or mixer 'HYLA' (did you mean 'hyla'?); known: "),
        (
            lambda r: r.layer("?"),
            "no energy or mixer '?' (from a file of yours: --registry FILE, in Python "
            "registry=FILE); known: lse, ",
        ),
        (lambda r: r.task("raven-smal"), "no task 'raven-smal' (did you mean 'raven-small'?)"),
        (
            lambda r: r.space("defalt"),
            "no space 'defalt' (did you mean 'default'?); known: default",
        ),
    ],
)
def test_unknown_names_are_reported_with_the_nearest(
    look_up: Callable[[Registry], object], message: str, builtin: Registry
) -> None:
    with pytest.raises(UnknownName) as caught:
        look_up(builtin)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(message)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_nearest_is_silent_when_nothing_is_near() -> None:
    assert nearest("beta", ["gamma", "betta"]) == "did you mean 'betta'?"
    assert nearest("beta", ["xi", "X"]) == ""
    assert nearest("beta", []) == ""


def test_the_registry_survives_pickling(builtin: Registry) -> None:
    assert pickle.loads(pickle.dumps(builtin)) == builtin  # noqa: S301


def test_loading_imports_no_torch_and_is_quick() -> None:
    # Processor time, so that a busy machine does not fail the test; the goal is 0.3 s.
    code = (
        "import sys, time, attenergy.registry as r\n"
        "loaded = r.load_registry(plugins=False)\n"
        "print(time.process_time())\n"
        "print(sorted({'torch', 'numpy', 'optuna', 'lark'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.splitlines()
    assert modules == "[]"
    assert float(seconds) < 1.0


def test_an_installed_package_reads_its_own_copy(tmp_path: Path) -> None:
    package = tmp_path / "attenergy"
    shutil.copytree(ROOT / "src" / "attenergy", package)
    shutil.copytree(ROOT / "registry", package / "registry")
    (package / "data").mkdir()
    shutil.copy(ROOT / "registry.yaml", package / "data")
    code = "import attenergy.registry as r; print(*r.load_registry(plugins=False).files)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.strip() == str(package / "data" / "registry.yaml")
