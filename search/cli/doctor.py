"""`attenergy doctor`: what this installation and machine have, and what would add something."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

#: Extra -> what it adds.
EXTRAS = {
    "report": "pictures and HTML pages: `report`, `analyse`, `energies plot`, drawn Raven matrices",
    "data": "scikit-learn's data sets and images as tasks, t-SNE in `analyse`",
    "hf": "energies inside Hugging Face models",
    "ray": "`--engine ray`: searches on a cluster",
    "postgres": "a study on a PostgreSQL server: `--storage postgresql://...`",
    "dashboard": "`attenergy dashboard`: a search live in a browser",
    "tensorboard": "`--log tensorboard:DIR`: curves of a search",
    "export": "what `torch.onnx.export` needs for a layer or a model",
    "gp": "the sampler `gp`",
}
State = Literal["good", "missing", "problem"]
_MARKS = {"good": "ok", "missing": "--", "problem": "!!"}


class DoctorFormat(StrEnum):
    """How the findings are written."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        group: what it belongs to.
        name: what was looked at.
        state: `good`, `missing` (would add something), or `problem`.
        text: what there is; what to do about it.
    """

    group: str
    name: str
    state: State
    text: str


def doctor(
    form: Annotated[
        DoctorFormat, typer.Option("--format", "-f", help="How to write it.")
    ] = DoctorFormat.TABLE,
) -> None:
    """Look at this installation and this machine: versions, cores, memory, GPUs, extras, plug-ins.

    Ends with exit code 1 if something that the toolkit needs is missing or too old.
    """
    import json

    lines = list(findings())
    problems = [line for line in lines if line.state == "problem"]
    if form is DoctorFormat.JSON:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        typer.echo(_summary(lines))
        width = max(len(line.name) for line in lines)
        group = ""
        for line in lines:
            if line.group != group:
                group = line.group
                typer.echo(f"\n{group}")
            typer.echo(f"  {_MARKS[line.state]} {line.name:<{width}}  {line.text}")
    if problems:
        raise typer.Exit(1)


def findings() -> Iterator[Line]:
    """Everything that is looked at, in the order of the page."""
    yield from _packages()
    yield from _machine()
    yield from _extras()
    yield from _plugins()


def _summary(lines: list[Line]) -> str:
    problems = [line.name for line in lines if line.state == "problem"]
    if problems:
        return f"{len(problems)} to mend: {', '.join(problems)}"
    missing = [line.name for line in lines if line.state == "missing"]
    more = f"; not there, and not needed: {', '.join(missing)}" if missing else ""
    return f"All that attenergy needs is there{more}."


def _packages() -> Iterator[Line]:
    """Python, attenergy, and what it requires."""
    own = metadata.metadata("attenergy")
    python = platform.python_version()
    wanted = own["Requires-Python"]
    fits = _fits(python, wanted)
    yield Line("Packages", "python", "good" if fits else "problem", _version(python, wanted, fits))
    place = Path(__file__).resolve().parents[2]
    yield Line("Packages", "attenergy", "good", f"{metadata.version('attenergy')}, in {place}")
    for name, bounds, extra in _requirements():
        if not extra:
            yield _package("Packages", name, bounds)


def _package(group: str, name: str, bounds: str) -> Line:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Line(group, name, "problem", f"missing: pip install '{name}{bounds}'")
    fits = _fits(version, bounds)
    return Line(group, name, "good" if fits else "problem", _version(version, bounds, fits))


def _version(version: str, bounds: str, fits: bool) -> str:
    return version if fits else f"{version}, but {bounds} is needed"


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Package, the versions that fit, and the extra that it belongs to (empty: always needed)."""
    from packaging.requirements import Requirement

    for text in metadata.requires("attenergy") or ():
        needed = Requirement(text)
        extras = [extra for extra in EXTRAS if needed.marker and _is_of(needed.marker, extra)]
        yield needed.name, str(needed.specifier), extras[0] if extras else ""


def _is_of(marker: object, extra: str) -> bool:
    return f'extra == "{extra}"' in str(marker)


def _fits(version: str, bounds: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(bounds).contains(version, prereleases=True)


def _machine() -> Iterator[Line]:
    """Processor, memory, accelerators, and what decides how fast a run is."""
    from attenergy.search.runs.provenance import machine

    about = machine()
    cores = usable_cores()
    yield Line("Machine", "processor", "good", f"{about['processor']}, {about['platform']}")
    yield Line("Machine", "cores", "good", f"{cores} to use: `--workers {cores}` keeps them busy")
    if total := _memory():
        yield Line("Machine", "memory", "good", f"{total / 2**30:.1f} GiB")
    threads = os.environ.get("OMP_NUM_THREADS")
    text = "not set: workers take one thread each, your own scripts all cores"
    yield Line(
        "Machine", "OMP_NUM_THREADS", "good", text if threads is None else f"set to {threads}"
    )
    yield _allocator()
    yield _accelerators()
    old = sqlite3.sqlite_version_info < (3, 35)
    yield Line("Machine", "SQLite", "problem" if old else "good", sqlite3.sqlite_version)


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a system that does not say
        return 0


def _allocator() -> Line:
    if platform.libc_ver()[0] == "glibc":
        text = "glibc: `attenergy.tune_cpu()` makes layers over thousands of patterns faster"
        return Line("Machine", "allocator", "good", text)
    return Line("Machine", "allocator", "good", "not glibc: `attenergy.tune_cpu()` does nothing")


def _accelerators() -> Line:
    try:
        import torch
    except ImportError:
        return Line("Machine", "GPU", "missing", "not known without torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Line("Machine", "GPU", "good", ", ".join(names))
    if torch.backends.mps.is_available():
        return Line("Machine", "GPU", "good", "Apple Metal, for layers in your own models")
    build = torch.version.cuda
    why = "PyTorch's build for CPUs" if build is None else f"built for CUDA {build}, no device seen"
    return Line("Machine", "GPU", "missing", f"none ({why}); every command runs without one")


def _extras() -> Iterator[Line]:
    """What is installed beyond the needed, and what the rest would add."""
    packages: dict[str, list[tuple[str, str]]] = {extra: [] for extra in EXTRAS}
    for name, bounds, extra in _requirements():
        if extra:
            packages[extra].append((name, bounds))
    for extra, adds in EXTRAS.items():
        looked = [_package("Extras", name, bounds) for name, bounds in packages[extra]]
        wrong = [line for line in looked if line.state == "problem"]
        if not looked:
            text = f"{adds}; this installation is older than it: install attenergy again"
            yield Line("Extras", extra, "missing", text)
        elif wrong:
            names = ", ".join(line.name for line in wrong)
            text = f"{adds}; without {names}: pip install 'attenergy[{extra}]'"
            yield Line("Extras", extra, "missing", text)
        else:
            yield Line("Extras", extra, "good", adds)


def _plugins() -> Iterator[Line]:
    """Installed plug-ins, and those that cannot be loaded."""
    from attenergy.registry.plugins import GROUP, failures, load_plugins

    names = sorted({point.name for point in metadata.entry_points(group=GROUP)})
    load_plugins()
    wrong = failures()
    for name in names:
        said = [text for text in wrong if name in text]
        yield Line("Plug-ins", name, "problem" if said else "good", "; ".join(said) or "loaded")
    if not names:
        text = "none installed; docs/plugins.md says how to write one"
        yield Line("Plug-ins", "plug-ins", "good", text)
