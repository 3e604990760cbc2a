"""Where the files of the package lie, and how large they are."""

from __future__ import annotations

import re
import statistics
import tomllib
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("registry", "energies", "attention", "tasks", "search", "analysis", "testing")
BESIDE = ("tests", "benchmarks", "studies")
MOST_MODULES, MOST_LINES = 16, 330
FOLDERS = sorted(
    folder.parent.relative_to(ROOT).as_posix()
    for room in ROOMS
    for folder in (ROOT / room).rglob("__init__.py")
)


def modules(folder: str) -> list[Path]:
    return [path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]


def folders(root: Path) -> list[str]:
    """The folder itself and those below it that hold modules."""
    return sorted({path.parent.relative_to(ROOT).as_posix() for path in root.rglob("*.py")})


def lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["tool"]["setuptools"]["packages"]
    packages = {f"attenergy.{folder.replace('/', '.')}" for folder in FOLDERS}
    assert set(listed) == packages | {"attenergy", "attenergy.data"}
    assert len(listed) == len(set(listed))


def test_every_module_lies_in_a_package() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_a_folder_is_seen_at_a_glance() -> None:
    beside = [folder for name in BESIDE for folder in folders(ROOT / name)]
    many = {f: len(modules(f)) for f in [*FOLDERS, *beside] if len(modules(f)) > MOST_MODULES}
    assert not many, f"more than {MOST_MODULES} modules: {many}"


def test_a_file_has_one_job() -> None:
    paths = [path for name in BESIDE for path in ROOT.glob(f"{name}/**/*.py")]
    paths += [path for folder in FOLDERS for path in (ROOT / folder).glob("*.py")]
    long = {str(p.relative_to(ROOT)): lines(p) for p in paths if lines(p) > MOST_LINES}
    assert not long, f"longer than {MOST_LINES} lines: {long}"


def test_files_are_neither_long_nor_crumbs() -> None:
    sizes = [lines(path) for folder in FOLDERS for path in modules(folder)]
    assert 80 <= statistics.median(sizes) <= 210


def test_the_tests_mirror_the_package() -> None:
    for room in ROOMS:
        for folder in (path for path in (ROOT / "tests" / room).rglob("*") if path.is_dir()):
            if folder.name != "__pycache__":
                same = ROOT / folder.relative_to(ROOT / "tests")
                assert same.is_dir(), f"{folder} mirrors no folder of the package"


def test_no_import_goes_in_a_circle() -> None:
    """Among files, with imports inside functions and for type checkers; folders have contracts."""
    pattern = re.compile(r"^\s*from (attenergy[\w.]*) import \(?([^)]*?)\)?$", re.MULTILINE)
    names = {
        "attenergy." + ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for folder in FOLDERS
        for path in modules(folder)
    }
    graph: nx.DiGraph = nx.DiGraph()
    for name, path in names.items():
        for module, what in pattern.findall(path.read_text(encoding="utf-8")):
            inside = {f"{module}.{word.split(' as ')[0].strip()}" for word in what.split(",")}
            targets = ({module} | inside) & set(names)
            graph.add_edges_from((name, target) for target in targets if target != name)
    assert graph.number_of_edges() > 500
    circles = [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert not circles, circles[:5]


def test_no_name_of_the_analysis_is_a_module() -> None:
    """Its names are loaded when first used, and a module of the same name would hide one."""
    from attenergy import analysis

    stems = {path.stem for path in (ROOT / "analysis").iterdir()}
    same = sorted(stems & set(analysis.__all__))
    assert not same, f"rename the modules or folders {same}: functions have these names"


def test_the_citation_names_the_version() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {settings['project']['version']}\n" in citation
