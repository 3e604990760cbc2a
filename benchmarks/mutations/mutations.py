"""Plants faults at random, one at a time: does the fast suite notice?

    python benchmarks/mutations/mutations.py map [TESTS]  # tests of every line, by coverage
    python benchmarks/mutations/mutations.py run --count 150 [--seed 1]
    python benchmarks/mutations/mutations.py run --again   # the survivors, with the tests of today
    python benchmarks/mutations/mutations.py write benchmarks/results/mutations.json

All work is done in copies of the committed tree, in `--folder`; an interrupted run goes on where it
was. A fault is noticed if a test that runs the changed line fails, or does not end.
`mutants.py` says what can be planted, `mutants_noticed.py` which tests are run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mutants
from mutants_noticed import AREAS, ROOT, Map, choose, copy_tree, environment, existing, make_map

#: Imported once; the process of each fault is a fork of this one.
HEAVY = (
    "torch",
    "torch_geometric.nn",
    "optuna",
    "pydantic",
    "hypothesis",
    "transformers",
    "pytest",
)
#: Results of a fault that no test noticed.
MISSED = ("passed", "untested")


def attempt(folder: Path, tests: list[str], seconds: float) -> tuple[str, str]:
    """Run the tests in a fork: `passed`, `failed` or `hung`, and which test said so."""
    listed, log = folder / "tests.txt", folder / "log.txt"
    listed.write_text("\n".join(tests))
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = in_the_fork(folder, listed, log, seconds)
        except BaseException:  # nothing may leave the fork but its exit code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end, pid = time.monotonic() + 10 * (2 * seconds + 40), 0
    while not pid and time.monotonic() < end:
        time.sleep(0.05)
        pid, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not pid:
        os.waitpid(child, 0)
        return "hung", ""
    text = log.read_text(errors="replace")
    said = re.findall(r"^(?:FAILED|ERROR) (.+)$", text, re.MULTILINE)
    said = [next((t for t in tests if line.startswith(t)), line) for line in said]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return "passed", ""
    if os.WIFSIGNALED(status):
        return "hung", ""
    return "failed", said[0] if said else f"no test could run: {text.strip()[-100:]}"


def in_the_fork(folder: Path, listed: Path, log: Path, seconds: float) -> int:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under `nohup` it is ignored, and stays so
    limit = int(2 * seconds + 40)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    os.chdir(folder / "tree")
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), number)
    os.environ.update(environment(folder))
    sys.path.insert(0, str(folder / "links"))
    # What was imported before the fork is no test, and needs no rewriting.
    quiet = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    options = [
        *quiet,
        "-x",
        "-q",
        "--tb=line",
        "--no-header",
        "-p",
        "no:cacheprovider",
        f"@{listed}",
    ]
    return int(importlib.import_module("pytest").main(options))


def every_fault(tree: Path) -> list[tuple[str, mutants.Fault]]:
    files = [path for area in AREAS for path in sorted((tree / area).rglob("*.py"))]
    return [
        (str(path.relative_to(tree)), fault)
        for path in files
        for fault in mutants.faults(path.read_text())
    ]


def choose_faults(tree: Path, count: int, seed: int) -> list[tuple[str, mutants.Fault]]:
    """Return so many faults of all that are possible, at random."""
    every = every_fault(tree)
    random.Random(seed).shuffle(every)
    print(f"{len(every)} faults are possible, {count} are planted", flush=True)
    chosen = (pair for pair in every if mutants.changes((tree / pair[0]).read_text(), pair[1]))
    return list(itertools.islice(chosen, count))


def one_fault(
    folder: Path, maps: list[Map], there: set[str], file: str, fault: mutants.Fault
) -> dict[str, Any]:
    path = folder / "tree" / file
    text = path.read_text()
    started = time.monotonic()
    result, by, tried = "untested", "", 0
    try:
        for tests in choose(maps, there, file, text, fault):
            path.write_text(fault.plant(text))
            forget(path)
            seconds = sum(max(m.seconds.get(test, 0.0) for m in maps) for test in tests)
            result, by = attempt(folder, tests, seconds)
            tried += len(tests)
            if result != "passed":
                break
    finally:
        path.write_text(text)
        forget(path)
    line = text.splitlines()[fault.first - 1].strip()
    where = {"file": file, "line": line, **asdict(fault)}
    spent = round(time.monotonic() - started, 1)
    return {**where, "result": result, "by": by, "tests": tried, "seconds": spent}


def forget(path: Path) -> None:
    """Remove the byte code of a file: it may have been changed within one second."""
    for old in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        old.unlink()


def run(folder: Path, areas: list[str], count: int, seed: int, again: bool) -> None:
    maps = [Map(path.parent) for path in sorted(folder.glob("map*/seconds.json"))]
    if not maps:
        raise SystemExit("make a map first: python benchmarks/mutations/mutations.py map")
    for name in HEAVY:
        importlib.import_module(name)
    copy, journal = folder / f"planted_{seed}", folder / f"faults_{seed}.jsonl"
    commit = folder / f"commit_{seed}.txt"
    if again or not commit.exists():
        call = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
        commit.write_text(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    copy_tree(copy, commit.read_text().strip())
    there = existing(copy)
    done = {key(one): one["result"] for one in read(journal)}
    if again:
        chosen = [pair for pair in every_fault(copy / "tree") if done.get(named(pair)) in MISSED]
    else:
        chosen = [p for p in choose_faults(copy / "tree", count, seed) if named(p) not in done]
    for file, fault in chosen:
        if file.split("/")[0] not in areas:
            continue
        one = one_fault(copy, maps, there, file, fault)
        with journal.open("a") as lines:
            lines.write(json.dumps(one) + "\n")
        change = f"{fault.before[:50]!r} -> {fault.after[:50]!r}"
        print(one["result"], f"{file}:{fault.first}", change, one["seconds"], flush=True)
    # A test that fails without a fault would notice anything.
    noticed = sorted({one["by"] for one in read(journal)} & there)
    result, by = attempt(copy, noticed, 600.0) if noticed else ("passed", "")
    if result != "passed":
        raise SystemExit(f"without a fault: {result} {by}")


def named(pair: tuple[str, mutants.Fault]) -> tuple[Any, ...]:
    return key({"file": pair[0], **asdict(pair[1])})


def key(one: dict[str, Any]) -> tuple[Any, ...]:
    """What names a fault, wherever its line has moved to."""
    return tuple(one[name] for name in ("file", "function", "operator", "before", "after"))


def read(journal: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    )


def write(folder: Path, target: Path) -> None:
    """Sum up; the reasons given for survivors in an earlier file stay."""
    lines = [one for journal in sorted(folder.glob("faults_*.jsonl")) for one in read(journal)]
    last = {key(one): one for one in lines}
    before = json.loads(target.read_text())["survivors"] if target.exists() else []
    reasons = {key(one): one.get("reason", "") for one in before}
    names = ("file", "function", "first", "line", "operator", "before", "after")
    survivors = [
        {name: one[name] for name in names} | {"reason": reasons.get(key(one), "")}
        for one in last.values()
        if one["result"] in MISSED
    ]
    areas = Counter(one["file"].split("/")[0] for one in last.values())
    missed = Counter(one["file"].split("/")[0] for one in survivors)
    counts = {area: {"planted": areas[area], "survived": missed[area]} for area in sorted(areas)}
    noticed = [
        {name: one[name] for name in (*names, "by")}
        for one in last.values()
        if one["result"] not in MISSED
    ]
    total = {"planted": len(last), "noticed": len(noticed), "areas": counts}
    target.write_text(
        json.dumps({**total, "survivors": survivors, "all": noticed}, indent=1) + "\n"
    )
    print(json.dumps(total))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["map", "run", "write"])
    parser.add_argument("rest", nargs="*", help="tests to map, or the file to write")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mutations")
    parser.add_argument("--count", type=int, default=150, help="faults to plant")
    parser.add_argument("--seed", type=int, default=1, help="of their choice")
    parser.add_argument("--areas", default=",".join(AREAS), help="where to plant them")
    parser.add_argument("--again", action="store_true", help="those that survived, in today's tree")
    given = parser.parse_intermixed_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.what == "map":
        make_map(given.folder, given.rest)
    elif given.what == "run":
        run(given.folder, given.areas.split(","), given.count, given.seed, given.again)
    else:
        write(given.folder, Path(given.rest[0]))


if __name__ == "__main__":
    main()
