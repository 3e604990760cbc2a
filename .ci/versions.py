"""Run the fast suite with the oldest or the newest packages that `pyproject.toml` allows.

    python .ci/versions.py oldest|newest [--python python3.12] [--torch 2.13.0] [--record]
        [-- TESTS AND OPTIONS]

The packages go into an environment of their own, `.venv-oldest-3.12`. `oldest` takes the lower
bound of every requirement, of the extras too; where it has no wheel for this Python, the lowest
version above that has one. `newest` takes what pip takes when nothing is pinned. `--torch` pins
PyTorch alone, for an index that offers the wanted build in one version only. `--record` writes
the outcome into `.ci/versions.json`, from which the table in `docs/versions.md` is made
(`python .ci/versions.py table`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / ".ci" / "versions.json"
PAGE = ROOT / "docs" / "versions.md"
#: The packages whose versions stand in the table.
SHOWN = ("torch", "torch-geometric", "optuna", "numpy", "pydantic", "transformers", "ray")
LISTING = """
import importlib.metadata, json, platform, sys
versions = {name: importlib.metadata.version(name) for name in sys.argv[1:]}
print(json.dumps({"python": platform.python_version(), **versions}))
"""
MARK = "<!-- below: python .ci/versions.py table -->\n"


def requirements() -> list[Requirement]:
    """Return what the package and its extras need, each package once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    one = {Requirement(text).name: Requirement(text) for text in texts}
    return sorted(one.values(), key=lambda requirement: requirement.name)


def lower_bound(requirement: Requirement) -> str:
    """Return the lowest version that the requirement names, or nothing."""
    bounds = [part.version for part in requirement.specifier if part.operator in {">=", "=="}]
    return bounds[0] if bounds else ""


def offered(python: Path, requirement: Requirement) -> list[str]:
    """Return the versions that have a wheel for this Python, the lowest first."""
    call = [python, "-m", "pip", "index", "versions", "--only-binary=:all:", requirement.name]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    listed = re.search(r"Available versions: (.*)", text)
    return listed.group(1).split(", ")[::-1] if listed else []


def oldest(python: Path, requirement: Requirement) -> str:
    """Return the requirement with the lowest version that it allows and that has a wheel."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    allowed = [
        version for version in offered(python, requirement) if version in requirement.specifier
    ]
    version = allowed[0] if allowed else lower_bound(requirement)
    return f"{requirement.name}{extras}=={version}"


def install(which: str, interpreter: str, torch: str) -> Path:
    """Make the environment, if it is not there, and return its Python."""
    words = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run(
        [interpreter, "-c", words], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = ROOT / f".venv-{which}-{version}"
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    subprocess.run([*pip, "--upgrade", "pip", "setuptools"], check=True)
    needed = {requirement.name: str(requirement) for requirement in requirements()}
    if which == "oldest":
        needed = {one.name: oldest(python, one) for one in requirements()}
    if torch:
        needed["torch"] = f"torch=={torch}"
    # PyTorch first: what needs it would otherwise choose it.
    subprocess.run([*pip, needed.pop("torch"), needed["numpy"]], check=True)
    subprocess.run([*pip, "--group", f"{ROOT}/pyproject.toml:dev", *needed.values()], check=True)
    build = ["--no-deps", "--config-settings", "editable_mode=strict"]
    subprocess.run([*pip, *build, "--editable", ROOT], check=True)
    (folder / ".installed").touch()
    return python


def run(python: Path, which: str, options: list[str]) -> dict[str, Any]:
    """Run the tests and return what is recorded of them."""
    call = [python, "-m", "pytest", "-q", "--tb=short", *options]
    lines = []
    with subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    outcome = re.findall(r"(\d+) (passed|failed|errors?|skipped)", lines[-1] if lines else "")
    names = subprocess.run(
        [python, "-c", LISTING, *SHOWN], capture_output=True, text=True, check=True
    )
    return {
        "set": which,
        "versions": json.loads(names.stdout),
        "tests": {word: int(number) for number, word in outcome},
        "exit_code": process.returncode,
        "command": " ".join(["pytest", *options]),
    }


def record(outcome: dict[str, Any]) -> None:
    """Add the outcome to the records, in place of an earlier one of the same versions."""
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else []
    records = [one for one in records if one["versions"] != outcome["versions"]]
    records.append(outcome)
    records.sort(key=lambda one: [int(part) for part in one["versions"]["python"].split(".")])
    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def table() -> str:
    """Return the table of all records, as Markdown."""
    head = ["packages", "Python", *SHOWN, "tests"]
    rows = []
    for one in json.loads(RECORDS.read_text(encoding="utf-8")):
        tests = ", ".join(f"{number:,} {word}" for word, number in one["tests"].items())
        versions = [one["versions"].get(name, "absent") for name in ("python", *SHOWN)]
        rows.append([one["set"], *versions, tests])
    from attenergy.testing.docs_pages import markdown

    return markdown.table(head, rows)


def page(text: str) -> str:
    """Return the page with its table made anew."""
    above = text.split(MARK, maxsplit=1)[0]
    return f"{above}{MARK}\n{table()}"


def main() -> int:
    """Run what the arguments ask for; the exit code of the tests."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("which", choices=("oldest", "newest", "table"))
    parser.add_argument("--python", default=sys.executable, help="interpreter to make it with")
    parser.add_argument("--torch", default="", help="this version of PyTorch")
    parser.add_argument("--record", action="store_true", help="write the outcome down")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:end])
    if given.which == "table":
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    options = words[end + 1 :] or ["-m", "not slow", "--numprocesses=2", "--dist=worksteal"]
    outcome = run(install(given.which, given.python, given.torch), given.which, options)
    if given.record:
        record(outcome)
    return int(outcome["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
