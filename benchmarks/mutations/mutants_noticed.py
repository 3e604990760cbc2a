"""Which test of the fast suite runs which line, and in how many seconds; needs `coverage`.

As a plug-in of pytest (`-p mutants_noticed`, with MUTATIONS_MAP set to a folder) it measures; `Map`
reads what was measured, and `choose` picks the tests that could notice a fault.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import mutants

ROOT = Path(__file__).resolve().parents[2]
AREAS = ("energies", "attention", "search", "tasks")
ROOMS = ("registry", "analysis", "testing", *AREAS)
FIRST, MOST = 8.0, 30.0  # seconds of tests in a first round, and in the second
CHEAP = tuple(f"tests/test_{name}.py" for name in ("arguments", "defaults", "generators", "laws"))
UNKNOWN = 0.1  # seconds of a test that no map knows


def copy_tree(folder: Path, commit: str = "HEAD") -> None:
    """Copy a committed tree to `folder/tree`; the package in `folder/links` leads there."""
    shutil.rmtree(folder, ignore_errors=True)
    tree, links = folder / "tree", folder / "links" / "attenergy"
    tree.mkdir(parents=True)
    (links / "data").mkdir(parents=True)
    archive = ["git", "-C", str(ROOT), "archive", commit]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as packed:
        subprocess.run(["tar", "x", "-C", str(tree)], stdin=packed.stdout, check=True)
    for room in ROOMS:
        (links / room).symlink_to(tree / room)
    for file in (tree / "src" / "attenergy").iterdir():
        (links / file.name).symlink_to(file)
    (links / "data" / "registry.yaml").symlink_to(tree / "registry.yaml")


def environment(folder: Path) -> dict[str, str]:
    paths = [str(folder / "links"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    golden = os.environ.get("ATTENERGY_GOLDEN", str(ROOT.parent / "shared" / "golden"))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "ATTENERGY_GOLDEN": golden,
        "OMP_NUM_THREADS": "1",
    }


# Which test runs which line. This part is a plug-in of pytest when MUTATIONS_MAP is set.

if target := os.environ.get("MUTATIONS_MAP"):
    import coverage
    import pytest

    MEASURE = coverage.Coverage(
        data_file=f"{target}/lines", include=[f"{target}/tree/{area}/*" for area in AREAS]
    )
    MEASURE.start()
    SECONDS: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(item: Any) -> Iterator[None]:
        # A fixture is set up once for several tests, so its lines belong to the file.
        MEASURE.switch_context(item.nodeid.split("::")[0])
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(item: Any) -> Iterator[None]:
        MEASURE.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            MEASURE.switch_context("")

    def pytest_runtest_logreport(report: Any) -> None:
        if report.outcome == "passed":
            SECONDS[report.nodeid] += report.duration

    def pytest_sessionfinish() -> None:
        MEASURE.stop()
        MEASURE.save()
        Path(f"{target}/seconds.json").write_text(json.dumps(SECONDS))


def make_map(folder: Path, tests: list[str]) -> None:
    number = len(list(folder.glob("map*")))
    into = folder / f"map{number}"
    copy_tree(into)
    call = [sys.executable, "-m", "pytest", "-q", "-p", "mutants_noticed", "-p", "no:cacheprovider"]
    call += ["-m", "not slow", *tests]
    env = {**environment(into), "MUTATIONS_MAP": str(into)}
    subprocess.run(call, cwd=into / "tree", env=env, check=False)


def spans(text: str) -> dict[str, tuple[int, str]]:
    """Each function by its full name: its first line and its text."""
    result: dict[str, tuple[int, str]] = {}

    def walk(node: ast.AST, names: tuple[str, ...]) -> None:
        for part in ast.iter_child_nodes(node):
            own = names
            if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
                own = (*names, part.name)
                result[".".join(own)] = (part.lineno, ast.get_source_segment(text, part) or "")
            walk(part, own)

    walk(ast.parse(text), ())
    return result


@dataclass(frozen=True)
class Map:
    """What one run of the suite knew: the lines of each test, and its seconds."""

    folder: Path

    @cached_property
    def seconds(self) -> dict[str, float]:
        return dict(json.loads((self.folder / "seconds.json").read_text()))

    @cached_property
    def data(self) -> Any:
        data = importlib.import_module("coverage").CoverageData(str(self.folder / "lines"))
        data.read()
        return data

    @cache  # noqa: B019 (lives as long as the process)
    def lines(self, file: str) -> dict[int, list[str]]:
        path = (self.folder / "tree" / file).resolve()
        return dict(self.data.contexts_by_lineno(str(path))) if path.is_file() else {}

    def tests(self, file: str, text: str, fault: mutants.Fault) -> tuple[set[str], set[str]]:
        """Tests that run the changed lines, and those that run anything of the file."""
        lines = self.lines(file)
        everything = {test for tests in lines.values() for test in tests if test}
        if not lines:
            return set(), set()
        old_text = (self.folder / "tree" / file).read_text()
        old, new = (spans(t).get(fault.function, (0, "")) for t in (old_text, text))
        if old_text == text or (old[1] and old[1] == new[1]):
            shift = 0 if old_text == text else old[0] - new[0]
            wanted = range(fault.first + shift, fault.last + shift + 1)
        else:
            wanted = range(old[0] + 1, old[0] + old[1].count("\n") + 1)
        own = {test for line in wanted for test in lines.get(line, ()) if test}
        return own, everything

    def spread(self, contexts: Iterable[str]) -> set[str]:
        """Tests of the contexts: a file stands for all its tests."""
        wanted = set(contexts)
        return {t for t in self.seconds if t in wanted or t.split("::")[0] in wanted}


def existing(folder: Path) -> set[str]:
    """Return the tests of the tree: those that a map knows may have another name by now."""
    call = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "not slow"]
    call += ["-p", "no:cacheprovider"]
    options: dict[str, Any] = {"cwd": folder / "tree", "env": environment(folder)}
    said = subprocess.run(call, capture_output=True, text=True, check=True, **options).stdout
    return {line for line in said.splitlines() if "::" in line}


def choose(
    maps: list[Map], there: set[str], file: str, text: str, fault: mutants.Fault
) -> list[list[str]]:
    """Tests in rounds: a few cheap and special ones, all others of the line, of the file, new ones.

    A test that is in no map is new; those of the area are tried last.
    """
    own: dict[str, float] = {}
    around: dict[str, float] = {}
    for one in maps:
        direct, everything = one.tests(file, text, fault)
        own |= {test: one.seconds[test] for test in one.spread(direct) & there}
        around |= {test: one.seconds[test] for test in one.spread(everything) & there}
    known = {test for one in maps for test in one.seconds}
    area, stem = file.split("/", maxsplit=1)[0], Path(file).stem
    new = {
        test: UNKNOWN if stem.split("_")[0].rstrip("s") in test else 2 * UNKNOWN
        for test in there - known
        if Path(test.split("::")[0]).parts[1] == area or test.startswith(CHEAP)
    }
    special = sorted(own, key=lambda t: (stem.split("_")[0].rstrip("s") not in t, own[t]))
    pools = [(special[:60], own, FIRST), (sorted(own, key=own.__getitem__), own, MOST)]
    pools += [(sorted(more, key=more.__getitem__), more, FIRST) for more in (around, new)]
    rounds: list[list[str]] = []
    used: set[str] = set()
    for pool, seconds, most in pools:
        once = {t.split("[")[0]: t for t in reversed(pool)}  # each function before its other cases
        taken, total = [], 0.0
        for test in dict.fromkeys([*reversed(once.values()), *pool]):
            if test not in used and total + seconds[test] <= most:
                taken.append(test)
                total += seconds[test]
        used.update(taken)
        rounds.append(taken)
    return [tests for tests in rounds if tests]
