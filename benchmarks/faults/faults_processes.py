"""Processes under test: how they start, which are left, and how one is made to use much memory."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from attenergy.search.engines import worker
from attenergy.search.engines import worker_process as pool

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


def adopt() -> None:
    """Let processes whose driver has died become children of this one (Linux), to be counted."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def left() -> list[int]:
    """Processes that are still there, but for those that only wait to be counted."""
    return [pid for pid in descendants(os.getpid()) if _state(pid) not in {"", "Z", "X"}]


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _state(pid: int) -> str:
    return _facts(pid)[0]


def _session(pid: int) -> int:
    facts = _facts(pid)
    return int(facts[3]) if len(facts) > 3 else -1


def _facts(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [""]


class Forked:
    """A process that goes on from here, as far as a `Popen` is used: nothing is imported again.

    Args:
        work: what it does; its output goes to `stdout`.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        out, into = os.pipe()
        self.stdout: BinaryIO = os.fdopen(out, "rb")
        self.pid = os.fork()
        if self.pid == 0:
            self._be(work, into)
        os.close(into)
        self._code: int | None = None

    def kill(self) -> None:
        """Kill it, and wait for its workers: forked, they hold its locks while they live."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
            while held := [pid for pid in _all() if _session(pid) == self.pid]:
                for pid in held:  # its first thread may be gone before the last
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
                time.sleep(0.01)

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    @staticmethod
    def _be(work: Callable[[], None], into: int) -> None:
        code = 1
        try:
            os.setsid()
            os.dup2(into, 1)
            os.closerange(3, 1024)  # of the killer and of the other drivers
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _fork_workers()
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


def _fork_workers() -> None:
    """Let the workers of this process be forked too."""
    fork, main = multiprocessing.get_context("fork"), worker.main
    hook = compile(_HOOK, "hook", "exec")

    def listening(*arguments: Any) -> None:
        exec(hook, {})  # noqa: S102 - what a Python that is started anew runs
        main(*arguments)

    pool.worker.main = listening  # type: ignore[attr-defined]
    pool.multiprocessing.get_context = lambda _: fork  # type: ignore[attr-defined]


Process = subprocess.Popen[bytes] | Forked


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
