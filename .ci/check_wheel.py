"""Compare the wheel with the source tree, and the release with what the project says of itself.

    python .ci/check_wheel.py dist/attenergy-0.1.0-py3-none-any.whl [--release v0.1.0]

Fails where the wheel lacks a module or a data file, has a file that nobody asked for, or states
another version, licence, entry point or extra than `pyproject.toml`; with `--release` also where
the tag, the changelog and the citation do not name that version.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def expected(project: dict[str, Any]) -> set[str]:
    """Return the files that belong into the wheel, by their path in it."""
    setuptools = project["tool"]["setuptools"]
    folders = setuptools["package-dir"]
    data = setuptools["package-data"]
    files = set()
    for package in setuptools["packages"]:
        room = ".".join(package.split(".")[:2])
        home = folders[room] if room in folders else folders["attenergy"]
        folder = ROOT / home / Path(*package.split(".")[2:])
        patterns = ["*.py"] if package != "attenergy.data" else []
        for pattern in [*patterns, *data.get(package, [])]:
            matches = sorted(folder.glob(pattern))
            if not matches:
                raise SystemExit(f"{folder}: no file fits {pattern}")
            files |= {f"{package.replace('.', '/')}/{one.relative_to(folder)}" for one in matches}
    return files


def problems(wheel: Path, project: dict[str, Any]) -> list[str]:
    """Return what is wrong with the wheel, each in one line."""
    about = project["project"]
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = f"{about['name']}-{about['version']}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = archive.read(f"{info}/entry_points.txt").decode()
    wanted = expected(project)
    inside = {name for name in names if not name.startswith(f"{info}/")}
    lines = [f"missing: {name}" for name in sorted(wanted - inside)]
    lines += [f"does not belong: {name}" for name in sorted(inside - wanted)]
    if f"{info}/licenses/LICENSE" not in names:
        lines.append("the licence is missing")
    facts = {
        "Version": about["version"],
        "License-Expression": about["license"],
        "Summary": about["description"],
    }
    lines += [
        f"{key}: {metadata[key]}, not {value}"
        for key, value in facts.items()
        if metadata[key] != value
    ]
    if sorted(metadata.get_all("Provides-Extra", [])) != sorted(about["optional-dependencies"]):
        lines.append("the extras differ")
    if not str(metadata.get_payload()).startswith("# attenergy"):
        lines.append("the README is not its description")
    lines += [
        f"no command {name} = {place}"
        for name, place in about["scripts"].items()
        if f"{name} = {place}" not in points
    ]
    return lines


def release_problems(tag: str, project: dict[str, Any]) -> list[str]:
    """Return where tag, changelog and citation do not name this version."""
    version = project["project"]["version"]
    lines = [] if tag == f"v{version}" else [f"the tag is {tag}, the version {version}"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        lines.append(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'")
    if not fnmatch.filter(
        (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines(), f"version: {version}"
    ):
        lines.append(f"CITATION.cff does not name version {version}")
    return lines


def main() -> int:
    """Check what the arguments name; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--release", default="", metavar="TAG", help="check a release, too")
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = problems(given.wheel, project)
    if given.release:
        lines += release_problems(given.release, project)
    print(
        "\n".join(lines)
        or f"{given.wheel.name} has all {len(expected(project))} files and no other"
    )
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
