"""Processes under test: which there are, which are left, and how one is made to use much memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

#: Environment variable that marks every process of a batch: its folder.
FOLDER = "ATTENERGY_FAULTS"

# Python runs this when it starts: a thread that waits for the word to use more and more memory.
_HOOK = f"""
import os, threading, time

def _eat():
    word = os.path.join(os.environ["{FOLDER}"], f"eat.{{os.getpid()}}")
    while not os.path.exists(word):
        time.sleep(0.1)
    hoard = [b"x" * 10_000_000 for _ in range(100)]
    time.sleep(1000)

if "{FOLDER}" in os.environ:
    threading.Thread(target=_eat, daemon=True).start()
"""


def make_hook(folder: str) -> None:
    """Let every Python that is started from now on listen to `let_eat`."""
    hook = Path(folder) / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_HOOK)
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [part for part in path if part and Path(part).name != "hook"]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(hook), *others])


def let_eat(pid: int) -> None:
    """Let a process use a gigabyte more."""
    os.kill(pid, 0)
    Path(os.environ[FOLDER], f"eat.{pid}").touch()


def left(folder: str) -> list[int]:
    """Processes of a batch that are still there."""
    mark = f"{FOLDER}={folder}".encode()
    return [pid for pid in _all() if pid != os.getpid() and mark in _environment(pid)]


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def descendants(pid: int) -> Iterator[int]:
    """Processes that a process has started, and those that they have."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from descendants(child)


def command(pid: int) -> str:
    """The command line of a process; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
